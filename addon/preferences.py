# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets once: what runs the backend and how, and where results go.

Under plain `bpy` there are no preferences: the running Python and Blender's user folder stand in.
"""

import os
import sys
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import AddonPreferences, Context

from ..backend import launch, registry
from ..backend.errors import InputError, OutputError, RequirementError
from . import backend_link, install
from .compat import RELATIVE_PATH
from .files import make_folder

# `puppet_master` under pip, `bl_ext.<repository>.puppet_master` in Blender.
ROOT_PACKAGE = __package__.rpartition(".")[0]
HISTORY_LIMIT = 1024  # megabytes, where there are no preferences either
# Blender as a Python module runs in an environment that can hold the backend's libraries; a Blender with
# a window brings a Python of its own, which does not.
RUNS_AS_MODULE = not bpy.app.binary_path

BUILD_ITEMS = (
    ("auto", "Automatic", "The build that serves this machine best, found by a probe"),
    ("cpu", "CPU", "Runs everywhere; the smallest download"),
    ("cuda", "NVIDIA CUDA", "For NVIDIA graphics cards"),
    ("rocm", "AMD ROCm", "For AMD graphics cards on Linux"),
    ("mps", "Apple Metal", "For Apple's own processors"),
)
DEVICE_ITEMS = (
    ("auto", "Automatic", "The graphics card if the backend can use it, else the processor"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "GPU", "The graphics card, by CUDA or ROCm"),
)
MODE_ITEMS = (
    ("auto", "Automatic", "The quickest way for which there is room"),
    ("resident", "All on the GPU", "The whole model stays in the graphics card's memory"),
    ("offload", "In Turns", "Parts of the model come to the graphics card when they are needed"),
    ("chunked", "Layer by Layer", "Layers come to the graphics card when they are needed: the least memory, and slow"),
    ("cpu", "Processor", "The graphics card is left alone"),
)
MEMORY_ITEMS = (
    ("keep", "Keep Weights", "Weights stay in memory between previews, until the backend has been idle for a while"),
    ("free", "Free at Once", "Weights leave memory after the previews asked for: for small graphics cards"),
)


class Preferences(AddonPreferences):
    """Preferences of the add-on, shown by Blender under Add-ons."""

    bl_idname = ROOT_PACKAGE

    build: EnumProperty(name="Build", description="Which build of PyTorch is installed", items=BUILD_ITEMS)
    index_url: StringProperty(
        name="Package Index",
        description="Where packages come from, such as a studio's mirror; empty: the public index",
    )
    backend_python: StringProperty(
        name="Backend Python",
        description="Python that has Puppet Master's backend installed, used in place of the add-on's own environment",
        subtype="FILE_PATH",
    )
    output_folder: StringProperty(
        name="Output Folder",
        description="Where stills and previews are kept; empty: beside the .blend, or a folder of this extension "
        "while the file is not saved",
        subtype="DIR_PATH",
        options=RELATIVE_PATH,
    )
    history_limit: IntProperty(
        name="History Limit (MB)",
        description="Megabytes that Prune leaves of a scene's previews",
        default=HISTORY_LIMIT,
        min=0,
        soft_max=100_000,
    )
    device: EnumProperty(name="Device", description="Where the model runs", items=DEVICE_ITEMS)
    memory: EnumProperty(
        name="Weights", description="What happens to the weights after a preview", items=MEMORY_ITEMS
    )
    memory_mode: EnumProperty(
        name="Memory", description="How a large model uses the graphics card's memory", items=MODE_ITEMS
    )
    hub_mirror: StringProperty(
        name="Model Hub",
        description="Where models are downloaded from, such as a studio's mirror; empty: the public hub",
    )
    idle_minutes: IntProperty(
        name="Idle Time (min)",
        description="Minutes without a preview after which the weights leave memory; 0: never",
        default=15,
        min=0,
        soft_max=240,
    )
    free_before_render: BoolProperty(
        name="Free Before Renders",
        description="Let the weights leave memory when a render begins, so that the graphics card is Cycles' alone",
        default=False,
    )
    show_log: BoolProperty(name="Log", description="Show the last lines of the backend's log", default=False)

    def draw(self, context: Context) -> None:
        """Draw the backend's state, its settings, the models and the log."""
        from . import preferences_panel  # which looks at the state, which looks at these preferences

        preferences_panel.draw(self, self.layout, context)


