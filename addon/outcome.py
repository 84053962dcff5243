# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the dragged points of a preview went, beside where they were asked to go: numbers for texts and the overlay.

Only models that know tell where points went (`PreviewResult.reached`): a motion field does, one that samples pictures
does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bpy.types import Scene
from numpy.typing import NDArray

from ..backend.errors import PuppetMasterError
from ..backend.protocol import PreviewResult, trajectories
from . import history

GOOD, BAD = 0.01, 0.05  # of the still's longer side: below the first all is well, from the second on it failed
MOST_READ = 16


@dataclass(frozen=True)
class Outcome:
    """One drag's part of a preview.

    Attributes:
        name: the drag's.
        asked, reached: places in parts of the still, `[N, 2]`, one for each frame.
        off: distance between them in parts of the still's longer side, `[N]`.
    """

    name: str
    asked: NDArray[np.float64]
    reached: NDArray[np.float64]
    off: NDArray[np.float64]

    @property
    def at_end(self) -> float:
        """How far off the last frame is."""
        return float(self.off[-1])


# By folder: results never change once they are there.
_read: dict[Path, tuple[Outcome, ...]] = {}


def of_scene(scene: Scene) -> tuple[Outcome, ...]:
    """The outcomes of the preview chosen in the history; empty where there is none, or its model does not tell."""
    try:
        folder = history.folder_of(history.active(scene))
    except PuppetMasterError:
        return ()
    if folder not in _read:
        while len(_read) >= MOST_READ:
            _read.pop(next(iter(_read)))
        _read[folder] = _of_folder(folder)
    return _read[folder]


def of_result(made: PreviewResult) -> tuple[Outcome, ...]:
    """What a result tells."""
    if len(made.reached) != len(made.drags):
        return ()
    scale = np.array(made.size, dtype=np.float64) / max(made.size)
    found = []
    for drag, asked, path in zip(made.drags, trajectories(made.drags, made.frames), made.reached, strict=True):
        reached = np.array(path, dtype=np.float64).reshape(-1, 2)
        if len(reached) != len(asked):
            return ()
        found.append(Outcome(drag.name, asked.astype(np.float64), reached, np.hypot(*((reached - asked) * scale).T)))
    return tuple(found)


def badness(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """How bad distances are: 0 is well, 1 has failed."""
    return np.clip((off - GOOD) / (BAD - GOOD), 0.0, 1.0)


def forget() -> None:
    """Read everything anew."""
    _read.clear()


def _of_folder(folder: Path) -> tuple[Outcome, ...]:
    try:
        return of_result(history.read_settings(folder))
    except PuppetMasterError:  # the history says what is wrong with the folder
        return ()
