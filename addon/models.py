# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models on this computer declare, kept so that panels can show it without reading files.

`look_up` reads the few lines in which a model describes itself; sizes and hashes, for which its weights must be
read, come from a thread (`measure`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ..backend import registry
from ..backend.errors import ModelError
from ..backend.registry import MOTION, ModelInfo

# Qualities: the backend's presets, and a number of steps of the user's own.
DRAFT, NORMAL, FINAL, CUSTOM = "DRAFT", "NORMAL", "FINAL", "CUSTOM"


@dataclass(frozen=True)
class Known:
    """A model as far as it is known: what it declares, or why that cannot be read."""

    info: ModelInfo | None = None
    fault: str = ""

    @property
    def is_one_pass(self) -> bool:
        """Whether it makes the clip in one pass: then steps, guidance and seed make no difference."""
        return self.info is not None and self.info.kind == MOTION


@dataclass(frozen=True)
class Measured:
    """A model's folder: bytes of its files and the hash that previews carry; `fault` if it is not whole."""

    name: str
    folder: Path
    size: int = 0
    hash: str = ""
    licence: str = ""
    fault: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether it came with the add-on."""
        return self.folder.parent == registry.EMBEDDED


_known: dict[str, Known] = {}
_measured: tuple[Measured, ...] | None = None
_measuring: threading.Thread | None = None


def known(name: str) -> Known:
    """What is known of a model, by its name or folder. Reads nothing."""
    return _known.get(name, Known())


def look_up(name: str, afresh: bool = False) -> Known:
    """Read what a model declares, unless that is known already."""
    if afresh or name not in _known:
        try:
            _known[name] = Known(registry.read_info(registry.find_model(name)))
        except ModelError as error:
            _known[name] = Known(fault=str(error))
    return _known[name]


def preset_of(name: str, quality: str) -> str | None:
    """The backend's preset of a quality; None where there is nothing to set."""
    info = look_up(name).info
    if info is None or quality in (NORMAL, CUSTOM) or info.kind == MOTION:
        return None
    return quality.lower()


def frames_of(name: str) -> int:
    """Frames that the model makes when none are asked for."""
    info = look_up(name).info
    return info.frames if info is not None else 14


def measured() -> tuple[Measured, ...] | None:
    """The models with their sizes and hashes; None before they were measured."""
    return _measured


def measure() -> threading.Thread:
    """Read all models' files on a thread; `measured` gives the result once it is there."""
    global _measuring
    if _measuring is None or not _measuring.is_alive():
        _measuring = threading.Thread(target=_measure, name="puppet-master-models", daemon=True)
        _measuring.start()
    return _measuring


def _measure() -> None:
    global _measured
    _measured = tuple(_measure_one(folder) for folder in registry.model_folders())


def _measure_one(folder: Path) -> Measured:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        return Measured(
            folder.name, folder, size, registry.check_complete(folder), registry.read_info(folder).licence
        )
    except (ModelError, OSError) as error:
        return Measured(folder.name, folder, size, fault=str(error))


def forget() -> None:
    """Forget everything, so that it is read anew."""
    global _measured
    _known.clear()
    _measured = None
