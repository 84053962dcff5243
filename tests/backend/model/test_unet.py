# SPDX-License-Identifier: GPL-3.0-or-later
"""The UNet against the plain computation, and what it promises beyond the published one."""

from __future__ import annotations

import plain_unet
import pytest
import torch
from puppet_master.backend.model import DragSpatioTemporalUNet
from puppet_master.backend.model.attention import Context, DragTransformer, all_to_first, spatial_block
from puppet_master.backend.model.drag_encoding import carried_still, cell_maps, dense_maps
from puppet_master.backend.model.drag_tokens import PositionEmbedding, drag_tokens, token_mlp

SMALL = {
    "block_out_channels": (32, 64),
    "num_attention_heads": (2, 2),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "num_drags": 3,
    "pos_embed_dim": 16,
    "drag_embedder_out_channels": (8, 8),
}


def make_unet(**changes):
    torch.manual_seed(0)
    unet = DragSpatioTemporalUNet(**{**SMALL, **changes}).eval()
    for name, parameter in unet.named_parameters():
        if "flow_convs" in name and "conv_out" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return unet


def make_inputs(batch=1, frames=3, drags=3, height=8, width=8, seed=1):
    g = torch.Generator().manual_seed(seed)
    start = torch.rand(batch, 1, drags, 2, generator=g).expand(batch, frames, drags, 2)
    now = start + 0.2 * torch.randn(batch, frames, drags, 2, generator=g)
    now[:, 0] = start[:, 0]
    return {
        "sample": torch.randn(batch, frames, 4, height, width, generator=g),
        "timestep": torch.tensor([0.3]),
        "encoder_hidden_states": torch.randn(batch, 1, 32, generator=g),
        "image_latents": torch.randn(batch, 4, height, width, generator=g),
        "drags": torch.cat([start, now], dim=-1),
    }


def relative_error(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


@torch.no_grad()
@pytest.mark.parametrize("used", [3, 1, 0])
def test_published_behaviour_equals_the_plain_computation(used):
    unet = make_unet(attend_unused_drags=True, validity_per_frame=True)
    inputs = make_inputs(batch=2)
    inputs["drags"][:, :, used:] = 0
    wanted = plain_unet.forward(unet, **inputs)
    assert relative_error(unet(**inputs), wanted) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("height", "width", "frames"), [(8, 8, 14), (6, 10, 5), (7, 9, 3), (16, 8, 1)])
def test_any_size_and_number_of_frames_runs_and_keeps_its_shape(height, width, frames):
    inputs = make_inputs(frames=frames, height=height, width=width)
    output = make_unet()(**inputs)
    assert output.shape == inputs["sample"].shape
    assert output.isfinite().all()


@torch.no_grad()
def test_drag_images_equal_the_cell_by_cell_ones():
    drags = make_inputs(batch=2, drags=4)["drags"]
    drags[:, :, 1] = 0
    drags[0, 1, 2] = 0
    found = cell_maps(drags, (drags != 0).any(dim=-1), 5, 9)
    assert torch.allclose(found, plain_unet.drag_image(drags, 5, 9), atol=1e-6)


@torch.no_grad()
def test_drag_images_write_offsets_of_start_now_and_end_into_their_cells():
    drags = torch.tensor([[0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.9]])[None, :, None]
    image = cell_maps(drags, torch.ones(1, 2, 1, dtype=torch.bool), 4, 4)[0]
    assert image[0, 0, 0, 0] == pytest.approx(0.4) and image[0, 2, 0, 0] == pytest.approx(0.4)
    assert image[0, 4, 3, 2] == pytest.approx(0.4) and image[0, 5, 3, 2] == pytest.approx(0.6)
    assert image[1, 2, 3, 2] == pytest.approx(0.4) and image[1, 2, 0, 0] == -1
    assert (image == -1).sum() == 2 * 6 * 16 - 2 * 6


