# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage `diffusion`: the drag-conditioned model, trained on cached latents.

The UNet learns v in SVD's parametrisation (`backend.sampling.precondition`): noise levels log-normal, and an error of
the UNet's own output counts the same at every level, which is the weight that SVD published; or is divided by an
uncertainty that is learned along.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..backend.autoencoder import Autoencoder, decode
from ..backend.errors import InputError
from ..backend.sampling import karras_sigmas, precondition, sample_euler
from .checkpoint import ABOUT
from .config import BaseConfig
from .grids import Strip
from .latents import LATENTS, read_cache
from .loop import train
from .mixture import Mixture
from .networks import UNITS, Conditioned, describe, make_networks, read_about
from .settings import DiffusionSettings, DistillSettings, MixtureSettings
from .stages import Job
from .stream import Batch, Shards, Stream
from .vae import load_vae, vae_folder

SCALE_FROM = 400  # views that the scale of residuals is taken from
SHOWN = 3  # clips of a sample grid
LOOK_STEPS, LOOK_SIGMAS = 8, (0.02, 80.0)  # of the sampling for a look


class Uncertainty(nn.Module):
    """log of the expected squared error at a noise level, u(sigma) (Karras et al. 2024, section 2.2); zero at first."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", 2 * torch.pi * torch.randn(channels, generator=generator))
        self.register_buffer("phases", 2 * torch.pi * torch.rand(channels, generator=generator))
        self.linear = nn.Linear(channels, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, sigma: torch.Tensor) -> torch.Tensor:
        """Noise levels `[B]` to `[B]`, float32."""
        features = (sigma.log()[:, None] / 4 * self.frequencies + self.phases).cos() * 2**0.5
        return self.linear(features.float())[:, 0].float()


class DiffusionStage:
    """Trains UNet and image encoder to denoise; see `loop.Stage`.

    Args:
        settings: of the stage.
        networks: what is trained.
        stream: of samples as `mixture.Mixture` makes them.
        scale: what brings the target to unit variance.
        vae: for the sample grids; None: there are none.
    """

    name = "diffusion"
    units = UNITS

    def __init__(
        self,
        settings: DiffusionSettings,
        networks: Conditioned,
        stream: Stream,
        scale: float,
        vae: Autoencoder | None = None,
    ) -> None:
        self.settings, self.networks, self.stream, self.scale, self.vae = settings, networks, stream, scale, vae
        self.modules: dict[str, nn.Module] = {"unet": networks.unet, "encoder": networks.encoder}
        networks.encoder.requires_grad_(settings.train_encoder)
        if settings.checkpointing:
            networks.unet.enable_gradient_checkpointing()
        if settings.weighting == "learned":
            self.modules["uncertainty"] = Uncertainty()
        self.about = {"kind": self.name, **describe(networks), "target": settings.target, "target_scale": scale,
                      "weighting": settings.weighting}  # fmt: skip

    def batches(self, rank: int, world: int, seen: int) -> Iterator[Batch]:
        """See `mixture.Mixture.sample`."""
        size = self.settings.batch // (world * self.settings.accumulate)
        return self.stream.batches(rank, world, seen, size)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean squared error of the UNet's output against what would denoise exactly, weighted."""
        mean, spread = self.settings.log_sigma
        sigma = torch.exp(batch["normal"] * spread + mean)
        errors = squared_errors(self.networks, batch, sigma)
        if "uncertainty" not in self.modules:
            return errors.mean(), {}
        log_uncertainty = self.modules["uncertainty"](sigma)
        loss = errors * torch.exp(-log_uncertainty) + log_uncertainty
        return loss.mean(), {"squared_error": errors.mean()}

    def samples(self) -> list[Strip]:
        """A few clips, the real frames above the model's."""
        if self.vae is None:
            return []
        device = next(self.networks.unet.parameters()).device
        batch = {name: value.to(device) for name, value in self._batch_to_show().items()}
        keep = torch.ones(len(batch["target"]), device=device)
        made = self._sample(batch, self.networks.conditions(batch, keep))
        drags = batch["drags"].cpu().numpy()
        strips = []
        for index, mask in enumerate(batch["drag_mask"].cpu().numpy()):
            paths = drags[index][:, mask, 2:].transpose(1, 0, 2)
            still = batch["image_latents"][index]
            strips += [Strip(self._frames(target[index], still), paths) for target in (batch["target"], made)]
        return strips

    def _sample(self, batch: Batch, conditions: dict[str, torch.Tensor]) -> torch.Tensor:
        """Targets as the model makes them from noise, without guidance."""
        steps, low, high = self._look()

        def denoise(noisy: torch.Tensor, sigma: float) -> torch.Tensor:
            levels = torch.full((len(noisy),), sigma, device=noisy.device)
            return self.networks.denoise(noisy, levels, conditions)

        return sample_euler(denoise, batch["noise"], karras_sigmas(steps, low, high))

    def _look(self) -> tuple[int, float, float]:
        """Steps and range of noise levels of the sampling for a look: within what was trained on."""
        mean, spread = self.settings.log_sigma
        low, high = np.exp([mean - 3 * spread, mean + 3 * spread])
        return LOOK_STEPS, max(LOOK_SIGMAS[0], float(low)), min(LOOK_SIGMAS[1], float(high))

    def _batch_to_show(self) -> Batch:
        """The first samples of the stream, whole, with all their drags."""
        mixture: Mixture = self.stream.make
        length = min(self.networks.unet.config.num_frames, self._clip_length())
        whole = {"drop_condition": 0.0, "still_clips": 0.0, "frames": length, "pick": "stride"}
        settings = mixture.settings.model_copy(update=whole)
        made = Mixture(settings, mixture.slots, mixture.target, mixture.scale, mixture.scaling_factor)
        shown = Stream(self.stream.shards, made, self.stream.seed, self.stream.lanes, buffer=1)
        return next(shown.batches(0, 1, 0, SHOWN))

    def _clip_length(self) -> int:
        return len(next(read_cache(self.stream.shards.paths[0].parent)).latents)

    def _frames(self, target: torch.Tensor, image_latents: torch.Tensor) -> np.ndarray:
        """What was diffused `[N, 4, h, w]` as frames uint8 `[N, H, W, 3]`."""
        latents = target.float() / (self.scale * self.vae.config.scaling_factor)
        if self.settings.target == "residual":
            latents = latents + image_latents.float()
        pixels = ((decode(self.vae, latents).float() + 1) * 127.5).round().clamp(0, 255)
        return pixels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def squared_errors(networks: Conditioned, batch: Batch, sigma: torch.Tensor) -> torch.Tensor:
    """Of each sample the mean squared error `[B]` of the UNet's output, at noise levels `[B]`; see `Mixture.sample`."""
    wide = sigma.reshape(-1, 1, 1, 1, 1)
    noisy = batch["target"] + wide * batch["noise"]
    c_skip, c_out, _, _ = precondition(wide)
    output = networks.predict(noisy, sigma, networks.conditions(batch, batch["keep"]))
    wanted = (batch["target"] - c_skip * noisy) / c_out
    return (output - wanted).square().mean(dim=(1, 2, 3, 4))