def backend_python() -> str:
    """The Python to start the backend with.

    Raises:
        RequirementError: Blender's own Python cannot run the backend, none is chosen and none installed.
    """
    preferences = _preferences()
    if preferences is not None and preferences.backend_python:
        return bpy.path.abspath(preferences.backend_python)
    found = install.look(backend_root())
    if found.python:
        return found.python
    if RUNS_AS_MODULE:
        return sys.executable
    unfinished = found.condition is install.Condition.INCOMPLETE
    raise RequirementError(
        f"the backend's installation {'is not finished' if unfinished else 'is still to come'}; "
        f"{'go on with' if unfinished else 'begin'} it, or choose a Backend Python, "
        "under Edit > Preferences > Add-ons > Puppet Master"
    )


def backend_command(*words: str) -> list[str]:
    """A command of the backend's command line, for a process of its own. Raises as `backend_python`."""
    return [backend_python(), str(Path(launch.__file__)), *words]


def backend_settings() -> backend_link.Settings:
    """How to start the backend. Raises as `backend_python`."""
    preferences = _preferences()
    arguments: tuple[str, ...] = ()
    if preferences is not None:
        arguments = ("--device", preferences.device, "--idle", str(preferences.idle_minutes * 60))
        arguments += ("--memory", preferences.memory_mode)
        arguments += ("--unload",) if preferences.memory == "free" else ()
    python, own = backend_python(), install.look(backend_root())
    root = own.root if own.python == python else None
    return backend_link.Settings(python, arguments, user_folder("logs"), root)


def backend_root() -> Path:
    """The folder of the backend's own environment."""
    return user_folder("backend")


def output_folder() -> Path:
    """The folder that receives stills and previews; it exists.

    Raises:
        InputError: it lies beside a .blend that has no place yet.
        OutputError: it cannot be created.
    """
    preferences = _preferences()
    chosen = preferences.output_folder if preferences is not None else ""
    if chosen.startswith("//") and not bpy.data.filepath:
        raise InputError(f"the output folder {chosen} lies beside the .blend, which has no place yet; save it first")
    if chosen:
        folder = Path(bpy.path.abspath(chosen))
    elif bpy.data.filepath:
        blend = Path(bpy.data.filepath)
        folder = blend.with_name(f"{blend.stem}_previews")
    else:
        folder = user_folder("previews")
    try:
        make_folder(folder)
    except OutputError as error:
        raise OutputError(f"{error}; choose another Output Folder in the add-on's preferences") from error
    return folder


def history_limit() -> int:
    """Megabytes that pruning leaves of a scene's previews."""
    preferences = _preferences()
    return preferences.history_limit if preferences is not None else HISTORY_LIMIT


def user_folder(name: str) -> Path:
    """A folder of the user's for this add-on; never one inside the installed extension."""
    if ROOT_PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path=name))
    return Path(bpy.utils.user_resource("DATAFILES", path=f"puppet_master/{name}"))


def own() -> Preferences | None:
    """The preferences; None under plain `bpy` with the add-on not enabled."""
    return _preferences()


def _preferences() -> Preferences | None:
    addon = bpy.context.preferences.addons.get(ROOT_PACKAGE)
    return addon.preferences if addon is not None else None


def register() -> None:
    """Register the preferences; models that are downloaded go to a folder of this add-on's."""
    bpy.utils.register_class(Preferences)
    # The backend inherits it. A folder that the user chose for all programs counts more.
    os.environ.setdefault(registry.MODELS_VARIABLE, str(user_folder("models")))


def unregister() -> None:
    """Unregister the preferences; Blender keeps their values."""
    bpy.utils.unregister_class(Preferences)
    if os.environ.get(registry.MODELS_VARIABLE) == str(user_folder("models")):
        del os.environ[registry.MODELS_VARIABLE]