@torch.no_grad()
def test_without_end_location_drag_images_are_the_same_but_for_it():
    drags = make_inputs(batch=2, frames=3, drags=2)["drags"]
    used = torch.ones(2, 3, 2, dtype=torch.bool)
    whole = cell_maps(drags, used, 4, 6).unflatten(2, (2, 6))
    assert torch.equal(cell_maps(drags, used, 4, 6, end_location=False), whole[:, :, :, :4].flatten(2, 3))


@torch.no_grad()
def test_without_end_location_a_frame_does_not_know_where_its_drags_will_end():
    inputs = make_inputs(frames=3)
    other = inputs["drags"].clone()
    other[:, -1, :, 2:] += 0.2
    for end_location, same in ((True, False), (False, True)):
        unet = make_unet(drag_end_location=end_location)
        maps, changed = (unet.encode_drags(drags, 8, 8)[0][0][:2] for drags in (inputs["drags"], other))
        assert torch.equal(maps, changed) is same


@torch.no_grad()
def test_drag_tokens_equal_the_ones_made_one_by_one():
    torch.manual_seed(2)
    drags = make_inputs(batch=2, frames=2)["drags"] * 1.4 - 0.2  # some places outside the image
    drags[1, :, 2] = 0
    hidden = torch.randn(4, 8, 5, 7)
    mlp = token_mlp(8, 16, 12)
    found = drag_tokens(mlp, hidden, drags, (drags != 0).any(dim=-1).any(dim=1), PositionEmbedding(16))
    assert torch.allclose(found, plain_unet.tokens(mlp, hidden, drags, 16), atol=1e-5)


@torch.no_grad()
def test_all_to_first_equals_keys_and_values_expanded_per_frame():
    attn = make_unet().down_blocks[0].attentions[0].transformer_blocks[0].attn1
    x = torch.randn(2 * 5, 12, 32)
    assert torch.allclose(all_to_first(attn, x, 2, 5), plain_unet.AllToFirst(5)(attn, x), atol=1e-5)


def modulated(unet):
    """The first layer's modulation, and its hidden states before and after it."""
    inputs, seen, block = make_inputs(), {}, unet.down_blocks[0]
    maps = unet.encode_drags(inputs["drags"], 8, 8)
    block.resnets[0].register_forward_hook(lambda _, __, output: seen.update(before=output))
    block.attentions[0].register_forward_pre_hook(lambda _, arguments: seen.update(after=arguments[0]))
    unet(**inputs, drag_maps=maps)
    return maps[0][0], seen


@torch.no_grad()
def test_modulation_is_scale_and_shift_after_the_residual_block():
    modulation, seen = modulated(make_unet(drag_token_cross_attn=False))
    scale, shift = modulation.chunk(2, dim=1)
    assert torch.allclose(seen["after"], plain_unet.modulate(seen["before"], scale, shift))


@torch.no_grad()
def test_without_scale_the_modulation_is_the_shift_alone():
    modulation, seen = modulated(make_unet(drag_scale=False))
    assert modulation.shape == seen["before"].shape
    assert torch.allclose(seen["after"], seen["before"] + modulation) and modulation.abs().max() > 0.01


@torch.no_grad()
def test_without_all_to_first_each_frame_attends_to_itself():
    torch.manual_seed(4)
    block = make_unet().down_blocks[0].attentions[0].transformer_blocks[0]
    x, tokens = torch.randn(3, 12, 32), torch.randn(1, 3, 2, 32)
    found = spatial_block(block, x, Context(tokens, None), to_first=False)
    alone = [spatial_block(block, x[n : n + 1], Context(tokens[:, n : n + 1], None)) for n in range(3)]
    assert torch.allclose(found, torch.cat(alone), atol=1e-5)
    assert not torch.allclose(found, spatial_block(block, x, Context(tokens, None)), atol=1e-3)


