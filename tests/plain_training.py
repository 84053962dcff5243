# SPDX-License-Identifier: GPL-3.0-or-later
"""The published training step, plainly re-implemented: what ours must equal, and what it is timed against.

Eager, one file per clip, the frames encoded by the VAE in every step; `plain_unet` computes the network. It differs
from the published one in what would make it another problem and not another speed: inputs are scaled as SVD's are and
conditions dropped as ours are. No averages of the weights are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain_unet
import torch
from puppet_master.backend.autoencoder import Autoencoder, encode
from puppet_master.backend.clips import Clip
from puppet_master.backend.model import DragSpatioTemporalUNet
from puppet_master.backend.pipeline import CLIP_MEAN, CLIP_STD
from puppet_master.backend.shards import ShardFolder
from puppet_master.training.dataset import apply_view, draw_drags, random_view
from puppet_master.training.networks import Conditioned, make_networks, unet_arguments
from puppet_master.training.settings import DiffusionSettings, LatentSettings, MixtureSettings
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


def write_files(dataset: Path, out: Path) -> Path:
    """The clips of a dataset folder as one compressed `.npz` each."""
    out.mkdir()
    for index in range(len(shards := ShardFolder(dataset))):
        clip = shards.load(index)
        points = {"drags": clip.drags, "tracks": clip.tracks, "visible": clip.visible, "part": clip.part}
        np.savez_compressed(out / f"{index:06d}.npz", frames=clip.frames, **points)
    return out


class Files(Dataset):
    """A file per clip; see `sample`."""

    def __init__(self, folder: Path, views: LatentSettings, mixture: MixtureSettings, slots: int) -> None:
        self.paths = sorted(folder.glob("*.npz"))
        self.views, self.mixture, self.slots = views, mixture, slots

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        return sample(self.paths[index], self.views, self.mixture, self.slots, rng)


def batches(files: Files, size: int, workers: int = 0) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of `size` clips, shuffled anew in each epoch, without end."""
    loader = DataLoader(files, size, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)
    while True:
        yield from loader


def sample(
    path: Path, views: LatentSettings, mixture: MixtureSettings, slots: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """A clip read and seen through a random view: `frames` `[N, 3, S, S]`, `drags` `[N, K, 4]`, `keep`, `normal`."""
    with np.load(path) as stored:
        clip = Clip(**stored, meta={})
    frames, points = apply_view(clip, random_view(clip, rng, views.views), views.size)
    chosen = np.append(0, np.sort(rng.choice(np.arange(1, len(frames)), mixture.frames - 1, replace=False)))
    paths = draw_drags(points, rng, slots, mixture.straighten, 0.0, mixture.pins)[:, chosen]
    drags = np.zeros((len(chosen), slots, 4), dtype=np.float32)
    for slot, way in enumerate(paths):
        drags[:, slot, :2], drags[:, slot, 2:] = way[0], way
    keep, normal = rng.random() >= mixture.drop_condition, rng.standard_normal()
    pixels = frames[chosen].transpose(0, 3, 1, 2)
    return {"frames": pixels, "drags": drags, "keep": np.float32(keep), "normal": np.float32(normal)}


def published_networks(settings: DiffusionSettings, spread: float) -> Conditioned:
    """Networks of the published behaviour with random weights, the drag maps' last ones too, with this deviation."""
    torch.manual_seed(0)
    arguments = unet_arguments(settings) | {"attend_unused_drags": True, "validity_per_frame": True}
    networks = Conditioned(DragSpatioTemporalUNet(**arguments), make_networks(settings).encoder)
    for name, parameter in networks.named_parameters():
        if "flow_convs" in name and "conv_out" in name:
            torch.nn.init.normal_(parameter, std=spread)
    return networks


@torch.no_grad()
def encoded(batch: dict[str, torch.Tensor], vae: Autoencoder, still_size: int) -> dict[str, torch.Tensor]:
    """What `loss` asks for, of a batch of `batches`."""
    frames, factor = batch["frames"], vae.config.scaling_factor
    latents = encode(vae, frames.flatten(0, 1)).float().unflatten(0, frames.shape[:2])
    still = F.interpolate(frames[:, 0], (still_size, still_size), mode="bicubic", antialias=True)
    mean, spread = (torch.tensor(values, device=still.device)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    target = latents * factor
    return batch | {
        "target": target, "image_latents": latents[:, 0], "still": ((still + 1) / 2 - mean) / spread,
        "noise": torch.randn_like(target),
    }  # fmt: skip


def loss(
    networks: Conditioned, batch: dict[str, torch.Tensor], log_sigma: tuple[float, float], checkpointing: bool = False
) -> torch.Tensor:
    """The mean squared error of v, written out.

    Args:
        networks: of the published behaviour (`attend_unused_drags`, no soft drag images, no carried stills).
        batch: as `mixture.Mixture` makes it, unused drag slots zero.
        log_sigma: mean and standard deviation of the log noise level.
        checkpointing: compute a layer's activations anew in the backward pass.
    """
    keep = batch["keep"][:, None, None, None]
    sigma = torch.exp(batch["normal"] * log_sigma[1] + log_sigma[0])
    wide = sigma[:, None, None, None, None]
    noisy = batch["target"] + wide * batch["noise"]
    embedding = networks.encoder(batch["still"]).image_embeds[:, None] * keep[:, :, 0]
    output = plain_unet.forward(
        networks.unet, noisy / (wide**2 + 1).sqrt(), sigma.log() / 4, embedding, batch["image_latents"] * keep,
        batch["drags"] * keep, fast_images=True, fused_attention=True, checkpointing=checkpointing,
    )  # fmt: skip
    wanted = (noisy / (wide**2 + 1) - batch["target"]) * (wide**2 + 1).sqrt() / wide
    return F.mse_loss(output.float(), wanted)
