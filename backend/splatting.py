# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the pixels of a still: forward warping, with what is nearer in front.

Softmax splatting (Niklaus and Liu 2020): where several pixels arrive, they are averaged with weights that fall
steeply with depth. A still is taken for patches of surfaces: neighbouring pixels hang together unless they part too
far in some frame of the clip. A pixel is cut into pieces, as many as it is stretched to, each of which goes where the
bilinear blend of its pixel and the neighbours that hang on to it says; so a surface that grows does not tear. What
rests, most of a still, is not cut at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

STEEPNESS = 60.0  # how steeply weights fall with depth, in asset sizes: half a hundredth of it halves and more
STRETCH = 31.0  # pixels by which neighbours of one surface may part in a clip
STEP = 1.0  # in asset sizes: neighbours so much nearer and farther are no one surface
CUTS = (2, 4, 8, 16, 32)  # pieces along each side of a pixel: the first of these that its stretching needs


def splat(
    still: torch.Tensor, displacement: torch.Tensor, depth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Move a still's pixels.

    Args:
        still: `[C, H, W]`.
        displacement: shares of the width and height, `[N, 2, H, W]`.
        depth: smaller is nearer, `[N, H, W]`.

    Returns:
        the moved stills `[N, C, H, W]`, 0 where nothing arrives; how much of each pixel is covered `[N, 1, H, W]`,
        0 to 1; and the depth of what arrives `[N, 1, H, W]`.
    """
    count, _, height, width = displacement.shape
    weight = torch.exp(-STEEPNESS * (depth - depth.amin((1, 2), keepdim=True))).clamp(min=1e-9)[:, None]
    carried = torch.cat([still.expand(count, -1, -1, -1), depth[:, None], torch.ones_like(weight)], dim=1) * weight
    surface = _Surface.of(displacement, depth)
    cuts = surface.cuts()
    sums = carried.new_zeros(count, carried.shape[1] + 1, height * width + 1)  # the spare pixel takes what leaves
    sums[:, :-1, :-1] = (carried * (cuts == 0)).flatten(2)
    sums[:, -1, :-1] = (cuts == 0).flatten()
    for number in CUTS:
        pixels = (cuts == number).flatten().nonzero()[:, 0]
        if not len(pixels):
            continue
        shares = carried.flatten(2)[:, :, pixels] / number**2
        for quarter in surface.quarters(pixels):
            brought = torch.cat([shares, quarter.area() / number**2], dim=1)
            for places in quarter.places(number, height, width):
                row = brought[:, :, None].expand(-1, -1, places.shape[1], -1).flatten(2)
                sums.scatter_add_(2, places.flatten(1)[:, None].expand_as(row), row)
    sums = sums[..., :-1].reshape(count, -1, height, width)
    whole = sums[:, -2:-1].clamp(min=1e-12)
    return sums[:, :-3] / whole, sums[:, -1:].clamp(max=1), sums[:, -3:-2] / whole


@dataclass(frozen=True)
class _Surface:
    """A still as patches of surfaces.

    Attributes:
        steps: where pixels go, in pixels, `[N, 2, H, W]` (x right, y down).
        across: whether a pixel hangs together with the one on its left, `[H, W + 1]`, the right border's last.
        down: with the one above, `[H + 1, W]`.
    """

    steps: torch.Tensor
    across: torch.Tensor
    down: torch.Tensor

    @classmethod
    def of(cls, displacement: torch.Tensor, depth: torch.Tensor) -> _Surface:
        """Pixels that part in any frame are parted in all: an edge that tore in mid-clip would flicker."""
        height, width = displacement.shape[-2:]
        steps = displacement * displacement.new_tensor((width, height)).reshape(1, 2, 1, 1)

        def together(axis: int) -> torch.Tensor:
            near = steps.diff(dim=axis).abs().amax((0, 1)) <= STRETCH
            return near & (depth.diff(dim=axis).abs().amax(0) <= STEP)

        return cls(steps, F.pad(together(-1), (1, 1)), F.pad(together(-2), (0, 0, 1, 1)))

    def cuts(self) -> torch.Tensor:
        """Into how many pieces along each side a pixel is cut, `[H, W]`; 0: it stays as it is in all frames."""
        stretch = torch.zeros_like(self.steps[0, 0])
        for axis, together in ((-1, self.across[:, 1:-1]), (-2, self.down[1:-1])):
            parts = self.steps.diff(dim=axis).abs().amax((0, 1)) * together
            before, after = ((0, 0, 1, 0), (0, 0, 0, 1)) if axis == -2 else ((1, 0), (0, 1))
            stretch = torch.maximum(stretch, torch.maximum(F.pad(parts, before), F.pad(parts, after)))
        moves = (self.steps != 0).any(1).any(0) | (stretch > 0)
        number = torch.full_like(stretch, CUTS[-1], dtype=torch.long)
        for cuts in reversed(CUTS[:-1]):
            number[stretch <= cuts - 1] = cuts
        return number * moves

    def quarters(self, pixels: torch.Tensor) -> Iterator[_Quarter]:
        """The quarters of some pixels, given by their index in row order."""
        height, width = self.steps.shape[-2:]
        row, column = pixels // width, pixels % width

        def at(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.steps.flatten(2)[:, :, y.clamp(0, height - 1) * width + x.clamp(0, width - 1)]

        own = at(row, column)
        for down, right in itertools.product((-1, 1), (-1, 1)):
            beside, above = column + right, row + down
            over_x = self.across[row, column + (right > 0)]
            over_y = self.down[row + (down > 0), column]
            far_x = self.across[above.clamp(0, height - 1), column + (right > 0)]
            far_y = self.down[row + (down > 0), beside.clamp(0, width - 1)]
            along_x = (at(row, beside) - own) * over_x
            along_y = (at(above, column) - own) * over_y
            twist = (at(above, beside) - own - along_x - along_y) * (over_x & over_y & far_x & far_y)
            yield _Quarter(row, column, down, right, own, along_x, along_y, twist)


@dataclass(frozen=True)
class _Quarter:
    """The same quarter of M pixels, and how it goes on towards the neighbours at its side.

    Attributes:
        row, column: of the pixels, `[M]`.
        down, right: which quarter: 1, or -1 for up and left.
        own: where the pixels go, in pixels, `[N, 2, M]`.
        along_x, along_y: how much farther the neighbours at the side and above or below go; 0 where they are parted.
        twist: what the one at the corner adds to both.
    """

    row: torch.Tensor
    column: torch.Tensor
    down: int
    right: int
    own: torch.Tensor
    along_x: torch.Tensor
    along_y: torch.Tensor
    twist: torch.Tensor

    def area(self) -> torch.Tensor:
        """How many times as large it gets, 1 at least, `[N, 1, M]`: what each piece covers grows with it."""
        (xx, xy), (yx, yy) = self.along_x.unbind(1), self.along_y.unbind(1)
        return ((self.right + xx) * (self.down + yy) - xy * yx).abs().clamp(min=1)[:, None]

    def places(self, cuts: int, height: int, width: int) -> Iterator[torch.Tensor]:
        """Where its pieces go, a row of R at a time: pixels' indices `[N, R, M]`, H * W outside of the frame."""
        offsets = [(piece + 0.5) / cuts for piece in range(cuts // 2)]  # of the pixel's side, from its middle
        x = self.own.new_tensor(offsets)[:, None]
        own, along_x, along_y, twist = (part[:, :, None] for part in (self.own, self.along_x, self.along_y, self.twist))
        for y in offsets:
            moved = own + y * along_y + x * (along_x + y * twist)
            column = (self.column + 0.5 + self.right * x + moved[:, 0]).floor().long()
            row = (self.row + 0.5 + self.down * y + moved[:, 1]).floor().long()
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            yield torch.where(inside, row * width + column, height * width)
