# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point one way: addon, data_gen, training -> backend; nothing imports addon.

Read from the sources, so that lazy imports inside functions count too. Names given to `importlib` as
text are the documented exception (the command line finds other rooms by entry point).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "puppet_master"
ROOMS = ("addon", "backend", "data_gen", "training")
PROTOCOL_PART = {
    f"{PACKAGE}.backend.{name}"
    for name in (
        "client", "clips", "download", "drag_drawing", "errors", "launch", "markup", "option_values", "png", "presets",
        "process", "protocol", "published", "registry", "report_page", "requirements", "shards", "wire", "workers",
        "workers.cluster", "workers.ledger_file", "workers.pool", "workers.slot", "workers.telling", "workers.worker",
    )
}
# What the protocol part imports inside functions, for those who have it.
WHERE_THERE = {
    ("backend/clips.py", "PIL.Image"),  # clips are read back only outside Blender
    ("backend/workers/cluster.py", "pyarrow"),
    ("backend/workers/cluster.py", "ray"),
    ("backend/workers/cluster.py", "ray.util.scheduling_strategies"),
    ("backend/workers/telling.py", "rich"),  # progress as a bar
    ("backend/workers/telling.py", "rich.console.Console"),
    *(("backend/workers/telling.py", f"rich.progress.{name}") for name in (
        "BarColumn", "MofNCompleteColumn", "Progress", "TextColumn", "TimeElapsedColumn",
    )),
    ("backend/workers/slot.py", "psutil"),  # a process's memory where there is no /proc
}
INSIDE_BLENDER = {"_cycles", "bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "blf", "bmesh", "imbuf"}
MODEL_SIDE = {"torch", "diffusers", "transformers", "accelerate", "safetensors"}
HEAVY = MODEL_SIDE | INSIDE_BLENDER | {"fastapi", "uvicorn", "pydantic", "cv2", "skimage"}

ROOT = Path(__file__).resolve().parent.parent


def module_name(file: Path) -> str:
    parts = [PACKAGE, *file.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that `source` imports, relative imports resolved."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def is_within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def may_import(room: str, name: str) -> bool:
    """Whether a file of `room` may import the absolute dotted `name`, if that is a name of ours."""
    if is_within(name, {f"{PACKAGE}.{room}"}):
        return True
    if room in ("addon", "data_gen"):
        # `from ..backend import protocol` resolves to backend.protocol; backend itself is empty.
        return is_within(name, PROTOCOL_PART)
    return room == "training" and is_within(name, {f"{PACKAGE}.backend"})


def violations(room: str) -> list[str]:
    found = []
    for file in files_of(room):
        for line, name in imports_of(file.read_text("utf-8"), module_name(file), file.name == "__init__.py"):
            ours = is_within(name, {PACKAGE}) and name != f"{PACKAGE}.__version__"
            if ours and not may_import(room, name):
                found.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    return found


def external_imports(files: list[Path]) -> Iterator[tuple[str, str]]:
    """Where, and the top-level name of what, is imported from outside the package."""
    for file in files:
        for line, name in imports_of(file.read_text("utf-8"), module_name(file), file.name == "__init__.py"):
            top = name.partition(".")[0]
            if top not in (PACKAGE, "__future__"):
                yield f"{file.relative_to(ROOT)}:{line} imports {name}", top


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_design_allows(room):
    assert files_of(room), f"the room {room} is gone"
    assert violations(room) == []


def test_the_python_interface_leads_to_the_addon_alone():
    names = {name for _, name in imports_of((ROOT / "api.py").read_text("utf-8"), f"{PACKAGE}.api", False)}
    assert {name.rpartition(".")[0] for name in names} == {f"{PACKAGE}.addon.api"}


def test_the_root_imports_nothing_but_what_it_registers_in_blender_and_that_lazily():
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body)
    names = {name for _, name in imports_of((ROOT / "__init__.py").read_text("utf-8"), PACKAGE, True)}
    assert names == {f"{PACKAGE}.addon", f"{PACKAGE}.data_gen.blender"}


def test_the_protocol_part_imports_only_the_standard_library_and_numpy():
    files = [file for file in files_of("backend") if module_name(file) in PROTOCOL_PART]
    assert {module_name(file) for file in files} == PROTOCOL_PART
    allowed = sys.stdlib_module_names | {"numpy"}
    found = [where for where, top in external_imports(files) if top not in allowed]
    assert [where for where in found if (where.partition(":")[0], where.rpartition(" ")[2]) not in WHERE_THERE] == []
    ours = [
        f"{file.name}:{line} imports {name}"
        for file in files
        for line, name in imports_of(file.read_text("utf-8"), module_name(file), file.name == "__init__.py")
        if is_within(name, {PACKAGE}) and not is_within(name, {*PROTOCOL_PART, f"{PACKAGE}.__version__"})
    ]
    assert ours == []


@pytest.mark.parametrize("room", ["backend", "training"])
def test_rooms_outside_blender_never_import_it(room):
    assert [where for where, top in external_imports(files_of(room)) if top in INSIDE_BLENDER] == []


def test_the_addon_imports_only_the_standard_library_numpy_and_blender():
    allowed = sys.stdlib_module_names | INSIDE_BLENDER | {"numpy"}
    assert [where for where, top in external_imports(files_of("addon")) if top not in allowed] == []


def test_data_gen_never_imports_the_model_side():
    assert [where for where, top in external_imports(files_of("data_gen")) if top in MODEL_SIDE] == []


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.backend", *sorted(PROTOCOL_PART)])
def test_a_fresh_interpreter_loads_the_protocol_part_without_torch_or_blender(module):
    script = f"import sys, {module}; print([name for name in {sorted(HEAVY)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "module", "expected"),
    [
        ("from ..backend.protocol import Drag", "addon.panel", "puppet_master.backend.protocol.Drag"),
        ("from ..backend import protocol", "addon.ui.panel", "puppet_master.addon.backend.protocol"),
        ("from . import errors", "backend.model.unet", "puppet_master.backend.model.errors"),
        ("def f():\n    import torch.nn", "addon.panel", "torch.nn"),
    ],
)
def test_imports_are_resolved_before_they_are_judged(source, module, expected):
    assert [name for _, name in imports_of(source, f"{PACKAGE}.{module}", is_package=False)] == [expected]


def test_relative_imports_of_a_package_start_at_the_package_itself():
    names = [name for _, name in imports_of("from . import rigs", f"{PACKAGE}.data_gen", is_package=True)]
    assert names == [f"{PACKAGE}.data_gen.rigs"]
