# SPDX-License-Identifier: GPL-3.0-or-later
"""LPIPS and FVD around small stand-in networks made here, against plain computations of the same."""

import numpy as np
import pytest
import torch
from puppet_master.backend.errors import ModelError
from puppet_master.training.perceptual import ALEXNET, VGG16, Lpips, VideoFeatures, frechet_distance
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
SLICES = {ALEXNET: (1, 2, 3, 4, 5), VGG16: (1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5)}


def lpips_tensors(places, widths, kernels):
    """Random weights by the names of the `lpips` package, in its layout at a fraction of its widths."""
    generator = torch.Generator().manual_seed(0)
    tensors, before = {}, 3
    for place, part, width, kernel in zip(places, SLICES[places], widths, kernels, strict=True):
        shape = (width, before, kernel, kernel)
        tensors[f"net.slice{part}.{place}.weight"] = torch.randn(shape, generator=generator) / before**0.5
        tensors[f"net.slice{part}.{place}.bias"] = torch.randn(width, generator=generator) / 10
        before = width
    ends = [widths[i] for i in range(len(widths)) if i + 1 == len(widths) or SLICES[places][i + 1] != SLICES[places][i]]
    for index, width in enumerate(ends):
        tensors[f"lin{index}.model.1.weight"] = torch.rand((1, width, 1, 1), generator=generator)
    return tensors


def alexnet():
    return lpips_tensors(ALEXNET, (4, 6, 8, 6, 5), (11, 5, 3, 3, 3))


def vgg():
    return lpips_tensors(VGG16, (2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5), (3,) * 13)


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (3, 64, 72, 3), dtype=np.uint8)
    return np.clip(real + rng.normal(0, 25, real.shape), 0, 255).astype(np.uint8), real


class PlainAlexLpips(nn.Module):
    """The published network written out in modules, as torchvision and the `lpips` package have it."""

    def __init__(self, tensors):
        super().__init__()
        conv = [tensors[f"net.slice{s}.{i}.weight"].shape for s, i in zip(SLICES[ALEXNET], ALEXNET, strict=True)]
        options = [(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]
        layers = [nn.Conv2d(c[1], c[0], c[2], s, p) for c, (s, p) in zip(conv, options, strict=True)]
        pool = nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            layers[0], nn.ReLU(), pool, layers[1], nn.ReLU(), pool, layers[2], nn.ReLU(), layers[3], nn.ReLU(),
            layers[4], nn.ReLU(),
        )  # fmt: skip
        state = {
            f"{i}.{kind}": tensors[f"net.slice{s}.{i}.{kind}"]
            for s, i in zip(SLICES[ALEXNET], ALEXNET, strict=True)
            for kind in ("weight", "bias")
        }
        self.features.load_state_dict(state)
        self.heads = [tensors[f"lin{i}.model.1.weight"][0, :, 0, 0] for i in range(5)]

    @torch.inference_mode()
    def distance(self, a, b):
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        total = 0.0
        pair = [(torch.from_numpy(x) / 127.5 - 1 - shift).div(scale).permute(2, 0, 1)[None].float() for x in (a, b)]
        for index, layer in enumerate(self.features):
            pair = [layer(x) for x in pair]
            if index in (1, 4, 7, 9, 11):
                head = self.heads[(1, 4, 7, 9, 11).index(index)]
                first, second = (F.normalize(x, dim=1) for x in pair)
                total += torch.einsum("chw,c->hw", (first - second)[0] ** 2, head).mean().item()
        return total


def test_lpips_from_tensors_is_the_published_sum_over_layers(tmp_path, clip):
    tensors = alexnet()
    save_file(tensors, tmp_path / "alex.safetensors")
    made, real = clip
    plain = PlainAlexLpips(tensors)
    expected = np.mean([plain.distance(a, b) for a, b in zip(made, real, strict=True)])
    lpips = Lpips(tmp_path / "alex.safetensors")
    assert lpips(made, real) == pytest.approx(expected, rel=1e-4)
    assert lpips(real, real) == 0.0
    assert len(lpips.digest) == 64


def test_lpips_knows_vgg_by_its_layers(tmp_path, clip):
    save_file(vgg(), tmp_path / "vgg.safetensors")
    made, real = clip
    lpips = Lpips(tmp_path / "vgg.safetensors")
    assert lpips(made, real) > 0 and lpips(real, real) == 0.0


