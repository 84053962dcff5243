# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of the weights whose length is chosen after training (Karras et al. 2024, arXiv 2312.02696, section 3).

An average with a power-function profile weighs what the weights were at time s, seen from time t, by (s / t) ** gamma:
a fixed share of the training however long it was. Its length is the profile's relative standard deviation. Two of
them are kept while training, and snapshots of both; the average of any other length is, as closely as they allow,
a linear combination of the snapshots. Time is counted in clips seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributed.tensor import DTensor, distribute_tensor


def exponent_of(length: float) -> float:
    """The profile's exponent gamma for a relative standard deviation in (0, 0.289): eq. 126's only valid root."""
    target = length**-2
    return float(np.roots([1, 7, 16 - target, 12 - target]).real.max())


def decay(length: float, now: float, delta: float) -> float:
    """What an average keeps of itself in the update that ends at time `now` and covers `delta`; 0 at the first."""
    return (1 - delta / now) ** (exponent_of(length) + 1)


def combination(
    times: Sequence[float], lengths: Sequence[float], time: float, length: float
) -> NDArray[np.float64]:
    """Factors of snapshots that together come closest to the average of `length` at `time` (algorithm 3).

    Args:
        times: of the snapshots.
        lengths: theirs.
        time: at which the average is wanted, not before the last snapshot's.
        length: wanted.

    Returns:
        `[snapshots]`, of sum 1.
    """
    each, exponents = np.asarray(times, float), np.array([exponent_of(value) for value in lengths])
    among = _overlap(each[:, None], exponents[:, None], each[None], exponents[None])
    wanted = _overlap(each, exponents, np.asarray(float(time)), np.asarray(exponent_of(length)))
    # Neighbouring profiles are nearly the same: their inner products alone do not always determine a solution.
    factors = np.linalg.lstsq(among, wanted, rcond=1e-12)[0]
    return factors / factors.sum()


def _overlap(
    time_a: NDArray[np.float64],
    exponent_a: NDArray[np.float64],
    time_b: NDArray[np.float64],
    exponent_b: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Inner product of two profiles."""
    ratio = time_a / time_b
    power = np.where(time_a < time_b, exponent_b, -exponent_a)
    numerator = (exponent_a + 1) * (exponent_b + 1) * ratio**power
    return numerator / ((exponent_a + exponent_b + 1) * np.maximum(time_a, time_b))


class Averages:
    """Running averages of a module's parameters.

    Where the parameters are shared out among processes (FSDP), so are the averages.

    Args:
        module: whose parameters are averaged; those that are not trained are left out.
        lengths: of the averages.
    """

    def __init__(self, module: torch.nn.Module, lengths: Sequence[float]) -> None:
        self.lengths = tuple(lengths)
        self._parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self._averages = {
            length: {name: _local(value).detach().clone() for name, value in self._parameters.items()}
            for length in self.lengths
        }

    @torch.no_grad()
    def update(self, now: float, delta: float) -> None:
        """Take the parameters in, as they are at time `now`, `delta` after the last time."""
        current = [_local(value) for value in self._parameters.values()]
        for length, average in self._averages.items():
            torch._foreach_lerp_(list(average.values()), current, 1 - decay(length, now, delta))

    @torch.no_grad()
    def whole(self, length: float) -> dict[str, torch.Tensor]:
        """An average, whole, on the CPU; all processes must call it."""
        return {
            name: _whole(average, self._parameters[name]) for name, average in self._averages[length].items()
        }

    @torch.no_grad()
    def restore(self, length: float, values: dict[str, torch.Tensor]) -> None:
        """Set an average to what `whole` gave."""
        for name, average in self._averages[length].items():
            average.copy_(_local(_like(values[name], self._parameters[name])))

    @contextmanager
    def applied(self, length: float) -> Iterator[None]:
        """The module with an average for its parameters, for as long as the context lasts."""
        kept = {name: _local(value).detach().clone() for name, value in self._parameters.items()}
        try:
            self._set(self._averages[length])
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: dict[str, torch.Tensor]) -> None:
        for name, parameter in self._parameters.items():
            _local(parameter).copy_(values[name])


def _local(value: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor that is shared out, or the tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def _whole(part: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if isinstance(like, DTensor):
        shared = DTensor.from_local(
            part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )
        part = shared.full_tensor()
    return part.detach().to("cpu", copy=True)


def _like(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
