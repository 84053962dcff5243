# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a run: what it goes on from, and what is left to publish.

| file | content |
|---|---|
| `run.json` | what describes the networks |
| `checkpoint.pt` | weights, optimizer, averages, position; always a whole one |
| `snapshots/SEEN-LENGTH.safetensors` | averages of the weights, float16; what any other length is made of |
| `stats.jsonl`, `samples/SEEN.png` | see `stats` |
| `bad-batch-*.pt` | what a loss that is no number came from |

Each file is written under another name and then renamed: a process that is killed, or a disk that is full, leaves the
one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from ..backend.errors import ModelError, OutputError
from .ema import Averages
from .stream import Batch

ABOUT, CHECKPOINT, SNAPSHOTS = "run.json", "checkpoint.pt", "snapshots"
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
NETWORKS = "networks."  # what the loop's module puts before the names


class RunFolder:
    """A stage's folder, for the loop.

    Args:
        folder: made if it is not there.
        stage: its name, for messages.
        processes: that train together; the first one writes.
    """

    def __init__(self, folder: Path, stage: str, processes: Accelerator) -> None:
        self.folder, self.stage, self.processes = folder, stage, processes

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages, about: dict[str, Any]
    ) -> dict[str, int]:
        """Go on from the checkpoint, if there is one.

        Returns:
            The position it was written at; empty for a new run.

        Raises:
            ModelError: the checkpoint is damaged, or of another architecture.
            OutputError: the folder cannot be made.
        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            self._write(ABOUT, lambda partial: partial.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8"))
            return {}
        self._check_same(about)
        stored = _load(path)
        self._check_fit(model, stored["model"])
        set_state_dict(
            model,
            optimizer,
            model_state_dict=stored["model"],
            optim_state_dict=stored["optimizer"],
            # Parameters that never get a gradient have no state; that the names fit is checked above.
            options=StateDictOptions(full_state_dict=True, strict=False),
        )
        if list(stored["averages"]) != list(averages.lengths):
            raise ModelError(
                f"{self.stage}.ema = {list(averages.lengths)}, but {path} has averages of "
                f"{list(stored['averages'])}; set them back"
            )
        for length in averages.lengths:
            averages.restore(length, stored["averages"][length])
        return stored["position"]

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages, position: Mapping[str, int]
    ) -> None:
        """Write a checkpoint. All processes must call it. Raises `OutputError`; the one before is kept."""
        weights, state = get_state_dict(model, optimizer, options=WHOLE)
        content = {
            "model": weights,
            "optimizer": state,
            "averages": {length: averages.whole(length) for length in averages.lengths},
            "position": dict(position),
        }
        self._write(CHECKPOINT, lambda partial: torch.save(content, partial))

    def save_snapshots(self, averages: Averages, seen: int) -> None:
        """Write the averages for later. All processes must call it."""
        for length in averages.lengths:
            values = averages.whole(length)
            halves = {name.removeprefix(NETWORKS): value.half().contiguous() for name, value in values.items()}
            name = f"{SNAPSHOTS}/{seen:012d}-{length:g}.safetensors"
            self._write(name, lambda partial, halves=halves: save_file(halves, partial))

    def save_batches(self, batches: Sequence[Batch], step: int) -> Path:
        """Write what a step was trained on, for a look; each process its own."""
        name = f"bad-batch-{step:08d}-{self.processes.process_index}.pt"
        content = [{key: value.cpu() for key, value in batch.items()} for batch in batches]
        return write_whole(self.folder / name, lambda partial: torch.save(content, partial))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        """The first process writes; all of them learn whether it could."""
        failure: OutputError | None = None
        if self.processes.is_main_process:
            try:
                write_whole(self.folder / name, write)
            except OutputError as error:
                failure = error
        failed = torch.tensor(float(failure is not None), device=self.processes.device)
        if self.processes.reduce(failed, reduction="sum").item():
            raise failure or OutputError(f"{self.stage}: the first process could not write {self.folder / name}")

    def _check_same(self, about: dict[str, Any]) -> None:
        path = self.folder / ABOUT
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}; choose another out") from error
        for key, value in json.loads(json.dumps(about)).items():
            if stored.get(key) != value:
                raise ModelError(
                    f"{self.folder} is the run of another model: its {key} is {_short(stored.get(key))}, "
                    f"not {_short(value)}; choose another out, or set it back"
                )

    def _check_fit(self, model: nn.Module, stored: Mapping[str, torch.Tensor]) -> None:
        for name, value in model.state_dict().items():
            if name not in stored or stored[name].shape != value.shape:
                found = tuple(stored[name].shape) if name in stored else "missing"
                raise ModelError(
                    f"{self.folder / CHECKPOINT} is of another architecture: {name.removeprefix(NETWORKS)} is {found}, "
                    f"not {tuple(value.shape)}; choose another out"
                )


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file, under another name until it is whole and on the disk.

    Raises:
        OutputError: it cannot be written; what was there before is kept.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except Exception as error:
        # torch and safetensors wrap a full disk in errors of their own.
        partial.unlink(missing_ok=True)
        if not isinstance(error, OSError | RuntimeError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise OutputError(f"cannot write {path}: {reason}; make room; the file before it is kept") from error
    return path


def _load(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path} is damaged: {reason}; remove it to begin anew") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."
