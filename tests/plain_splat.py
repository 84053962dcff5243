# SPDX-License-Identifier: GPL-3.0-or-later
"""What `backend/splatting.py` computes, one pixel and one piece after another: slow, and plain to read."""

from __future__ import annotations

import math

import numpy as np
from puppet_master.backend.splatting import CUTS, STEEPNESS, STEP, STRETCH


def splat(still, displacement, depth):
    """As `backend.splatting.splat`, with arrays: still `[C, H, W]`, displacement `[N, 2, H, W]`, depth `[N, H, W]`."""
    count, _, height, width = displacement.shape
    steps = displacement.astype(np.float64) * np.array([width, height])[:, None, None]

    def hang_together(one, other):
        if not all(0 <= row < height and 0 <= column < width for row, column in (one, other)):
            return False
        parts = np.abs(steps[:, :, *one] - steps[:, :, *other]).max()
        return parts <= STRETCH and np.abs(depth[:, *one] - depth[:, *other]).max() <= STEP

    colours = np.zeros((count, len(still), height, width))
    weights, covered, depths = np.zeros((3, count, height, width))
    for row, column in np.ndindex(height, width):
        pixel = (row, column)
        beside = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
        stretch = max((np.abs(steps[:, :, *pixel] - steps[:, :, *one]).max() for one in beside
                       if hang_together(pixel, one)), default=0.0)  # fmt: skip
        if stretch == 0 and not steps[:, :, *pixel].any():
            cuts = 1
        else:
            cuts = next(number for number in CUTS if stretch <= number - 1)
        for frame in range(count):
            own = steps[frame, :, *pixel]
            weight = max(math.exp(-STEEPNESS * (depth[frame, *pixel] - depth[frame].min())), 1e-9)
            for i, j in np.ndindex(cuts, cuts):
                y, x = (i + 0.5) / cuts - 0.5, (j + 0.5) / cuts - 0.5
                down, right = (1 if y > 0 else -1), (1 if x > 0 else -1)
                side, above, corner = (row, column + right), (row + down, column), (row + down, column + right)
                along_x = steps[frame, :, *side] - own if hang_together(pixel, side) else np.zeros(2)
                along_y = steps[frame, :, *above] - own if hang_together(pixel, above) else np.zeros(2)
                pairs = ((pixel, side), (pixel, above), (side, corner), (above, corner))
                whole = all(hang_together(*pair) for pair in pairs)
                twist = steps[frame, :, *corner] - own - along_x - along_y if whole else np.zeros(2)
                moved = own + abs(x) * along_x + abs(y) * along_y + abs(x * y) * twist
                at = (math.floor(row + 0.5 + y + moved[1]), math.floor(column + 0.5 + x + moved[0]))
                if not (0 <= at[0] < height and 0 <= at[1] < width):
                    continue
                area = abs((right + along_x[0]) * (down + along_y[1]) - along_x[1] * along_y[0])
                share = weight / cuts**2
                colours[frame, :, *at] += share * still[:, *pixel]
                weights[frame, *at] += share
                depths[frame, *at] += share * depth[frame, *pixel]
                covered[frame, *at] += max(area, 1.0) / cuts**2
    whole = np.maximum(weights, 1e-12)
    return colours / whole[:, None], np.minimum(covered, 1)[:, None], (depths / whole)[:, None]
