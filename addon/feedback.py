# SPDX-License-Identifier: GPL-3.0-or-later
"""What the overlay shows besides the stored drags while the mouse works on them: nothing here outlives a mouse drag.

Edits in progress are drawn from here and stored only at their end, so that cancelling one changes nothing and a
mouse move costs no update of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .handle_edits import Target

Place = tuple[float, float]


@dataclass
class Feedback:
    """An edit in progress.

    Attributes:
        moved: where points are drawn instead of where they are stored.
        added: a new drag's start and end.
        inserted: a new point between: drag, time, place.
        hovered: the handle under the mouse.
        hovered_path: the drag whose path is under the mouse.
        box: two corners of the box that selects, x, y, x, y in the region's pixels.
    """

    moved: dict[Target, Place] = field(default_factory=dict)
    added: tuple[Place, Place] | None = None
    inserted: tuple[int, float, Place] | None = None
    hovered: Target | None = None
    hovered_path: int | None = None
    box: tuple[float, float, float, float] | None = None

    def clear(self) -> None:
        """Nothing is in progress."""
        self.moved.clear()
        self.added = self.inserted = self.hovered = self.hovered_path = self.box = None


current = Feedback()
