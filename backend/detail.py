# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine detail of the still, kept where a frame shows no change.

A small VAE blurs all it decodes, also what never moved. What it lost of the still is known exactly: the
still minus its own reconstruction. That difference is added to each frame, weighted by how little the
decoded frame differs there from the decoded still; what moved is left as the model made it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

# Differences of the decoded pictures, in grey levels of 255, below which nothing has changed and above
# which all has; between, the detail fades out.
UNCHANGED, CHANGED = 8.0, 32.0
# A pixel's neighbourhood decides with it, as a share of the image's longer side: edges of what moves count.
NEIGHBOURHOOD = 1 / 42


def keep_still_detail(
    frames: NDArray[np.uint8], reconstruction: NDArray[np.uint8], still: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Add to decoded frames what decoding lost of the still, where they show the still unchanged.

    Args:
        frames: decoded frames, `[N, H, W, 3]`.
        reconstruction: the decoded still, `[H, W, 3]`.
        still: the still itself, `[H, W, 3]`.

    Returns:
        `[N, H, W, 3]`. A frame equal to the reconstruction becomes the still, exactly.
    """
    base = torch.from_numpy(reconstruction.astype(np.float32)).permute(2, 0, 1)
    lost = torch.from_numpy(still.astype(np.float32)).permute(2, 0, 1) - base
    result = np.empty_like(frames)
    for index, frame in enumerate(frames):
        decoded = torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)
        kept = decoded + lost * _unchanged(decoded - base)
        result[index] = kept.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return result


def _unchanged(difference: torch.Tensor) -> torch.Tensor:
    """Weight in [0, 1], `[1, H, W]`, of pixels whose surroundings differ little; `difference [3, H, W]`."""
    radius = max(1, round(max(difference.shape[-2:]) * NEIGHBOURHOOD))
    size = 2 * radius + 1
    strength = difference.abs().amax(dim=0, keepdim=True)[None]
    # The largest difference nearby, smoothed: a moving edge takes the detail of its whole surroundings away.
    nearby = F.max_pool2d(strength, size, stride=1, padding=radius)
    nearby = F.avg_pool2d(nearby, size, stride=1, padding=radius, count_include_pad=False)
    change = ((nearby - UNCHANGED) / (CHANGED - UNCHANGED)).clamp(0, 1)
    return (1 - change * change * (3 - 2 * change))[0]