@pytest.mark.parametrize("all_to_first", [True, False])
def test_all_layers_attend_as_the_configuration_says(all_to_first):
    unet = make_unet(all_to_first=all_to_first)
    found = [module.all_to_first for module in unet.modules() if isinstance(module, DragTransformer)]
    assert found == [all_to_first] * 4


@torch.no_grad()
@pytest.mark.parametrize("switch", ["drag_end_location", "drag_scale", "all_to_first", "drag_token_cross_attn"])
def test_what_the_paper_adds_can_be_left_out_and_is_saved_so(tmp_path, switch):
    inputs = make_inputs()
    whole, less = make_unet(), make_unet(**{switch: False})
    assert not torch.allclose(less(**inputs), whole(**inputs), atol=1e-4)
    less.save_pretrained(tmp_path)
    again = DragSpatioTemporalUNet.from_pretrained(tmp_path)
    assert torch.allclose(again(**inputs), less(**inputs), atol=1e-5)


@torch.no_grad()
def test_maps_computed_once_give_the_same_as_maps_computed_inside():
    unet, inputs = make_unet(dense_bandwidths=(0.1,)), make_inputs()
    maps = unet.encode_drags(inputs["drags"], 8, 8)
    assert torch.equal(unet(**inputs, drag_maps=maps), unet(**inputs))


@torch.no_grad()
def test_a_masked_drag_leaves_no_trace():
    unet, inputs = make_unet(dense_bandwidths=(0.1,), carry_bandwidths=(0.2,)), make_inputs()
    mask = torch.tensor([[True, False, True]])
    one = unet(**inputs, drag_mask=mask)
    inputs["drags"][:, :, 1] = 0.77
    assert torch.equal(unet(**inputs, drag_mask=mask), one)


@torch.no_grad()
def test_fewer_drags_than_slots_equal_masked_slots():
    unet, inputs = make_unet(), make_inputs()
    masked = unet(**inputs, drag_mask=torch.tensor([[True, True, False]]))
    inputs["drags"] = inputs["drags"][:, :, :2]
    assert torch.allclose(unet(**inputs), masked, atol=1e-5)


@torch.no_grad()
def test_no_drags_at_all_runs():
    unet, inputs = make_unet(), make_inputs(drags=0)
    assert unet(**inputs).isfinite().all()


@torch.no_grad()
def test_a_drag_that_rests_in_the_corner_counts_when_it_is_masked_in():
    unet, inputs = make_unet(), make_inputs()
    inputs["drags"][:, :, 1] = 0
    everything = torch.ones(1, 3, dtype=torch.bool)
    without = unet(**inputs)
    assert not torch.allclose(unet(**inputs, drag_mask=everything), without, atol=1e-4)


def test_more_drags_than_slots_are_refused_by_number():
    with pytest.raises(ValueError, match=r"4 drags, but the model has 3 slots"):
        make_unet()(**make_inputs(drags=4))


@torch.no_grad()
def test_dense_maps_do_not_depend_on_the_order_of_slots():
    drags = make_inputs()["drags"]
    valid = torch.tensor([[[True, True, False]] * 3])
    swapped = dense_maps(drags[:, :, [1, 2, 0]], valid[:, :, [1, 2, 0]], 6, 6, (0.1, 0.3))
    assert torch.allclose(dense_maps(drags, valid, 6, 6, (0.1, 0.3)), swapped, atol=1e-6)


@torch.no_grad()
def test_dense_maps_show_the_displacement_at_the_start_and_nothing_far_away():
    drags = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.5, 0.25]])[None, :, None]
    maps = dense_maps(drags, torch.ones(1, 2, 1, dtype=torch.bool), 8, 8, (0.05,))[0, 1]
    assert maps[0, 1, 1] == pytest.approx(1.0, abs=0.05)  # 0.25 to the right, times the gain of 4
    assert maps[:2, 7, 7].abs().max() < 1e-3
    assert maps[3, 1, 3] > 0.5  # around where it has arrived


