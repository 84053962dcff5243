# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing a motion field: from a run of the stage `motion` to a model folder that the backend loads."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError

from ..backend.errors import ModelError, OutputError
from ..backend.model.motion_field import MotionField
from ..backend.motion_pipeline import MotionPipeline
from ..backend.registry import CARD, MOTION, SUMS, ModelInfo, file_sums
from .model_files import half, write_json
from .networks import averaged_weights, read_about
from .settings import PublishSettings

PREFIX = "motion."  # of the weights' names in a run


def field_of_run(run: Path, length: float) -> tuple[MotionField, dict]:
    """A run's motion field with an average of any length for its weights; and what `run.json` says.

    Raises:
        InputError: it is no run, or has no snapshots yet.
        ModelError: its files are damaged.
    """
    about = read_about(run)
    try:
        field = MotionField(**about["motion"])
        weights = averaged_weights(run, length)
        field.load_state_dict({name.removeprefix(PREFIX): value for name, value in weights.items()})
    except (OSError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"the run {run} cannot be read: {error}; go on training it first") from error
    return field.eval().requires_grad_(False), about


def publish_motion(run: Path, out: Path, settings: PublishSettings) -> Path:
    """Write a model folder with the run's averaged weights, float16, with checksums; replaces an older one when whole.

    Raises:
        InputError, ModelError: the run cannot be used.
        OutputError: `out` cannot be written.
    """
    field, about = field_of_run(run, settings.ema)
    info = ModelInfo(
        name=settings.name,
        num_drags=about["slots"],
        width=settings.width,
        height=settings.height,
        frames=about["frames"],
        steps=1,
        guidance=(1.0, 1.0),
        licence=settings.licence,
        kind=MOTION,
    )
    staging = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        half(field).save_pretrained(staging / "motion")
        write_json(staging / CARD, asdict(info))
        lines = [f"{digest}  {name}\n" for name, digest in file_sums(staging).items()]
        (staging / SUMS).write_text("".join(lines), encoding="utf-8")
        MotionPipeline.load(staging)
        shutil.rmtree(out, ignore_errors=True)
        staging.rename(out)
    except OSError as error:
        raise OutputError(f"cannot write the model to {out}: {error.strerror or error}") from error
    return out