def test_the_networks_own_scaling_counts_where_the_file_has_it(tmp_path, clip):
    made, real = clip
    plain, own = alexnet(), alexnet() | {"scaling_layer.scale": torch.tensor([0.1, 2.0, 0.5])}
    for name, tensors in (("plain", plain), ("own", own)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    distances = [Lpips(tmp_path / f"{name}.safetensors")(made, real) for name in ("plain", "own")]
    assert distances[0] != pytest.approx(distances[1], rel=0.01)


def test_lpips_may_be_a_scripted_network(tmp_path, clip):
    class Distance(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return (a - b).abs().mean(dim=(1, 2, 3))

    torch.jit.script(Distance()).save(str(tmp_path / "plain.pt"))
    made, real = clip
    expected = np.abs(made.astype(float) - real).mean() / 127.5
    assert Lpips(tmp_path / "plain.pt")(made, real) == pytest.approx(expected, rel=1e-5)


class MeanColour(nn.Module):
    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return video.mean(dim=(3, 4)).flatten(1)


class CommonI3d(nn.Module):
    """Called like the I3D in common use: pixels of 0 to 255, scaled by itself."""

    def forward(self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False):
        if not (rescale and resize and return_features):
            raise RuntimeError("not called as it is commonly called")
        return x.mean(dim=(3, 4)).flatten(1)


def test_a_plain_video_network_sees_pixels_from_minus_one_to_one(tmp_path):
    torch.jit.script(MeanColour()).save(str(tmp_path / "net.pt"))
    frames = np.zeros((4, 32, 48, 3), np.uint8)
    frames[2] = (255, 0, 51)
    features = VideoFeatures(tmp_path / "net.pt")(frames).reshape(3, 4)
    assert features[:, 0] == pytest.approx([-1, -1, -1])
    assert features[:, 2] == pytest.approx([1, -1, -0.6])


def test_the_network_in_common_use_is_called_as_it_is_commonly_called(tmp_path):
    torch.jit.script(CommonI3d()).save(str(tmp_path / "i3d.pt"))
    frames = np.full((4, 32, 48, 3), 102, np.uint8)
    assert VideoFeatures(tmp_path / "i3d.pt")(frames) == pytest.approx(np.full(12, 102.0))


def test_a_clip_that_the_network_does_not_take_is_told(tmp_path):
    class Picky(nn.Module):
        def forward(self, video: torch.Tensor) -> torch.Tensor:
            if video.shape[2] < 10:
                raise RuntimeError("too short")
            return video.flatten(1)

    torch.jit.script(Picky()).save(str(tmp_path / "net.pt"))
    with pytest.raises(ModelError, match=r"net\.pt does not take 4 frames: .*too short"):
        VideoFeatures(tmp_path / "net.pt")(np.zeros((4, 32, 32, 3), np.uint8))


def test_the_frechet_distance_of_diagonal_gaussians_is_known():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (40_000, 3)), rng.normal((1, 0, 0), (2, 1, 1), (40_000, 3))
    # |means|^2 + sum of (deviation - deviation)^2
    assert frechet_distance(b, a) == pytest.approx(1 + 1, abs=0.06)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)


def test_the_frechet_distance_agrees_with_the_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(50, 5)) @ rng.normal(size=(5, 5)) + 1
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_the_frechet_distance_needs_two_clips_and_takes_fewer_clips_than_features():
    rng = np.random.default_rng(2)
    few = rng.normal(size=(4, 200))
    assert frechet_distance(few[:1], few) is None
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(few + 1, few) == pytest.approx(200.0)


@pytest.mark.parametrize("loader", [Lpips, VideoFeatures])
@pytest.mark.parametrize(("name", "content"), [("net.pt", b"no network"), ("net.pt", b""), ("net.pt", None)])
def test_a_network_that_cannot_be_read_is_named(tmp_path, loader, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pt") as caught:
        loader(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["lin4.model.1.weight", "net.slice3.6.weight"])
def test_tensors_that_are_no_lpips_are_told(tmp_path, missing):
    save_file({k: v for k, v in alexnet().items() if k != missing}, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=r"net\.safetensors does not hold LPIPS"):
        Lpips(tmp_path / "net.safetensors")
    (tmp_path / "net.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be read"):
        Lpips(tmp_path / "net.safetensors")
