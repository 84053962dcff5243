# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an evaluation as tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

# Measure, label, decimals, whether more is better (None: the frozen still is perfect in it, by standing still).
# Pixels are those of frames whose longer side has 256.
ROWS: tuple[tuple[str, str, int, bool | None], ...] = (
    ("psnr", "PSNR (dB)", 2, True),
    ("ssim", "SSIM", 4, True),
    ("psnr_moving", "PSNR, moving (dB)", 2, True),
    ("ssim_moving", "SSIM, moving", 4, True),
    ("lpips", "LPIPS", 4, False),
    ("fvd", "FVD", 1, False),
    ("motion_error", "motion error, drags (px)", 2, False),
    ("motion_gap_closed", "motion gap closed, drags", 3, True),
    ("points_error", "error, all points (px)", 2, False),
    ("points_gap_closed", "gap closed, all points", 3, True),
    ("flow_error", "flow error, drags (px)", 2, False),
    ("points_flow_error", "flow error, points (px)", 2, False),
    ("pin_error", "drift of pins (px)", 2, None),
    ("part_motion", "motion of parts (px)", 2, None),
    ("rest_motion", "motion of the rest (px)", 2, None),
    ("whole_to_part", "rest over parts", 3, None),
    ("background_motion", "motion, background (px)", 2, None),
    ("background_changed", "background changed", 4, None),
    ("psnr_untouched", "PSNR to still, the rest", 2, None),
    ("drift_untouched", "drift, the rest (of 255)", 2, None),
    ("psnr_first", "PSNR, first frame (dB)", 2, None),
)
CHECKS = (
    ("followed", "asked way followed", 2),
    ("followed_least", "the lesser of both directions", 2),
    ("opposite_cosine", "cosine of opposite drags", 2),
    ("opposite", "opposite drags part (share)", 2),
    ("pin_drift", "drift of pins (px)", 2),
    ("unasked_motion", "motion with no drags (px)", 2),
    ("unasked_change", "change with no drags (of 255)", 2),
)


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """The report as tables on stdout: one column a model between the frozen still and the real frames."""
    console = console or Console()
    models = report["models"]
    console.print(_measures(report["dataset"]["clips"], models))
    if any("behaviour" in model for model in models):
        console.print(_checks(models))
    for model in models:
        name = f"{model['label']}: " if len(models) > 1 else ""
        console.print(
            f"{name}{model['seconds_per_clip']:.2f} s per clip, {model['steps']} steps, on {model['device']}",
            soft_wrap=True,
        )
        if left := model["clips_with_drags_left_out"]:
            console.print(f"{name}more drags than the model has slots, the rest left out: {', '.join(left)}")
    if without := models[0]["clips_without_moving_drags"]:
        console.print(f"no moving drag, not in the motion error: {', '.join(without)}", soft_wrap=True)


def _measures(clips: int, models: list[dict[str, Any]]) -> Table:
    one = models[0]
    table = Table(box=SIMPLE, title=f"{', '.join(model['label'] for model in models)} on {clips} clips")
    own = ["95 % interval"] if len(models) == 1 else []
    for heading in ("", "still", *(model["label"] for model in models), *own, "real"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, label, decimals, _ in ROWS:
        if all(model[name] is None for model in models):
            continue
        table.add_row(
            label,
            number(one.get(f"{name}_still"), decimals),
            *(number(model[name], decimals) for model in models),
            *(interval(model["confidence_95"].get(name), decimals) for model in models if own),
            number(one.get(f"{name}_truth"), decimals),
        )
    return table


def _checks(models: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, title="checks, from the clips' middle frames")
    for heading in ("", *(model["label"] for model in models)):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, label, decimals in CHECKS:
        table.add_row(label, *(number(model["behaviour"][name]["mean"], decimals) for model in models))
    return table


def number(value: float | None, decimals: int) -> str:
    """A number, or nothing for None."""
    return "" if value is None else f"{value:.{decimals}f}"


def interval(ends: tuple[float, float] | list[float] | None, decimals: int) -> str:
    """Both ends of an interval, or nothing for None."""
    return "" if ends is None else " ... ".join(number(end, decimals) for end in ends)
