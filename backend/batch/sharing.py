# SPDX-License-Identifier: GPL-3.0-or-later
"""Several previews in one forward pass, where the memory is enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError, PuppetMasterError, RequirementError
from ..protocol import PreviewRequest, PreviewResult

if TYPE_CHECKING:
    from ..loader import Pipeline

Made = tuple[NDArray[np.uint8], PreviewResult]


def generate_together(pipeline: Pipeline, requests: Sequence[PreviewRequest]) -> Iterator[Made | PuppetMasterError]:
    """Make previews of one shape; gives what came of each, in their order, as soon as it is known.

    They are given to the pipeline all at once, and half as many at a time where they do not fit into memory.

    Raises:
        Cancelled: the pipeline was asked to stop.
        RuntimeError: a fault of the program or of the graphics card.
    """
    if len(requests) == 1:
        for request in requests:
            yield _one(pipeline, request)
        return
    try:
        made = pipeline.generate_batch(requests)
    except (InputError, RequirementError):  # one of them cannot be made, or does not fit: the others can
        for request in requests:
            yield _one(pipeline, request)
        return
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        release_memory()
        half = len(requests) // 2
        yield from generate_together(pipeline, requests[:half])
        yield from generate_together(pipeline, requests[half:])
        return
    yield from made


def _one(pipeline: Pipeline, request: PreviewRequest) -> Made | PuppetMasterError:
    try:
        return pipeline.generate(request)
    except Cancelled:
        raise
    except PuppetMasterError as error:
        return error
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        release_memory()
        advice = "ask for fewer frames, or for another --device"
        return RequirementError(f"one preview alone does not fit into memory ({_first_line(error)}); {advice}")


def is_lost_device(error: Exception) -> bool:
    """Whether the graphics card no longer answers: nothing in this process can use it any more."""
    return isinstance(error, RuntimeError) and "CUDA" in str(error) and not _is_out_of_memory(error)


def _is_out_of_memory(error: Exception) -> bool:
    from ..memory import is_out_of_memory  # it imports torch, which is there once a model works

    return is_out_of_memory(error)


def release_memory() -> None:
    """Hand back what torch keeps in reserve."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
