# SPDX-License-Identifier: GPL-3.0-or-later
"""A lack of memory, told as the settings that lower the need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..backend.errors import RequirementError

NO_MEMORY_ON_CPU = "can't allocate memory"  # torch has no class for that


@contextmanager
def need_of_memory(stage: str) -> Iterator[None]:
    """Raise `RequirementError` that names the settings of `stage`, where memory runs out inside."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and NO_MEMORY_ON_CPU not in str(error):
            raise
        raise RequirementError(
            f"{stage}: out of memory; raise {stage}.accumulate, or set {stage}.checkpointing = true, "
            f'{stage}.precision = "bf16" or, with several processes, {stage}.sharding = "fsdp"'
        ) from error
