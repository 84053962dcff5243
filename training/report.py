# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation as a user meets it: a folder of clips and a model in, a report and pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..backend.contact_sheet import contact_sheet
from ..backend.errors import OutputError
from ..backend.media import encode_png
from .clips import RealClip, read_clips
from .evaluate import ClipScores, PipelineUnderTest, path_to_drag, score_clips, summarise
from .tracking import DEFAULT_TRACKER

if TYPE_CHECKING:
    from ..backend.pipeline import PreviewPipeline

# Measure, label, decimals. Pixels are those of frames whose longer side has 256.
ROWS = (
    ("psnr", "PSNR (dB)", 2),
    ("ssim", "SSIM", 4),
    ("psnr_moving", "PSNR, moving pixels", 2),
    ("ssim_moving", "SSIM, moving pixels", 4),
    ("psnr_untouched", "PSNR to still, the rest", 2),
    ("drift_untouched", "drift, the rest (of 255)", 2),
    ("motion_error", "motion error (px)", 2),
    ("pin_error", "motion error, pins (px)", 2),
    ("motion_gap_closed", "motion gap closed", 3),
)

# What of a preview's own record tells how the clips were made.
MADE_BY = ("model", "model_hash", "seed", "steps", "guidance", "device", "versions")


@dataclass(frozen=True)
class EvaluationOrder:
    """What `puppet-master eval` was asked for.

    Attributes:
        clips: folder of shards or `.npz` clips.
        model: name or folder.
        limit: measure the first so many clips; None: all.
        seed: noise seed, the same for every clip.
        steps: sampling steps; None: the model's own.
        device: "auto", "cpu", "cuda" or "cuda:N".
        sheets: folder that receives a picture per clip; None: no pictures.
    """

    clips: Path
    model: str = "tiny"
    limit: int | None = None
    seed: int = 0
    steps: int | None = None
    device: str = "auto"
    sheets: Path | None = None


def evaluate_model(order: EvaluationOrder) -> dict[str, Any]:
    """Measure a model on a folder of clips.

    Returns:
        The report of `summarise`, with what made it: model, hash, seed, steps, guidance, device, tracker.

    Raises:
        InputError: no clips, or one that cannot be used; all are read before the first is generated.
        ModelError: the model is missing or corrupt.
        OutputError: the sheets cannot be written.
    """
    # A faulty clip is better named before hours of generating than after.
    count = sum(1 for _ in read_clips(order.clips, order.limit))
    if order.sheets:
        _make_folder(order.sheets)
    under_test = PipelineUnderTest(load_model(order.model, order.device), order.seed, order.steps)

    def on_clip(clip: RealClip, frames: NDArray[np.uint8], scores: ClipScores) -> None:
        if order.sheets:
            write_sheet(order.sheets / f"{clip.name}.png", clip, frames, scores)
        advance()

    with _progress(count) as advance:
        scores = score_clips(read_clips(order.clips, order.limit), under_test, on_clip=on_clip)
    made = under_test.result
    return {
        **summarise(scores),
        "clips_with_drags_left_out": under_test.clips_cut,
        "tracker": DEFAULT_TRACKER,
        **{name: made[name] for name in MADE_BY},
    }


def load_model(model: str, device: str) -> PreviewPipeline:
    """The pipeline of a model's name or folder. Raises `ModelError`, or `RequirementError` for the device."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from ..backend.loader import ModelShelf

    # Their bars and advice are about loading, which is ours to get right; the terminal is for the report.
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    shelf = ModelShelf(device)
    shelf.prepare()
    return shelf.get(model)


def write_sheet(path: Path, clip: RealClip, frames: NDArray[np.uint8], scores: ClipScores) -> None:
    """A picture of the real frames above and the model's below, the drags on both."""
    drags = [path_to_drag(f"drag {index}", drag) for index, drag in enumerate(clip.drags)]
    found = "" if scores.motion_error is None else f", motion error {scores.motion_error:.1f} px"
    sheets = (
        contact_sheet(clip.frames, drags, f"{clip.name}: real frames"),
        contact_sheet(frames, drags, f"model: PSNR {scores.psnr:.1f} dB{found}"),
    )
    part = path.with_suffix(".part")
    try:
        part.write_bytes(encode_png(np.concatenate(sheets)))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """The report as a table on stdout."""
    console = console or Console()
    table = Table(title=f"{report['model']} on {report['clips']} clips")
    for heading in ("", "frozen still", "model", "95 % interval", "real frames"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, label, decimals in ROWS:
        if report[name] is None:
            continue
        interval = report["confidence_95"].get(name)
        table.add_row(
            label,
            _number(report.get(f"{name}_still"), decimals),
            _number(report[name], decimals),
            "" if interval is None else " ... ".join(_number(end, decimals) for end in interval),
            _number(report.get(f"{name}_truth"), decimals),
        )
    console.print(table)
    seconds, steps, device = (report[name] for name in ("seconds_per_clip", "steps", "device"))
    console.print(f"{seconds:.2f} s per clip, {steps} steps, on {device}")
    for key, what in (
        ("clips_without_moving_drags", "no moving drag, not in the motion error"),
        ("clips_with_drags_left_out", "more drags than the model has slots, the rest left out"),
    ):
        if report[key]:
            console.print(f"{what}: {', '.join(report[key])}", soft_wrap=True)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def _progress(clips: int) -> Iterator[Callable[[], None]]:
    """A bar with the time left on stderr; silent where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("clips", total=clips)
        yield lambda: bar.advance(task)