def residual_scale(folder: Path, count: int = SCALE_FROM) -> float:
    """Factor that gives the residuals to the still unit standard deviation, as SVD's parametrisation assumes.

    Most of a clip is at rest, so what moves then lies at several standard deviations; with what moves at one,
    the whole target would be smaller than the noise of the network's own weights while it trains.

    Raises:
        InputError: nothing moves in these clips.
    """
    clips = islice(read_cache(folder), count)
    residuals = [clip.latents[1:].astype(np.float32) - clip.latents[:1].astype(np.float32) for clip in clips]
    spread = float(np.concatenate([values.ravel() for values in residuals]).std())
    if not spread > 0:
        raise InputError(f"nothing moves in the first {len(residuals)} views of {folder}; render clips that move")
    return 1.0 / spread


def open_stream(
    job: Job, folder: Path, mixture: MixtureSettings, slots: int, target: str, scale: float
) -> tuple[Stream, Autoencoder]:
    """The stream of samples of a cache, and the VAE that made it."""
    vae = load_vae(vae_folder(job.config)).to(job.processes.device)
    data = job.config.data
    maker = Mixture(mixture, slots, target, scale, float(vae.config.scaling_factor))
    shards = Shards.find([folder], LATENTS)
    return Stream(shards, maker, job.config.seed, data.lanes, data.buffer, data.workers), vae


def cache_folder(config: BaseConfig, settings: DiffusionSettings | DistillSettings) -> Path:
    """Where the latents are: given, or made by the stage `latents`."""
    return settings.latents or config.folder("latents")


def run(job: Job, scale: float | None = None) -> None:
    """The stage `diffusion`; `scale`: of the target, measured where it is not given."""
    settings, folder = job.config.section("diffusion"), job.config.folder("diffusion")
    cache = cache_folder(job.config, settings)
    torch.manual_seed(job.config.seed)
    networks = make_networks(settings)
    slots = networks.unet.config.num_drags
    scale = scale or _scale(folder, cache, settings)
    stream, vae = open_stream(job, cache, settings.mixture, slots, settings.target, scale)
    stage = DiffusionStage(settings, networks, stream, scale, vae)
    train(stage, settings, folder, job.processes, job.config.log, job.config.seed, job.say)


def _scale(folder: Path, cache: Path, settings: DiffusionSettings) -> float:
    """The target's scale: that of the run to go on with, or measured."""
    if (folder / ABOUT).is_file():
        return float(read_about(folder).get("target_scale", 1.0))
    return residual_scale(cache) if settings.target == "residual" else 1.0