@torch.no_grad()
def test_the_carried_still_has_the_content_where_the_drag_brings_it():
    still = torch.zeros(1, 4, 16, 16)
    still[:, :, 6:9, 6:9] = 1
    drags = torch.tensor([[0.46, 0.46, 0.46, 0.46], [0.46, 0.46, 0.71, 0.46]])[None, :, None]
    carried = carried_still(still, drags, torch.ones(1, 2, 1, dtype=torch.bool), (0.12, 0.3))[0]
    assert carried.shape == (2, 8, 16, 16)
    assert carried[0].abs().max() < 1e-5  # nothing has moved in frame 0
    frame = carried[1, :4] + still[0]
    assert frame[:, 7, 10:12].min() > 0.9  # a quarter of the image to the right: four cells
    assert torch.allclose(frame[:, :, :2], still[0, :, :, :2]) and frame[:, 7, 14:].abs().max() < 1e-5


@torch.no_grad()
def test_unused_drags_carry_nothing():
    inputs = make_inputs()
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    assert carried_still(inputs["image_latents"], inputs["drags"], nothing, (0.2,)).abs().max() < 1e-5


def test_tokens_let_gradients_through_to_the_features():
    hidden = torch.randn(3, 8, 5, 5, requires_grad=True)
    drags = make_inputs()["drags"]
    valid = torch.ones(1, 3, dtype=torch.bool)
    drag_tokens(token_mlp(8, 16, 12), hidden, drags, valid, PositionEmbedding(16)).sum().backward()
    assert hidden.grad.abs().sum() > 0


