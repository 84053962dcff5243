# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a clip: the real frames above, what each model made of them below, the drags on all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backend.contact_sheet import contact_sheet
from ..backend.media import encode_png
from .clips import RealClip
from .evaluate import path_to_drag
from .measuring import ClipScores
from .whole_files import write_whole


def write_sheet(path: Path, clip: RealClip, made: Sequence[tuple[str, NDArray[np.uint8], ClipScores]]) -> None:
    """Write the picture.

    Args:
        path: of the PNG.
        clip: the real one.
        made: label, frames uint8 `[N, H, W, 3]` and scores of each model.

    Raises:
        OutputError: it cannot be written.
    """
    drags = [path_to_drag(f"drag {index}", drag) for index, drag in enumerate(clip.drags)]
    sheets = [contact_sheet(clip.frames, drags, f"{clip.name}: real frames")]
    for label, frames, scores in made:
        found = scores.model.motion_error
        caption = f"{label}: PSNR {scores.model.psnr:.1f} dB"
        sheets.append(contact_sheet(frames, drags, caption if found is None else f"{caption}, off by {found:.1f} px"))
    write_whole(path, encode_png(np.concatenate(sheets)))
