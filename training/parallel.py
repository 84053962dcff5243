# SPDX-License-Identifier: GPL-3.0-or-later
"""How several processes train one model: each with a copy (DDP), or each with a share of it (FSDP)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from ..backend.errors import InputError
from .settings import TrainingSettings

if TYPE_CHECKING:
    from .loop import Stage


def start_processes(device: str) -> Accelerator:
    """Join the other processes that `accelerate launch` or torchrun started, if any.

    Args:
        device: "cpu", or else CUDA where torch finds it.

    Raises:
        InputError: CUDA was asked for and is not there, or accelerate was told to share out the model by itself.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError('device = "cuda", but torch finds no CUDA; set it to "cpu" or "auto"')
    processes = Accelerator(cpu=device == "cpu" or not has_cuda)
    if processes.distributed_type.name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise InputError(
            'accelerate is configured to share out the model; launch without it, and set sharding = "fsdp" in the '
            "stage's section instead"
        )
    return processes


def parallel(model: nn.Module, stage: Stage, settings: TrainingSettings, processes: Accelerator) -> nn.Module:
    """The model as these processes train it together."""
    if processes.num_processes == 1:
        return model
    if settings.sharding == "fsdp":
        # Gathered, and reduced, in the precision that is computed in; kept in float32.
        policy = MixedPrecisionPolicy()
        if settings.precision == "bf16":
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        for part in list(model.modules()):
            if isinstance(part, stage.units):
                fully_shard(part, mp_policy=policy)
        return fully_shard(model, mp_policy=policy)
    # The mid block attends to a single token: its queries and keys are idle and never get gradients.
    where = [processes.device] if processes.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=where, find_unused_parameters=True)


def bare(model: nn.Module) -> nn.Module:
    """The model itself, without what copies it to other processes."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def is_shared_out(model: nn.Module) -> bool:
    """Whether each process has but a part of the weights."""
    return isinstance(model, FSDPModule)


def gradient_norm(parameters: Sequence[nn.Parameter], largest: float) -> torch.Tensor:
    """Scale the gradients down to a norm of `largest`, if theirs is larger; the norm they had."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def share_loss(
    processes: Accelerator, loss: torch.Tensor, norm: torch.Tensor, stop: bool
) -> tuple[float, bool, bool]:
    """The mean loss over all processes; whether any loss or norm is no number; whether any process is to stop."""
    bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
    told = torch.stack([loss.float(), bad.float(), torch.tensor(float(stop), device=loss.device)])
    total, bad_count, stop_count = processes.reduce(told, reduction="sum").tolist()
    return total / processes.num_processes, bad_count > 0 or not math.isfinite(total), stop_count > 0
