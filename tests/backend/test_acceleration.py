# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded and compiled forwards: equal to the plain one, whatever changes from call to call."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from puppet_master.backend.acceleration import Accelerated, Recorded, changing_leaves, channels_last, compile_key
from puppet_master.backend.errors import InputError, RequirementError
from puppet_master.backend.model import DragSpatioTemporalUNet
from torch.utils import _pytree as pytree


def replayed(run):
    """Stands for a CUDA graph: the same call on the same buffers, into the same output."""
    output = run()

    def replay():
        for mine, fresh in zip(pytree.tree_leaves(output), pytree.tree_leaves(run()), strict=True):
            mine.copy_(fresh)

    return replay, output


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return DragSpatioTemporalUNet(
        block_out_channels=(32, 64), num_attention_heads=(2, 2), layers_per_block=1, cross_attention_dim=32,
        num_drags=3, pos_embed_dim=16, drag_embedder_out_channels=(8, 8),
    ).eval()  # fmt: skip


def arguments(unet, seed):
    torch.manual_seed(seed)
    drags, mask = torch.rand(1, 3, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    told = (torch.randn(1, 1, 32), torch.randn(1, 4, 8, 8), drags, mask, unet.encode_drags(drags, 8, 8, mask))
    return (torch.randn(1, 3, 4, 8, 8), torch.rand(1), *told, None)


@torch.inference_mode()
def test_a_recorded_forward_follows_every_argument(unet):
    first = arguments(unet, 1)
    leaves, structure = pytree.tree_flatten(first)

    def call(*given):
        return unet.forward_with_deep_features(*pytree.tree_unflatten(list(given), structure))

    recorded = Recorded(call, leaves, changing_leaves(first), replayed)
    for given in (first, arguments(unet, 2), arguments(unet, 3), (*arguments(unet, 4)[:2], *first[2:])):
        found, deep = recorded(pytree.tree_leaves(given))
        wanted, wanted_deep = unet.forward_with_deep_features(*given)
        assert torch.allclose(found, wanted, atol=1e-5) and torch.allclose(deep, wanted_deep, atol=1e-5)


@torch.inference_mode()
def test_what_is_the_same_tensor_is_copied_once_unless_it_changes_at_every_step(unet):
    given = arguments(unet, 1)
    leaves = pytree.tree_leaves(given)
    changing = changing_leaves(given)
    assert changing == {0, 1, len(leaves) - 1}  # latents, noise level, deep features
    recorded = Recorded(lambda *given: given[0] + given[2].sum(), leaves, changing, replayed)
    leaves[0].add_(1.0)  # the same tensor with other numbers, as a graph's output is
    assert torch.allclose(recorded(leaves), leaves[0] + leaves[2].sum())


@torch.inference_mode()
def test_channels_last_gives_the_same(unet):
    given = arguments(unet, 1)
    wanted, _ = unet.forward_with_deep_features(*given)
    channels_last(other := deepcopy(unet))
    assert not other.conv_in.weight.is_contiguous()
    found, _ = other.forward_with_deep_features(*given)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_on_a_cpu_automatic_is_plain(unet):
    given = arguments(unet, 1)
    accelerated = Accelerated(unet, "auto", "hash")
    with torch.inference_mode():
        assert torch.equal(accelerated(*given)[0], unet.forward_with_deep_features(*given)[0])
    assert not accelerated._recorded


def test_kinds_that_do_not_exist_or_do_not_run_here_are_refused(unet):
    with pytest.raises(InputError, match="acceleration must be one of auto, plain, graphs, compile"):
        Accelerated(unet, "fast", "hash")
    if not torch.cuda.is_available():
        with pytest.raises(RequirementError, match="CUDA graphs need a GPU"):
            Accelerated(unet, "graphs", "hash")


def test_what_compiling_made_is_kept_under_all_it_depends_on(unet):
    key = compile_key(unet, "a")
    assert key == compile_key(unet, "a") != compile_key(unet, "b")
    channels_last(other := deepcopy(unet))
    assert compile_key(other, "a") != key


@torch.inference_mode()
def test_what_compiling_made_on_a_cpu_is_kept_once_a_shape(unet, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setenv("PUPPET_MASTER_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)  # the compiler itself takes minutes
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: saved.append(1) or (b"compiled", None))
    accelerated = Accelerated(unet, "compile", "hash")
    for seed in range(2):
        accelerated(*arguments(unet, seed))
    (kept,) = (tmp_path / "compiled").iterdir()
    assert (kept.name, kept.read_bytes(), saved) == (f"{compile_key(unet, 'hash')}.bin", b"compiled", [1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@torch.inference_mode()
def test_cuda_graphs_equal_the_plain_forward(unet):
    on_gpu = unet.to("cuda")
    accelerated = Accelerated(on_gpu, "graphs", "hash")
    for seed in range(3):
        given = pytree.tree_map(lambda leaf: leaf.cuda() if leaf is not None else None, arguments(unet.cpu(), seed))
        on_gpu = unet.to("cuda")
        assert torch.allclose(accelerated(*given)[0], on_gpu.forward_with_deep_features(*given)[0], atol=1e-4)
    unet.to("cpu")
