# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights in the published format: the fixture's numbers are reproduced, misfits refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from puppet_master.backend.errors import InputError, ModelError
from puppet_master.backend.model import DragSpatioTemporalUNet
from puppet_master.backend.model.drag_encoding import cell_maps
from puppet_master.backend.model.importing import import_weights
from safetensors import safe_open
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def fixture(shared):
    path = shared / "reference" / "puppet_master_unet_small.safetensors"
    with safe_open(path, "pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        return path, json.loads(stored.metadata()["config"]), tensors


@pytest.fixture
def config(fixture, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fixture[1]))
    return path


@pytest.fixture
def weights(fixture, tmp_path):
    """The fixture's weights alone, in a file a test may damage."""
    path = tmp_path / "weights.safetensors"
    save_file({name: value for name, value in fixture[2].items() if name.startswith("model.")}, path)
    return path


@torch.no_grad()
def test_imported_weights_reproduce_the_published_outputs(fixture, config, tmp_path):
    path, _, tensors = fixture
    import_weights(path, config, tmp_path / "model")
    unet = DragSpatioTemporalUNet.from_pretrained(tmp_path / "model", subfolder="unet").float().eval()
    for number in range(3):
        names = ("sample", "timestep", "encoder_hidden_states", "image_latents", "drags")
        found = unet(**{name: tensors[f"case{number}.{name}"].float() for name in names})
        wanted = tensors[f"case{number}.output"]
        assert (found - wanted).norm() / wanted.norm() < 1e-4


@pytest.mark.parametrize("side", [32, 16, 8])
def test_drag_images_are_the_published_ones(fixture, side):
    for number in range(3):
        drags = fixture[2][f"case{number}.drags"]
        found = cell_maps(drags, (drags != 0).any(dim=-1), side, side)
        wanted = fixture[2][f"case{number}.drag_encoding_{side}"].float()
        # The fixture stores them in float16.
        assert torch.allclose(found, wanted, atol=1e-3)


def test_full_size_names_and_shapes_fit_without_a_leftover(shared):
    wanted = json.loads((shared / "reference" / "puppet_master_unet_full_shapes.json").read_text())
    with torch.device("meta"):
        unet = DragSpatioTemporalUNet()
    assert {name: list(value.shape) for name, value in unet.state_dict().items()} == wanted
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_675_809_962


def test_pickled_weights_are_read_as_tensors_only(fixture, config, tmp_path):
    state = {name[6:]: value for name, value in fixture[2].items() if name.startswith("model.")}
    torch.save({"ema": state, "step": 3}, tmp_path / "published.pt")
    folder = import_weights(tmp_path / "published.pt", config, tmp_path / "model")
    unet = DragSpatioTemporalUNet.from_pretrained(folder)
    assert torch.equal(unet.conv_in.weight, state["conv_in.weight"].to(unet.dtype))


class Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


def test_pickled_code_is_refused(config, tmp_path, capsys):
    torch.save({"ema": Malicious()}, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match=r"bad\.pt is refused"):
        import_weights(tmp_path / "bad.pt", config, tmp_path / "model")
    assert "code ran" not in capsys.readouterr().out


def test_misfits_are_refused_naming_the_first_keys(fixture, weights, config, tmp_path):
    tensors = {name: value for name, value in fixture[2].items() if name.startswith("model.")}
    tensors.pop("model.conv_in.bias")
    tensors["model.surplus"] = torch.zeros(1)
    tensors["model.conv_out.bias"] = torch.zeros(7)
    save_file(tensors, weights)
    with pytest.raises(ModelError) as caught:
        import_weights(weights, config, tmp_path / "model")
    message = str(caught.value)
    assert "conv_in.bias is missing" in message
    assert "surplus is not part of the model" in message
    assert "conv_out.bias is (7,), not (4,)" in message
    assert not (tmp_path / "model" / "unet").exists()


def test_an_older_import_survives_a_failed_one(weights, config, tmp_path):
    folder = import_weights(weights, config, tmp_path / "model")
    before = sorted(path.name for path in folder.iterdir())
    weights.write_bytes(b"truncated")
    with pytest.raises(ModelError, match="damaged or no weight file"):
        import_weights(weights, config, tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read the model configuration"),
        ("[]", "must be a JSON object"),
        ('{"num_dragons": 5}', "unknown argument 'num_dragons'"),
        ('{"use_modulate": false}', "use_modulate = False is not supported"),
        ('{"block_out_channels": [33, 64, 64, 64]}', "these arguments make no model"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(weights, tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        import_weights(weights, path, tmp_path / "model")
