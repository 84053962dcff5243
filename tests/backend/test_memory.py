# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory modes: which is chosen, that all give the same, and what happens when memory runs out in the middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from puppet_master.backend import memory
from puppet_master.backend.errors import InputError, RequirementError
from puppet_master.backend.jobs import JobQueue
from puppet_master.backend.memory import GIB, Needs, Placement, Room, Streamed, choose
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.protocol import PreviewRequest

# Of the full-size model: UNet, VAE, image encoder; 14 frames of 256 x 256.
SVD = Needs.of({"unet": 1_675_809_962, "vae": 97_742_847, "encoder": 632_076_800}, 14 * 256 * 256)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("gpu", "ram", "mode"),
    [(79, 100, "resident"), (7, 32, "resident"), (6, 32, "offload"), (4, 32, "chunked"), (0, 32, "cpu"),
     (0.5, 32, "cpu"), (6, 3, None), (0, 4, None)],
)  # fmt: skip
def test_the_quickest_mode_that_has_room_is_chosen(gpu, ram, mode):
    room = Room(int(gpu * GIB), int(ram * GIB))
    if mode is None:
        with pytest.raises(RequirementError, match=r"the model needs 6\.5 GiB of memory"):
            choose("auto", SVD, room)
    else:
        assert choose("auto", SVD, room) == mode


def test_a_mode_that_is_asked_for_is_taken_at_the_users_word():
    assert choose("resident", SVD, Room(GIB, GIB)) == "resident"
    with pytest.raises(RequirementError, match="memory mode offload needs a GPU"):
        choose("offload", SVD, Room(0, 64 * GIB))
    with pytest.raises(InputError, match="memory must be one of auto, resident"):
        choose("most", SVD, Room(0, 0))


def test_the_needs_of_a_model_are_told_from_its_files(model_folder):
    pipeline = PreviewPipeline.load(model_folder)
    count = memory.count_parameters(model_folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert count == sum(parameter.numel() for parameter in pipeline.unet.parameters())


def test_a_model_too_large_for_single_precision_runs_in_half(model_folder, still_png, monkeypatch):
    monkeypatch.setattr(memory, "singles_fit", lambda needs: False)
    pipeline = PreviewPipeline.load(model_folder)
    frames, result = pipeline.generate(PreviewRequest(still_png))
    assert result.device == "cpu bfloat16" and frames.std() > 0


def load(model_folder, mode):
    """A pipeline in a mode, on the CPU in the GPU's place."""
    pipeline = PreviewPipeline.load(model_folder, mode="cpu")
    parts = {"unet": pipeline.unet, "vae": pipeline.vae, "encoder": pipeline.encoder}
    pipeline.placement = Placement(parts, CPU, mode, SVD)
    return pipeline


@pytest.fixture
def request_(still_png, drag):
    return PreviewRequest(still_png, (drag,), guidance=(1.0, 3.0))


def test_all_modes_give_the_same_preview(model_folder, request_):
    wanted, _ = load(model_folder, "resident").generate(request_)
    for mode in ("offload", "chunked", "cpu"):
        found, result = load(model_folder, mode).generate(request_)
        assert np.abs(found.astype(int) - wanted).max() <= 1 and result.memory == mode


def test_streamed_layers_are_on_the_device_for_their_own_call_alone():
    part = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    Streamed(part, torch.device("meta"))
    assert part[0].weight.device.type == "cpu" and part[1].weight.device.type == "meta"
    during = []
    part[0].register_forward_pre_hook(lambda module, _: during.append(module.weight.device.type))
    part[0](torch.zeros(3, 4, device="meta"))
    assert during == ["meta"] and part[0].weight.device.type == "cpu"


def test_a_part_that_was_streamed_is_whole_again_afterwards():
    part = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    before = {name: value.clone() for name, value in part.state_dict().items()}
    streamed = Streamed(part, CPU)
    with torch.inference_mode():
        part(torch.randn(3, 4))
    streamed.end()
    assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())
    part(torch.randn(3, 4)).sum().backward()  # no tensor of inference mode was left behind


class OutOfMemory:
    """A UNet's forward for which memory runs out at some of its calls."""

    def __init__(self, pipeline, calls, error=torch.OutOfMemoryError):
        self.original, self.calls, self.error, self.count = pipeline._accelerated.plain, calls, error, 0
        pipeline._accelerated.plain = self

    def __call__(self, *given):
        self.count += 1
        if self.count in self.calls:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.original(*given)


def test_out_of_memory_goes_on_in_the_next_cheaper_mode_and_says_so(model_folder, request_):
    wanted, _ = load(model_folder, "resident").generate(request_)
    pipeline, told = load(model_folder, "offload"), []
    OutOfMemory(pipeline, {2})
    found, result = pipeline.generate(request_, on_step=told.append)
    assert np.abs(found.astype(int) - wanted).max() <= 1
    note = "out of memory in mode offload: made again in mode chunked, which takes longer"
    assert (result.memory, result.notes) == ("chunked", (note,))
    assert all(step.notes == (note,) for step in told)
    _, later = pipeline.generate(request_)
    assert (later.memory, later.notes) == ("chunked", ())


def test_out_of_memory_twice_fails_instead_of_going_on_for_ever(model_folder, request_):
    pipeline = load(model_folder, "offload")
    OutOfMemory(pipeline, {1, 2})
    with pytest.raises(torch.OutOfMemoryError):
        pipeline.generate(request_)


def test_out_of_memory_in_the_last_mode_says_what_to_do(model_folder, request_):
    pipeline = load(model_folder, "cpu")
    error = type("Allocator", (RuntimeError,), {})
    OutOfMemory(pipeline, {1}, lambda _: error("[enforce fail] not enough memory: you tried to allocate 1 bytes"))
    with pytest.raises(RequirementError, match="ask for fewer frames"):
        pipeline.generate(request_)


def test_other_faults_are_not_taken_for_a_lack_of_memory(model_folder, request_):
    pipeline = load(model_folder, "offload")
    OutOfMemory(pipeline, {1}, lambda _: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        pipeline.generate(request_)
    assert pipeline.placement.mode == "offload"


def test_out_of_memory_with_several_previews_makes_fewer_together(model_folder, request_):
    pipeline = load(model_folder, "resident")
    wanted, _ = pipeline.generate(request_)
    OutOfMemory(pipeline, {1})
    made = pipeline.generate_batch([request_] * 4)
    assert [result.together for _, result in made] == [2, 2, 2, 2] and pipeline.placement.mode == "resident"
    assert all(np.abs(frames.astype(int) - wanted).max() <= 1 and not result.notes for frames, result in made)


def test_the_queue_tells_it_in_its_events_and_in_the_result(model_folder, request_, until):
    pipeline = load(model_folder, "offload")
    OutOfMemory(pipeline, {2})
    queue = JobQueue(lambda model: pipeline)
    events = []
    preview = queue.submit(request_)["id"]
    queue.listen(preview, events.append, estimates=False)
    until(lambda: queue.status(preview)["state"] == "done")
    queue.close()
    assert any("made again in mode chunked" in note for event in events for note in event.data["notes"])
    assert "made again in mode chunked" in queue.status(preview)["result"]["notes"][0]


def test_what_counts_as_out_of_memory():
    assert memory.is_out_of_memory(MemoryError()) and memory.is_out_of_memory(torch.OutOfMemoryError("x"))
    assert memory.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not memory.is_out_of_memory(ValueError("can't allocate memory"))
