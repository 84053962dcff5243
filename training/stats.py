# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of a run: a line of JSON now and then, sample grids, TensorBoard, and W&B where asked for."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..backend.errors import OutputError, RequirementError
from .checkpoint import write_whole
from .grids import Strip, draw_grid
from .settings import LogSettings

LINES, PICTURES = "stats.jsonl", "samples"


class Stats:
    """Collects a run's figures between two lines.

    Args:
        folder: of the run.
        log: what is written besides.
        seen: where the run goes on; lines after that are from steps that will be made again, and are removed.
        stage: its name.
        active: whether this process writes.

    Raises:
        RequirementError: TensorBoard or W&B are asked for and not installed.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, log: LogSettings, seen: int, stage: str, active: bool = True) -> None:
        self._path, self._pictures, self._active = folder / LINES, folder / PICTURES, active
        self._tensorboard = self._wandb = None
        if active:
            self._forget_after(seen)
            if log.tensorboard:
                self._tensorboard = _tensorboard(folder / "tensorboard", seen)
            if log.wandb:
                self._wandb = _wandb(log.wandb, stage, folder)
        self._begin()

    def __enter__(self) -> Stats:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()

    def add(self, figures: Mapping[str, float], clips: int, seconds: float, waited: float) -> None:
        """A step's figures, how many clips it saw, how long it took, how much of that was waiting for data."""
        self._count += 1
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._clips += clips
        self._seconds += seconds
        self._waited += waited

    def write(self, step: int, seen: int, lr: float) -> str:
        """Write the means since the last line. Returns the line."""
        line: dict[str, Any] = {"step": step, "seen": seen, "lr": lr}
        line |= {name: total / max(1, self._count) for name, total in self._sums.items()}
        line |= {
            "clips_per_s": round(self._clips / max(self._seconds, 1e-9), 3),
            "waiting": round(self._waited / max(self._seconds, 1e-9), 4),
            "memory_mb": _peak_memory_mb(),
        }
        text = json.dumps(line)
        if self._active:
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(text + "\n")
            except OSError as error:
                raise OutputError(f"cannot write {self._path}: {error.strerror or error}; make room") from error
            numbers = {name: value for name, value in line.items() if name not in ("step", "seen")}
            if self._tensorboard:
                self._show(numbers, seen)
            if self._wandb:
                self._wandb.log({**numbers, "seen": seen}, step=seen)
        self._begin()
        return text

    def pictures(self, strips: Sequence[Strip], seen: int) -> None:
        """Write a sample grid."""
        if self._active and strips:
            grid = draw_grid(strips)
            write_whole(self._pictures / f"{seen:012d}.png", lambda partial: grid.save(partial, "PNG"))
            if self._tensorboard:
                with self._onto_disk():
                    self._tensorboard.add_image("samples", np.asarray(grid.convert("RGB")), seen, dataformats="HWC")

    def _show(self, numbers: Mapping[str, float], seen: int) -> None:
        """Hand figures to TensorBoard."""
        with self._onto_disk():
            for name, value in numbers.items():
                self._tensorboard.add_scalar(name, value, seen)

    @contextmanager
    def _onto_disk(self) -> Iterator[None]:
        """What TensorBoard is told within is on the disk afterwards; its thread keeps failures for the next call."""
        try:
            yield
            self._tensorboard.flush()
        except OSError as error:
            raise OutputError(f"cannot write TensorBoard's events: {error.strerror or error}; make room") from error

    def _begin(self) -> None:
        self._count, self._clips, self._seconds, self._waited = 0, 0, 0.0, 0.0
        self._sums: dict[str, float] = {}

    def _forget_after(self, seen: int) -> None:
        if not self._path.is_file():
            return
        lines = self._path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _seen(line) <= seen]
        write_whole(self._path, lambda partial: partial.write_text("".join(f"{line}\n" for line in kept), "utf-8"))


def _seen(line: str) -> float:
    try:
        return json.loads(line)["seen"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # cut off when the process was killed


def _peak_memory_mb() -> int:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _tensorboard(folder: Path, seen: int) -> Any:
    try:
        writer = import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError as error:
        raise RequirementError(
            "log.tensorboard = true, but the package tensorboard is not installed; install it, or set it to false "
            "(the same figures are in stats.jsonl)"
        ) from error
    return writer(str(folder), purge_step=seen + 1)


def _wandb(project: str, stage: str, folder: Path) -> Any:
    try:
        wandb = import_module("wandb")
    except ImportError as error:
        raise RequirementError(
            f'log.wandb = "{project}", but the package wandb is not installed; install it, or set it to ""'
        ) from error
    return wandb.init(project=project, name=f"{folder.parent.name}-{stage}", dir=str(folder), resume="allow")
