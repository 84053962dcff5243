# SPDX-License-Identifier: GPL-3.0-or-later
"""Several previews in one forward pass: as many as memory takes, and one that cannot be made spoils no other."""

from __future__ import annotations

import pytest
from puppet_master.backend.batch.sharing import generate_together, is_lost_device
from puppet_master.backend.errors import InputError, RequirementError
from puppet_master.backend.protocol import PreviewRequest


class Batched:
    """Takes `room` previews at a time; refuses the seed `bad`."""

    def __init__(self, room: int, bad: int = -1):
        self.room, self.bad, self.asked = room, bad, []

    def generate_batch(self, requests):
        self.asked.append(len(requests))
        if len(requests) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return [self._make(request) for request in requests]

    def generate(self, request):
        self.asked.append(1)
        return self._make(request)

    def _make(self, request):
        if request.seed == self.bad:
            raise InputError("the still is broken")
        if self.room < 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return request.seed, None


@pytest.fixture
def requests():
    return [PreviewRequest(b"png", seed=seed) for seed in range(6)]


@pytest.mark.parametrize(
    "room, asked", [(6, [6]), (3, [6, 3, 3]), (2, [6, 3, 1, 2, 3, 1, 2]), (1, [6, 3, 1, 2, 1, 1, 3, 1, 2, 1, 1])]
)
def test_as_many_share_a_pass_as_memory_takes(requests, room, asked):
    pipeline = Batched(room)
    assert [made[0] for made in generate_together(pipeline, requests)] == [0, 1, 2, 3, 4, 5]
    assert pipeline.asked == asked


def test_the_one_that_cannot_be_made_is_found(requests):
    made = list(generate_together(Batched(6, bad=2), requests))
    assert isinstance(made[2], InputError) and [one[0] for one in made if isinstance(one, tuple)] == [0, 1, 3, 4, 5]


def test_what_does_not_fit_alone_is_said_to_need_more_memory(requests):
    assert all(isinstance(made, RequirementError) for made in generate_together(Batched(0), requests))


def test_other_faults_are_not_taken_for_a_lack_of_memory(requests):
    class Broken:
        def generate_batch(self, requests):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(generate_together(Broken(), requests))
    assert is_lost_device(RuntimeError("CUDA error: unspecified launch failure"))
    assert not is_lost_device(RuntimeError("CUDA out of memory")) and not is_lost_device(MemoryError())
