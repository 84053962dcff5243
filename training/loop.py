# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop, the same for every stage.

A stage says what is trained, on what, and by what loss; see `Stage`. Everything random in a step depends on the seed
and on the clips seen before it, and on nothing else, so that a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import nn

from ..backend.errors import Cancelled, ModelError
from .checkpoint import RunFolder
from .ema import Averages
from .grids import Strip
from .memory import need_of_memory
from .parallel import bare, gradient_norm, parallel, share_loss
from .schedule import learning_rate
from .settings import LogSettings, TrainingSettings
from .stats import Stats
from .stopping import StopRequests
from .stream import Batch


class Stage(Protocol):
    """What the loop needs to know of what it trains.

    Attributes:
        name: of the stage; messages name its settings by it.
        modules: the networks, by name; what in them is trained has `requires_grad`.
        units: classes of parts of them that may be shared out one by one (FSDP); each is used by calling it.
        about: what describes the networks; kept as `run.json`, and a run goes on only with the same.
    """

    name: str
    modules: Mapping[str, nn.Module]
    units: tuple[type[nn.Module], ...]
    about: dict[str, Any]

    def batches(self, rank: int, world: int, seen: int) -> Iterator[Batch]:
        """What process `rank` of `world` trains on after `seen` clips, without end; tensors, clips first.

        A batch of all processes together must not depend on how many they are.
        """
        ...

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The mean loss of a batch, and further figures for the statistics."""
        ...

    def samples(self) -> list[Strip]:
        """A few clips as the networks make them now, for a look; the same ones each time."""
        ...


@dataclass
class Position:
    """How far a run is."""

    step: int = 0
    seen: int = 0


class Trained(nn.Module):
    """A stage's networks as one module, so that processes can share it out; called, it gives the loss."""

    def __init__(self, stage: Stage, settings: TrainingSettings, device: torch.device) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(stage.modules)
        self._stage = (stage,)  # in a tuple: a stage is no part of the module
        self._precision = (device.type, torch.bfloat16, settings.precision == "bf16")

    def forward(self, batch: Batch | None) -> Any:
        """`loss(batch)`; without a batch, `samples()`."""
        device, dtype, enabled = self._precision
        with torch.autocast(device, dtype, enabled=enabled):
            return self._stage[0].samples() if batch is None else self._stage[0].loss(batch)


def train(
    stage: Stage,
    settings: TrainingSettings,
    folder: Path,
    processes: Accelerator,
    log: LogSettings,
    seed: int,
    say: Any = print,
) -> Averages:
    """Train until `settings.clips` are seen, from where `folder` has it.

    Args:
        stage: what is trained.
        settings: how.
        folder: of the run; see `checkpoint.RunFolder`.
        processes: that train together.
        log: where statistics go besides the folder.
        seed: of everything random.
        say: told a line now and then.

    Returns:
        The averages of the weights.

    Raises:
        InputError: the data cannot be used; the run is kept.
        ModelError: the folder is another model's run, or the loss is no number: the batch is saved.
        OutputError: a checkpoint cannot be written; the one before is kept.
        RequirementError: out of memory.
        Cancelled: a signal asked to stop; a checkpoint was written.
    """
    rank, world = processes.process_index, processes.num_processes
    batch_size, parts = settings.batch, settings.accumulate
    model = parallel(Trained(stage, settings, processes.device).to(processes.device), stage, settings, processes)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.lr, betas=tuple(settings.betas), weight_decay=settings.weight_decay
    )
    averages = Averages(bare(model), settings.ema)
    run = RunFolder(folder, stage.name, processes)
    position = Position(**run.restore(bare(model), optimizer, averages, stage.about))
    if settings.compile:
        for network in stage.modules.values():
            network.compile()
    stats = Stats(folder, log, position.seen, stage.name, active=processes.is_main_process)
    stop = StopRequests()
    batches = stage.batches(rank, world, position.seen)
    count = sum(parameter.numel() for parameter in trained)
    say(f"{stage.name}: {count / 1e6:.2f} M parameters, {position.seen} of {settings.clips} clips seen")

    with stop, stats:
        while position.seen < settings.clips:
            began = time.perf_counter()
            rate = learning_rate(settings, position.seen)
            for group in optimizer.param_groups:
                group["lr"] = rate
            # Whatever a network draws by itself depends on the place in the run alone.
            torch.manual_seed(seed + position.seen * world + rank)
            used, waited, loss, figures = [], 0.0, torch.zeros((), device=processes.device), {}
            for part in range(parts):
                asked = time.perf_counter()
                batch = {key: value.to(processes.device, non_blocking=True) for key, value in next(batches).items()}
                waited += time.perf_counter() - asked
                used.append(batch)
                # Gradients are exchanged once a step, with the last part.
                together = nullcontext() if part == parts - 1 else processes.no_sync(model)
                with together, need_of_memory(stage.name):
                    part_loss, part_figures = model(batch)
                    (part_loss / parts).backward()
                loss += part_loss.detach() / parts
                for key, value in part_figures.items():
                    figures[key] = figures.get(key, 0.0) + value.detach() / parts
            norm = gradient_norm(trained, settings.clip_norm)
            mean, bad, stopping = share_loss(processes, loss, norm, stop.requested)
            if bad:
                saved = run.save_batches(used, position.step)
                raise ModelError(
                    f"{stage.name}: loss {mean} and gradient norm {float(norm)} at step {position.step}, after "
                    f"{position.seen} clips; the batch is in {saved}, the last checkpoint is kept; "
                    f"look at the batch, or lower {stage.name}.lr"
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            position.step += 1
            position.seen += batch_size
            averages.update(position.seen, batch_size)

            stats.add(
                {"loss": mean, "gradient_norm": float(norm), **{key: float(value) for key, value in figures.items()}},
                clips=batch_size, seconds=time.perf_counter() - began, waited=waited,
            )  # fmt: skip
            last = position.seen >= settings.clips
            if last or due(settings.log_every, position.seen, batch_size):
                say(stats.write(step=position.step, seen=position.seen, lr=rate))
            if settings.samples_every and (last or due(settings.samples_every, position.seen, batch_size)):
                with averages.applied(settings.ema[0]), torch.no_grad():
                    stats.pictures(model(None), position.seen)
            if last or due(settings.snapshot_every or settings.clips / 20, position.seen, batch_size):
                run.save_snapshots(averages, position.seen)
            if last or stopping or due(settings.save_every, position.seen, batch_size):
                run.save(bare(model), optimizer, averages, vars(position))
            if stopping and not last:
                raise Cancelled(f"{stage.name} was stopped after {position.seen} clips; the same command goes on")
    return averages


def due(every: float, seen: int, batch: int) -> bool:
    """Whether the last `batch` of `seen` clips passed a multiple of `every`."""
    return seen // every > (seen - batch) // every
