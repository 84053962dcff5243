# SPDX-License-Identifier: GPL-3.0-or-later
"""LPIPS and FVD around networks that the user has: nothing is downloaded, and without a file neither is measured.

Both compare what a trained network sees in the frames, so their figures mean something only together with that
network; the report names the file's SHA-256. `docs/evaluation.md` says how to make the files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional as F

from ..backend.errors import ModelError

# Zhang et al. (2018): ImageNet's mean and deviation, for pixels in [-1, 1].
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Where the convolutions stand in torchvision's `features`, and before which of them pixels are pooled.
ALEXNET, VGG16 = (0, 3, 6, 8, 10), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_BLOCKS = (0, 5, 10, 17, 24)
FVD_SIDE = 224  # of the frames that a plain video network is given

Frames = NDArray[np.uint8]
Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def file_digest(path: Path) -> str:
    """SHA-256 of a weight file. Raises `ModelError` that names it."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; give a file of network weights") from error


class Lpips:
    """Learned perceptual distance of pictures (Zhang et al. 2018); 0 for equal ones.

    Attributes:
        digest: SHA-256 of the network's file.
    """

    def __init__(self, path: Path) -> None:
        """Load a network.

        Args:
            path: `.safetensors` with the tensors of the `lpips` package's AlexNet or VGG model, by its names; or
                TorchScript that takes two pictures `[B, 3, H, W]` in [-1, 1] and gives B distances.

        Raises:
            ModelError: it cannot be read or is none of these; names the file.
        """
        self.digest = file_digest(path)
        self._distance = _distance_of_tensors(path) if path.suffix == ".safetensors" else _load_script(path)

    @torch.inference_mode()
    def __call__(self, frames: Frames, real: Frames) -> float:
        """Mean distance of frames `[N, H, W, 3]` from `real`, one by one."""
        each = [self._distance(_picture(a), _picture(b)).mean() for a, b in zip(frames, real, strict=True)]
        return float(torch.stack(each).double().mean())


class VideoFeatures:
    """What a video network sees in a clip, for the Frechet video distance (Unterthiner et al. 2018).

    Attributes:
        digest: SHA-256 of the network's file.
    """

    def __init__(self, path: Path) -> None:
        """Load a network.

        Args:
            path: TorchScript from a clip `[1, 3, N, 224, 224]` in [-1, 1] to its features; or the I3D in common use
                for this measure, told by its arguments `rescale`, `resize` and `return_features`.

        Raises:
            ModelError: it cannot be read; names the file.
        """
        self.digest = file_digest(path)
        self._network = _load_script(path)
        names = {argument.name for argument in self._network.forward.schema.arguments}
        self._common = {"rescale", "resize", "return_features"} <= names
        self._path = path

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        """The features of frames `[N, H, W, 3]`, `[D]`."""
        video = torch.from_numpy(np.array(frames, order="C")).float().permute(3, 0, 1, 2)[None]
        try:
            if self._common:
                features = self._network(video, rescale=True, resize=True, return_features=True)
            else:
                small = F.interpolate(video[0].transpose(0, 1), (FVD_SIDE, FVD_SIDE), mode="bilinear", antialias=True)
                features = self._network(small.transpose(0, 1)[None] / 127.5 - 1)
        except (RuntimeError, torch.jit.Error) as error:
            raise ModelError(f"{self._path} does not take {len(frames)} frames: {_last_line(error)}") from error
        return features.double().flatten().numpy()


def frechet_distance(features: NDArray[np.float64], real: NDArray[np.float64]) -> float | None:
    """Frechet distance of two sets of features `[clips, D]`, taken as Gaussian; None with fewer than two clips."""
    if min(len(features), len(real)) < 2:
        return None
    means = features.mean(axis=0), real.mean(axis=0)
    a, b = ((x - mean) / np.sqrt(len(x) - 1) for x, mean in zip((features, real), means, strict=True))
    # The covariances are a'a and b'b; the trace of the root of their product is the nuclear norm of a b', or of the
    # same of their triangular factors. So no matrix root is needed, and fewer clips than features are no trouble.
    factors = np.linalg.qr(a, mode="r"), np.linalg.qr(b, mode="r")
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    distance = np.square(means[0] - means[1]).sum() + np.square(a).sum() + np.square(b).sum() - 2 * cross
    return float(max(distance, 0.0))


def _picture(frame: Frames) -> torch.Tensor:
    return torch.from_numpy(np.array(frame, order="C")).float().permute(2, 0, 1)[None] / 127.5 - 1


def _load_script(path: Path) -> torch.jit.ScriptModule:
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path} is no TorchScript: {_last_line(error)}; save the network with torch.jit") from error


def _distance_of_tensors(path: Path) -> Distance:
    """LPIPS from its tensors: `net.sliceS.I.weight`, `net.sliceS.I.bias`, `linL.model.1.weight`."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {_last_line(error)}; give LPIPS weights") from error
    names = {name: re.fullmatch(r"(net\.slice\d+\.(\d+))\.weight", name) for name in tensors}
    layers = {
        int(match[2]): (tensors[name].float(), tensors[f"{match[1]}.bias"].float())
        for name, match in names.items()
        if match and f"{match[1]}.bias" in tensors
    }
    heads = [tensors[name].float() for i in range(5) if (name := f"lin{i}.model.1.weight") in tensors]
    places = tuple(sorted(layers))
    if places not in (ALEXNET, VGG16) or len(heads) != 5:
        raise ModelError(
            f"{path} does not hold LPIPS of AlexNet or VGG16: its convolutions are {list(places)}, "
            f"its linear layers {len(heads)}; save the state of lpips.LPIPS as safetensors"
        )
    shift = tensors.get("scaling_layer.shift", torch.tensor(LPIPS_SHIFT)).float().reshape(1, 3, 1, 1)
    scale = tensors.get("scaling_layer.scale", torch.tensor(LPIPS_SCALE)).float().reshape(1, 3, 1, 1)
    see = _alexnet if places == ALEXNET else _vgg16

    def distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        seen = zip(see(layers, (first - shift) / scale), see(layers, (second - shift) / scale), heads, strict=True)
        return torch.stack([F.conv2d((_unit(a) - _unit(b)).square(), head).mean() for a, b, head in seen]).sum()

    return distance


Layers = Mapping[int, tuple[torch.Tensor, torch.Tensor]]


def _alexnet(layers: Layers, x: torch.Tensor) -> list[torch.Tensor]:
    """Activations after each of AlexNet's five convolutions."""
    seen = []
    for index, stride, padding in zip(ALEXNET, (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), strict=True):
        if index in (3, 6):
            x = F.max_pool2d(x, 3, stride=2)
        x = F.relu(F.conv2d(x, *layers[index], stride=stride, padding=padding))
        seen.append(x)
    return seen


def _vgg16(layers: Layers, x: torch.Tensor) -> list[torch.Tensor]:
    """Activations at the end of each of VGG16's five blocks."""
    seen = []
    for index in VGG16:
        if index in VGG16_BLOCKS[1:]:
            seen.append(x)
            x = F.max_pool2d(x, 2, stride=2)
        x = F.relu(F.conv2d(x, *layers[index], padding=1))
    return [*seen, x]


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Each pixel's features scaled to unit length."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
