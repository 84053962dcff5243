# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of samples: complete, shuffled, the same for any number of readers and from any place."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from puppet_master.backend.errors import InputError
from puppet_master.backend.shards import CLIPS, shard_name, write_tar
from puppet_master.training.settings import VaeSettings
from puppet_master.training.stream import Lane, Shards, Stream
from puppet_master.training.vae import take_frames
from rendered_clips import damage, write_dataset


def number_and_chance(where, members, rng):
    """A sample that tells which one was stored and what was drawn for it."""
    return {"stored": np.int64(members["txt"].decode()), "chance": np.float32(rng.random())}


def shards(folder, sizes):
    """Shards of numbered samples."""
    folder.mkdir(exist_ok=True)
    first = 0
    for number, size in enumerate(sizes):
        samples = [(f"s{n:04d}", {"txt": str(n).encode()}) for n in range(first, first + size)]
        write_tar(folder / shard_name(CLIPS, number), samples)
        first += size
    return Shards.find([folder], CLIPS)


def stream(found, lanes=4, workers=0, seed=0, buffer=8):
    return Stream(found, number_and_chance, seed, lanes, buffer, workers)


def numbers(samples, count):
    return [(int(s["stored"]), float(s["chance"])) for s in islice(samples, count)]


@pytest.mark.parametrize(("sizes", "lanes"), [([5, 3, 4, 6, 2], 4), ([7, 5], 4), ([3], 8), ([9], 1)])
def test_each_epoch_of_the_lanes_holds_each_sample_once(tmp_path, sizes, lanes):
    found = shards(tmp_path, sizes)
    for epoch in range(3):
        seen = Counter()
        for lane in range(lanes):
            one = Lane(found, lane, lanes, seed=1, buffer=4)
            done = sum(one.size(before) for before in range(epoch))
            seen.update(stored["txt"] for stored in islice(one.read(done), one.size(epoch)))
        assert sorted(map(int, seen)) == list(range(found.total))
        assert set(seen.values()) == {1}


def test_samples_are_shuffled_and_each_epoch_anew(tmp_path):
    found = shards(tmp_path, [20, 20])
    first, second = (
        [n for n, _ in numbers(stream(found, lanes=1).samples(start, 1), 40)] for start in (0, 40)
    )
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != sorted(first) and first != second


def test_another_seed_is_another_order_the_same_seed_is_the_same(tmp_path):
    found = shards(tmp_path, [8, 8])
    order = [numbers(stream(found, seed=seed).samples(0, 1), 16) for seed in (0, 0, 1)]
    assert order[0] == order[1] != order[2]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_sample_number_i_does_not_depend_on_the_number_of_processes(tmp_path, world):
    found = shards(tmp_path, [5, 3, 6])
    alone = numbers(stream(found).samples(0, 1), 48)
    for rank in range(world):
        assert numbers(stream(found).samples(rank, world), 48 // world) == alone[rank::world]


@pytest.mark.parametrize("start", [1, 7, 30, 101])
def test_it_goes_on_at_any_sample(tmp_path, start):
    found = shards(tmp_path, [5, 3, 6])
    whole = numbers(stream(found).samples(0, 1), start + 12)
    assert numbers(stream(found).samples(start, 1), 12) == whole[start:]


@pytest.mark.parametrize(("workers", "size"), [(2, 4), (2, 3)])
def test_workers_make_the_same_batches(tmp_path, workers, size):
    found = shards(tmp_path, [5, 3, 6])
    for rank in range(2):
        alone = stream(found).batches(rank, 2, 4, size)
        shared = stream(found, workers=workers).batches(rank, 2, 4, size)
        for one, other in islice(zip(alone, shared, strict=False), 4):
            assert sorted(one["stored"].tolist()) == sorted(other["stored"].tolist())
            assert torch.equal(one["chance"].sort()[0], other["chance"].sort()[0])


def test_empty_shards_are_refused_and_one_among_others_is_left_out(tmp_path):
    assert shards(tmp_path / "some", [2, 0, 3]).total == 5
    with pytest.raises(InputError, match="are empty; make them anew"):
        shards(tmp_path / "none", [0, 0])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=r"no shards \(clips-\*.tar\)"):
        Shards.find([tmp_path / "nothing"], CLIPS)


def test_a_shard_that_ends_early_is_named_before_anything_is_read(tmp_path):
    shards(tmp_path, [3, 3])
    shard = tmp_path / shard_name(CLIPS, 1)
    shard.write_bytes(shard.read_bytes()[:1200])
    with pytest.raises(InputError, match=r"clips-000001\.tar cannot be read"):
        Shards.find([tmp_path], CLIPS)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_is_damaged_while_training_is_named_in_one_line(tmp_path, workers):
    found = shards(tmp_path, [3, 3])
    shard = tmp_path / shard_name(CLIPS, 0)
    shard.write_bytes(shard.read_bytes()[:1100])
    with pytest.raises(InputError, match=r"clips-000000\.tar cannot be read") as caught:
        for _ in islice(stream(found, lanes=1, workers=workers).batches(0, 1, 0, 2), 6):
            pass
    assert "\n" not in str(caught.value)


def test_a_damaged_clip_is_named_with_its_shard(tmp_path):
    damage(write_dataset(tmp_path, 2) / "clips-000000.tar", at=b"IDAT")
    made = Stream(Shards.find([tmp_path], CLIPS), partial(take_frames, VaeSettings(size=32)), 0, 1, 4)
    with pytest.raises(InputError, match=r"square-0 in .*clips-000000\.tar cannot be read"):
        list(islice(made.samples(0, 1), 2))
