# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets once: which Python runs the backend, and where results go.

Under plain `bpy` there are no preferences: the running Python and Blender's user folder stand in.
"""

import sys
from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences, Context

from ..backend.errors import RequirementError
from .files import make_folder

# `puppet_master` under pip, `bl_ext.<repository>.puppet_master` in Blender.
ROOT_PACKAGE = __package__.rpartition(".")[0]
# Blender as a Python module runs in an environment that can hold the backend's libraries; a Blender with
# a window brings a Python of its own, which does not.
RUNS_AS_MODULE = not bpy.app.binary_path


class Preferences(AddonPreferences):
    """Preferences of the add-on, shown by Blender under Add-ons."""

    bl_idname = ROOT_PACKAGE

    backend_python: StringProperty(
        name="Backend Python",
        description="Python that has Puppet Master's backend installed: the one in its virtual environment",
        subtype="FILE_PATH",
    )
    output_folder: StringProperty(
        name="Output Folder",
        description="Where stills and previews are kept; empty means a folder of this extension",
        subtype="DIR_PATH",
    )

    def draw(self, context: Context) -> None:
        """Draw the two paths."""
        column = self.layout.column()
        column.use_property_split = True
        column.prop(self, "backend_python")
        column.prop(self, "output_folder")


def backend_python() -> str:
    """The Python to start the backend with.

    Raises:
        RequirementError: Blender's own Python cannot run the backend and no other one is chosen.
    """
    preferences = _preferences()
    if preferences is not None and preferences.backend_python:
        return bpy.path.abspath(preferences.backend_python)
    if RUNS_AS_MODULE:
        return sys.executable
    raise RequirementError(
        "no Python is chosen for the backend; set Backend Python to the one in its virtual environment, "
        "under Edit > Preferences > Add-ons > Puppet Master"
    )


def output_folder() -> Path:
    """The folder that receives stills and previews; it exists.

    Raises:
        OutputError: it cannot be created.
    """
    preferences = _preferences()
    chosen = preferences.output_folder if preferences is not None else ""
    folder = Path(bpy.path.abspath(chosen)) if chosen else _user_folder("previews")
    make_folder(folder)
    return folder


def _user_folder(name: str) -> Path:
    """A folder of the user's for this add-on; never one inside the installed extension."""
    if ROOT_PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path=name))
    return Path(bpy.utils.user_resource("DATAFILES", path=f"puppet_master/{name}"))


def _preferences() -> Preferences | None:
    addon = bpy.context.preferences.addons.get(ROOT_PACKAGE)
    return addon.preferences if addon is not None else None


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(Preferences)


def unregister() -> None:
    """Unregister the preferences; Blender keeps their values."""
    bpy.utils.unregister_class(Preferences)
