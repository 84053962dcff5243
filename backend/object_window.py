# SPDX-License-Identifier: GPL-3.0-or-later
"""The square of a still that a motion field looks at: about the object, as large as it learned to see objects.

A field looks at few pixels. Where the background is plain, looking at the object alone shows it at twice the scale and
more: half a decibel of Drag-a-Move (docs/training.md). Looking several times, mirrored and at other scales, and taking
the mean or the median gains nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .model.motion_field import Motion

FACTOR = 1.2  # of the object's extent: side of the window
SMALLEST = 0.25  # of the still: side of a window
FAR = 4.0  # depth of plain background and beside the window, in asset sizes: farther than anything


@dataclass(frozen=True)
class ObjectWindow:
    """A square of a still; it may reach beyond it.

    Attributes:
        left, top, side: in shares of the still's width and height.
    """

    left: float
    top: float
    side: float

    @classmethod
    def about(cls, plain: torch.Tensor, starts: torch.Tensor) -> ObjectWindow:
        """The window about what is no background and all drags' starts; the whole still where that fills it.

        Args:
            plain: which pixels are plain background, bool `[H, W]`.
            starts: where the drags start, normalised `[K, 2]`.
        """
        size = torch.tensor(plain.shape[::-1])
        things = torch.nonzero(~plain).flip(-1).cpu()  # columns, rows
        corners = torch.cat([things / size, (things + 1) / size, starts.cpu()])
        if not len(corners):
            return cls(0.0, 0.0, 1.0)
        low, high = corners.amin(0), corners.amax(0)
        extent = float((high - low).max())
        if extent >= 1:
            return cls(0.0, 0.0, 1.0)
        side = max(FACTOR * extent, SMALLEST)
        left, top = ((low + high - side) / 2).tolist()
        return cls(left, top, side)

    def points_in(self, points: torch.Tensor) -> torch.Tensor:
        """Normalised places of the still `[..., 2]` as places of the window, 0 to 1 inside of it."""
        return (points - points.new_tensor((self.left, self.top))) / self.side

    def cut(self, still: torch.Tensor, size: int, background: torch.Tensor) -> torch.Tensor:
        """What it shows of a still `[3, H, W]`: `[3, size, size]`, beside the still the background `[3]`."""
        ours, theirs, (height, width) = self._overlap(still.shape[-2:])
        shown = background[:, None, None].repeat(1, height, width)
        shown[(slice(None), *ours)] = still[(slice(None), *theirs)]
        return F.interpolate(shown[None], size=(size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)

    def place(self, motion: Motion, size: tuple[int, int]) -> Motion:
        """Motion seen through the window, in a still of height and width `size`; beside the window nothing moves."""
        ours, theirs, inner = self._overlap(size)

        def placed(values: torch.Tensor, beside: float) -> torch.Tensor:
            whole = values.new_full((*values.shape[:2], *size), beside)
            scaled = F.interpolate(values, size=inner, mode="bilinear", align_corners=False)
            whole[(..., *theirs)] = scaled[(..., *ours)]
            return whole

        displacement = placed(motion.displacement.flatten(0, 1) * self.side, 0.0)
        return Motion(
            displacement.unflatten(0, motion.displacement.shape[:2]),
            placed(motion.depth, FAR),
            placed(motion.moving[:, None], 0.0)[:, 0],
        )

    def _overlap(
        self, size: tuple[int, int]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice], tuple[int, int]]:
        """Rows and columns that both share, in the window's pixels and in the still's; the window's size."""
        ours, theirs, sides = [], [], []
        for length, corner in zip(size, (self.top, self.left), strict=True):
            first, side = round(corner * length), max(1, round(self.side * length))
            begin, end = max(first, 0), min(first + side, length)
            ours.append(slice(begin - first, end - first))
            theirs.append(slice(begin, end))
            sides.append(side)
        return tuple(ours), tuple(theirs), tuple(sides)