@torch.no_grad()
def test_unused_tokens_are_attended_only_in_the_published_behaviour():
    unet = make_unet()
    block = unet.down_blocks[0].attentions[0].transformer_blocks[0]
    x, tokens = torch.randn(3, 4, 32), torch.randn(1, 3, 3, 32)
    mask = torch.tensor([[True, True, False]])
    masked = spatial_block(block, x, Context(tokens, mask))
    assert torch.allclose(masked, spatial_block(block, x, Context(tokens[:, :, :2], None)), atol=1e-6)
    assert not torch.allclose(masked, spatial_block(block, x, Context(tokens, None)), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
def test_half_precision_agrees_with_single_within_its_digits(dtype, tolerance):
    unet, inputs = make_unet(dense_bandwidths=(0.1,)), make_inputs()
    wanted = unet(**inputs)
    half = {name: value.to(dtype) if name != "drags" else value for name, value in inputs.items()}
    found = unet.to(dtype)(**half)
    assert found.dtype == dtype
    assert relative_error(found.float(), wanted) < tolerance


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@torch.no_grad()
def test_cuda_agrees_with_the_cpu():
    unet, inputs = make_unet(), make_inputs()
    wanted = unet(**inputs)
    found = unet.cuda()(**{name: value.cuda() for name, value in inputs.items()}).cpu()
    assert relative_error(found, wanted) < 1e-3


@torch.no_grad()
def test_it_compiles_as_one_graph_and_gives_the_same():
    unet, inputs = make_unet(dense_bandwidths=(0.1,), carry_bandwidths=(0.2,)), make_inputs()
    mask = torch.tensor([[True, True, False]])
    # "eager" traces the whole graph, which is what fullgraph is about, without a C++ compiler.
    compiled = torch.compile(unet, fullgraph=True, backend="eager")
    maps = unet.encode_drags(inputs["drags"], 8, 8, mask)
    found = compiled(**inputs, drag_mask=mask, drag_maps=maps)
    assert torch.allclose(found, unet(**inputs, drag_mask=mask, drag_maps=maps), atol=1e-5)


@torch.no_grad()
def test_it_survives_saving_and_loading(tmp_path):
    unet, inputs = make_unet(norm_num_groups=8, dense_bandwidths=(0.1,)), make_inputs()
    unet.save_pretrained(tmp_path / "unet")
    again = DragSpatioTemporalUNet.from_pretrained(tmp_path, subfolder="unet").eval()
    assert torch.allclose(again(**inputs), unet(**inputs), atol=1e-5)


def test_an_untrained_drag_embedding_changes_nothing():
    torch.manual_seed(0)
    unet, inputs = DragSpatioTemporalUNet(**SMALL), make_inputs()
    for modulations in unet.encode_drags(inputs["drags"], 8, 8):
        assert all((modulation == 0).all() for modulation in modulations)


def test_gradient_checkpointing_gives_the_same_gradients():
    inputs = make_inputs()
    gradients = []
    for checkpointed in (False, True):
        unet = make_unet().train()
        if checkpointed:
            unet.enable_gradient_checkpointing()
        unet(**inputs).square().mean().backward()
        gradients.append(unet.conv_in.weight.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def doubled(unet, inputs, mask=None):
    """Drag maps of the clips, then of as many without drags; and what a clip that is told zeros gives."""
    nothing = torch.zeros_like(inputs["drags"])
    none = torch.zeros(nothing.shape[0], nothing.shape[2], dtype=torch.bool)
    maps = unet.encode_drags(inputs["drags"], 8, 8, mask)
    empty = unet.encode_drags(nothing, 8, 8, none)
    both = [[torch.cat(pair) for pair in zip(*blocks, strict=True)] for blocks in zip(maps, empty, strict=True)]
    told = {
        **inputs,
        "encoder_hidden_states": torch.zeros_like(inputs["encoder_hidden_states"]),
        "image_latents": torch.zeros_like(inputs["image_latents"]),
        "drags": nothing,
    }
    return maps, both, unet(**told, drag_mask=none, drag_maps=empty)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [{}, {"attend_unused_drags": True, "validity_per_frame": True}, {"drag_token_gate": True},
     {"carry_bandwidths": (0.1,)}, {"drag_token_cross_attn": False}],
)  # fmt: skip
def test_clips_that_are_told_nothing_equal_clips_told_zeros(changes):
    unet, inputs = make_unet(**changes), make_inputs(batch=2)
    for block in (*unet.down_blocks, *unet.up_blocks):
        for gate in getattr(block, "token_gates", ()):
            gate.fill_(0.7)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    maps, both, wanted = doubled(unet, inputs, mask)
    conditional = unet(**inputs, drag_mask=mask, drag_maps=maps)
    twice = {**inputs, "sample": inputs["sample"].repeat(2, 1, 1, 1, 1)}
    found = unet(**twice, drag_mask=mask, drag_maps=both)
    assert relative_error(found[:2], conditional) < 1e-5
    assert relative_error(found[2:], wanted) < 1e-5
    assert relative_error(found[:2], found[2:]) > 1e-3


@torch.no_grad()
def test_a_call_may_be_of_unconditional_clips_alone():
    unet, inputs = make_unet(), make_inputs(batch=2)
    _, _, wanted = doubled(unet, inputs)
    nobody = {name: inputs[name][:0] for name in ("encoder_hidden_states", "image_latents", "drags")}
    empty = unet.encode_drags(torch.zeros_like(inputs["drags"]), 8, 8, torch.zeros(2, 3, dtype=torch.bool))
    mask = torch.zeros(0, 3, dtype=torch.bool)
    found = unet(inputs["sample"], inputs["timestep"], **nobody, drag_mask=mask, drag_maps=empty)
    assert relative_error(found, wanted) < 1e-5


@torch.no_grad()
def test_deep_features_of_the_same_call_give_the_same():
    unet, inputs = make_unet(block_out_channels=(32, 64, 64), num_attention_heads=(2, 2, 2)), make_inputs()
    wanted, deep = unet.forward_with_deep_features(**inputs)
    assert relative_error(unet(**inputs, deep=deep), wanted) < 1e-5
    assert relative_error(unet(**inputs, deep=torch.zeros_like(deep)), wanted) > 1e-3
