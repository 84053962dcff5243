# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline on a model folder with random weights: settings, determinism, cancelling, damaged folders."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from puppet_master.backend.errors import Cancelled, InputError, ModelError
from puppet_master.backend.model import DragSpatioTemporalUNet
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.previewing import NO_DRAGS
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest, PreviewResult
from puppet_master.backend.registry import CARD, SUMS, ModelInfo, find_model, list_models
from puppet_master.training.diffusion import Conditioned
from puppet_master.training.publish import publish
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole model folder, small and untrained."""
    torch.manual_seed(0)
    unet = DragSpatioTemporalUNet(
        block_out_channels=(32, 32),
        num_attention_heads=(1, 1),
        layers_per_block=1,
        cross_attention_dim=16,
        num_drags=2,
        pos_embed_dim=8,
        drag_embedder_out_channels=(8,),
    )
    for name, parameter in unet.named_parameters():
        if "flow_convs" in name and "conv_out" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            image_size=16,
            patch_size=8,
            projection_dim=16,
        )
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    info = ModelInfo(
        name="random",
        num_drags=2,
        width=SIDE,
        height=SIDE,
        frames=4,
        steps=3,
        guidance=(1.0, 1.0),
        latent_target="residual",
        target_scale=1.0,
        sigma_min=0.05,
        sigma_max=80.0,
        latent_pixels=2,
        keep_still_detail=False,
        licence="none",
    )
    return publish(Conditioned(unet, encoder), vae, info, tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def pipeline(folder):
    return PreviewPipeline.load(folder)


def still_png(width=SIDE, height=SIDE):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def drag(x1=0.8, name="part"):
    return Drag(name, (DragPoint(0, 0.3, 0.5), DragPoint(1, x1, 0.5)))


def request(**changes):
    return PreviewRequest(**{"still_png": still_png(), "drags": (drag(),), **changes})


def test_defaults_come_from_the_model_and_are_reported(pipeline):
    frames, result = pipeline.generate(request())
    assert frames.shape == (4, SIDE, SIDE, 3) and frames.dtype == np.uint8
    assert (result.model, result.frames, result.steps, result.guidance) == ("random", 4, 3, (1.0, 1.0))
    assert result.model_hash == pipeline.model_hash and len(result.model_hash) == 64
    assert set(result.timings) == {"encode", "sample", "decode"}
    assert PreviewResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_the_same_request_repeats_bit_for_bit_in_a_fresh_pipeline(pipeline, folder):
    first, _ = pipeline.generate(request(seed=5))
    again, _ = PreviewPipeline.load(folder).generate(request(seed=5))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("change", [{"seed": 1}, {"drags": (drag(0.1),)}, {"guidance": (1.0, 3.0)}, {"steps": 5}])
def test_what_is_asked_changes_the_frames(pipeline, change):
    plain, _ = pipeline.generate(request())
    changed, _ = pipeline.generate(request(**change))
    assert not np.array_equal(plain[1:], changed[1:])


def test_the_first_frame_is_the_still_itself(pipeline):
    data = still_png(50, 30)
    frames, result = pipeline.generate(request(still_png=data, frames=3))
    assert np.array_equal(frames[0], np.asarray(Image.open(io.BytesIO(data))))
    assert result.size == (50, 30) and result.model_size == (SIDE, SIDE)


def test_no_drags_are_allowed_and_said(pipeline):
    _, result = pipeline.generate(request(drags=()))
    assert result.notes == (NO_DRAGS,)


def test_more_drags_than_slots_are_refused_with_the_limit(pipeline):
    with pytest.raises(InputError, match="3 drags, but model random has 2 slots; remove 1"):
        pipeline.generate(request(drags=(drag(name="a"), drag(name="b"), drag(name="c"))))


def test_steps_are_told_with_their_estimates(pipeline):
    steps = []
    pipeline.generate(request(), on_step=lambda step: steps.append((step.index, step.total, step.estimate().shape)))
    assert steps == [(index, 3, (4, SIDE, SIDE, 3)) for index in range(3)]


def test_cancelling_ends_between_steps(pipeline):
    seen = []
    with pytest.raises(Cancelled):
        pipeline.generate(request(), on_step=lambda step: seen.append(step.index), should_stop=lambda: len(seen) == 2)
    assert seen == [0, 1]


def test_guidance_of_one_equals_no_guidance_at_all(pipeline):
    plain, _ = pipeline.generate(request(guidance=(1.0, 1.0)))
    barely, _ = pipeline.generate(request(guidance=(1.0, 1.0 + 1e-9)))
    assert np.abs(plain.astype(int) - barely.astype(int)).max() <= 1


def test_drags_follow_a_still_of_another_aspect(pipeline):
    """A wide still's drags reach the UNet where the letterboxed picture shows their points."""
    seen = {}
    original = pipeline.unet.encode_drags

    def spy(drags, *rest):
        seen.setdefault("drags", drags)
        return original(drags, *rest)

    pipeline.unet.encode_drags = spy
    try:
        pipeline.generate(request(still_png=still_png(64, 32), frames=2))
    finally:
        del pipeline.unet.encode_drags
    assert seen["drags"][0, :, 0].tolist() == [
        pytest.approx([0.3, 0.5, 0.3, 0.5]),
        pytest.approx([0.3, 0.5, 0.8, 0.5]),
    ]
    fit_height = pipeline.generate(request(still_png=still_png(32, 64), frames=2))[0]
    assert fit_height.shape == (2, 64, 32, 3)


@pytest.mark.parametrize(
    "name", ["model_index.json", CARD, "unet/config.json", "vae/diffusion_pytorch_model.safetensors"]
)
def test_an_incomplete_folder_names_the_missing_file(folder, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name.rsplit("/", maxsplit=1)[-1].replace(".", r"\.")):
        PreviewPipeline.load(copy)


def test_a_corrupt_file_is_named_by_its_checksum(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.safetensors is corrupt"):
        PreviewPipeline.load(copy)


def test_a_truncated_file_is_named_even_without_checksums(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / SUMS).unlink()
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="unet cannot be loaded"):
        PreviewPipeline.load(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "holds no object"), ("{}", "lacks "), (None, "is missing")],
)
def test_a_damaged_card_is_named(folder, tmp_path, content, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / CARD).unlink()
    if content is not None:
        (copy / CARD).write_text(content)
    with pytest.raises(ModelError, match=message):
        PreviewPipeline.load(copy)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ModelError, match="there is no model 'nonesuch'"):
        find_model("nonesuch")


def test_the_embedded_models_are_listed_with_their_limits():
    models = {model.name: model for model in list_models()}
    if not models:
        pytest.skip("no embedded model has been trained yet")
    assert models["tiny"].num_drags >= 5 and models["tiny"].frames == 14
