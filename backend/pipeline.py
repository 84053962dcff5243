# SPDX-License-Identifier: GPL-3.0-or-later
"""From a preview request to frames: encode the still, sample with the drags, decode."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn import functional as F
from transformers import CLIPVisionModelWithProjection

from .autoencoder import VAE_CLASSES, Autoencoder, decode, encode
from .detail import keep_still_detail
from .errors import Cancelled, ModelError
from .fitting import Fit, decode_still
from .model import DragSpatioTemporalUNet
from .protocol import PreviewRequest, PreviewResult, trajectories
from .registry import ModelInfo, check_complete, read_info, read_json
from .sampling import guidance_ramp, karras_sigmas, precondition, sample_euler

DECODE_CHUNK = 7
NO_DRAGS = "there are no drags: nothing is asked to move"
VERSIONS_OF = ("puppet-master", "torch", "diffusers", "transformers", "numpy")
# What OpenAI's CLIP was trained with; SVD's image encoder expects it.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Step:
    """Where a sampling is.

    Attributes:
        index: of the step just done, from 0.
        total: number of steps.
        estimate: decodes the current guess, uint8 `[N, h, w, 3]` at the model's size; costs a decode.
    """

    index: int
    total: int
    estimate: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class _Conditions:
    """What the UNet is told besides the noisy latents; one clip (or its unconditional twin)."""

    embedding: torch.Tensor
    image_latents: torch.Tensor
    drags: torch.Tensor
    mask: torch.Tensor
    maps: list[list[torch.Tensor]]


class PreviewPipeline:
    """A loaded model. Make one with `PreviewPipeline.load`; `generate` may be called many times."""

    def __init__(
        self,
        folder: Path,
        info: ModelInfo,
        model_hash: str,
        unet: DragSpatioTemporalUNet,
        vae: Autoencoder,
        encoder: CLIPVisionModelWithProjection,
        device: str = "cpu",
    ) -> None:
        self.folder, self.info, self.model_hash = folder, info, model_hash
        self.unet, self.vae, self.encoder = unet.eval(), vae.eval(), encoder.eval()
        self.device = torch.device(device)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> PreviewPipeline:
        """Load a model folder.

        Raises:
            ModelError: incomplete, corrupt or of another architecture; names the file.
        """
        info = read_info(folder)
        model_hash = check_complete(folder)
        vae_name = read_json(folder / "vae" / "config.json").get("_class_name")
        if vae_name not in VAE_CLASSES:
            raise ModelError(f"{folder / 'vae' / 'config.json'}: class {vae_name!r} is not a VAE this program knows")
        unet = load_part(DragSpatioTemporalUNet, folder / "unet", device)
        vae = load_part(VAE_CLASSES[vae_name], folder / "vae", device)
        encoder = load_part(CLIPVisionModelWithProjection, folder / "image_encoder", device)
        return cls(folder, info, model_hash, unet, vae, encoder, device)

    @torch.inference_mode()
    def generate(
        self,
        request: PreviewRequest,
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[NDArray[np.uint8], PreviewResult]:
        """Make a preview.

        Args:
            request: what to make.
            on_step: called after each sampling step.
            should_stop: asked before each step.

        Returns:
            frames uint8 `[N, H, W, 3]` at the still's size, frame 0 the still's own; and how they were made.

        Raises:
            Cancelled: `should_stop` said so.
            InputError: the still cannot be read, or there are more drags than slots.
        """
        settings = self._settings(request)
        timings: dict[str, float] = {}
        with Timed(timings, "encode"):
            still = decode_still(request.still_png, request.background)
            fit = Fit.of((still.shape[1], still.shape[0]), (self.info.width, self.info.height), request.fit)
            seen = fit.to_model(still, request.background)
            conditions = self._conditions(seen, request, fit, settings)
        with Timed(timings, "sample"):
            latents = self._sample(conditions, settings, on_step, should_stop)
        with Timed(timings, "decode"):
            frames = self._deliver(latents, conditions[0].image_latents, fit, still)
        return frames, self._result(request, settings, still, timings)

    def _settings(self, request: PreviewRequest) -> _Settings:
        self.info.check_drags(len(request.drags))
        return _Settings(
            frames=request.frames or self.info.frames,
            steps=request.steps or self.info.steps,
            guidance=request.guidance or self.info.guidance,
            seed=request.seed,
        )

    def _conditions(
        self, seen: NDArray[np.uint8], request: PreviewRequest, fit: Fit, settings: _Settings
    ) -> tuple[_Conditions, _Conditions | None]:
        """The conditional branch's inputs, and the unconditional one's where guidance asks for it."""
        pixels = torch.from_numpy(seen.astype(np.float32)).permute(2, 0, 1)[None].to(self.device) / 127.5 - 1
        image_latents = encode(self.vae, pixels)
        embedding = self.encoder(self._encoder_pixels(pixels)).image_embeds[:, None]
        paths = fit.points_to_model(trajectories(request.drags, settings.frames))
        drags, mask = self._drag_tensor(paths)
        height, width = image_latents.shape[-2:]
        maps = self.unet.encode_drags(drags, height, width, mask)
        conditional = _Conditions(embedding, image_latents, drags, mask, maps)
        if not settings.guided:
            return conditional, None
        nothing, no_mask = torch.zeros_like(drags), torch.zeros_like(mask)
        no_maps = self.unet.encode_drags(nothing, height, width, no_mask)
        return conditional, _Conditions(
            torch.zeros_like(embedding), torch.zeros_like(image_latents), nothing, no_mask, no_maps
        )

    def _encoder_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[1, 3, H, W]` in [-1, 1] as the image encoder was trained to see it."""
        size = self.encoder.config.image_size
        small = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
        if self.info.latent_target == "latents":
            mean = torch.tensor(CLIP_MEAN, device=self.device).reshape(1, 3, 1, 1)
            std = torch.tensor(CLIP_STD, device=self.device).reshape(1, 3, 1, 1)
            small = ((small + 1) / 2 - mean) / std
        return small.to(self.encoder.dtype)

    def _drag_tensor(self, paths: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Trajectories `[K, N, 2]` as the UNet's `[1, N, K, 4]` and mask `[1, K]`."""
        count, frames = paths.shape[:2]
        now = torch.from_numpy(np.ascontiguousarray(paths.transpose(1, 0, 2)))[None]
        start = now[:, :1].expand(1, frames, count, 2)
        drags = torch.cat([start, now], dim=-1).to(self.device)
        return drags, torch.ones(1, count, dtype=torch.bool, device=self.device)

    def _sample(
        self,
        conditions: tuple[_Conditions, _Conditions | None],
        settings: _Settings,
        on_step: Callable[[Step], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> torch.Tensor:
        """Sampled latents `[N, 4, h, w]`, unscaled."""
        conditional, unconditional = conditions
        ramp = guidance_ramp(*settings.guidance, settings.frames, self.device)

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            if should_stop is not None and should_stop():
                raise Cancelled("the preview was cancelled")
            estimate = self._denoise(x, sigma, conditional)
            if unconditional is not None:
                plain = self._denoise(x, sigma, unconditional)
                estimate = plain + ramp * (estimate - plain)
            return estimate

        def after_step(index: int, denoised: torch.Tensor) -> None:
            if on_step is not None:
                latents = self._to_latents(denoised, conditional.image_latents)
                on_step(Step(index, settings.steps, lambda: self._decode(latents)))

        generator = torch.Generator().manual_seed(settings.seed)
        shape = (1, settings.frames, *conditional.image_latents.shape[1:])
        noise = torch.randn(shape, generator=generator).to(self.device)
        sigmas = karras_sigmas(settings.steps, self.info.sigma_min, self.info.sigma_max)
        return self._to_latents(sample_euler(denoise, noise, sigmas, after_step), conditional.image_latents)

    def _denoise(self, x: torch.Tensor, sigma: float, conditions: _Conditions) -> torch.Tensor:
        c_skip, c_out, c_in, c_noise = precondition(torch.tensor(sigma))
        output = self.unet(
            (x * c_in).to(self.unet.dtype),
            c_noise,
            conditions.embedding.to(self.unet.dtype),
            conditions.image_latents,
            conditions.drags,
            conditions.mask,
            conditions.maps,
        )
        return x * c_skip + output.float() * c_out

    def _to_latents(self, target: torch.Tensor, image_latents: torch.Tensor) -> torch.Tensor:
        """What was diffused `[1, N, 4, h, w]` as unscaled latents `[N, 4, h, w]`."""
        scaled = target[0] / (self.info.target_scale * self.vae.config.scaling_factor)
        if self.info.latent_target == "residual":
            return image_latents.float() + scaled
        return scaled

    def _deliver(
        self, latents: torch.Tensor, image_latents: torch.Tensor, fit: Fit, still: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Decoded frames `[N, H, W, 3]` at the still's size; frame 0, known exactly, is the still itself."""
        if self.info.keep_still_detail:
            decoded = self._decode(torch.cat([image_latents.float(), latents]))
            reconstruction, *frames = fit.from_model(decoded, still)
            frames = keep_still_detail(np.stack(frames), reconstruction, still)
        else:
            frames = fit.from_model(self._decode(latents), still)
        frames[0] = still
        return frames

    @torch.inference_mode()
    def _decode(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Latents `[N, 4, h, w]` to frames uint8 `[N, H, W, 3]`, a few at a time to bound the memory."""
        parts = [decode(self.vae, chunk) for chunk in latents.split(DECODE_CHUNK)]
        pixels = ((torch.cat(parts).float() + 1) * 127.5).round().clamp(0, 255)
        return pixels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def _result(
        self, request: PreviewRequest, settings: _Settings, still: NDArray[np.uint8], timings: dict[str, float]
    ) -> PreviewResult:
        return PreviewResult(
            model=self.name,
            model_hash=self.model_hash,
            drags=request.drags,
            frames=settings.frames,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=settings.seed,
            fit=request.fit,
            background=request.background,
            size=(still.shape[1], still.shape[0]),
            model_size=(self.info.width, self.info.height),
            still_sha256=hashlib.sha256(request.still_png).hexdigest(),
            device=f"{self.device.type} {str(self.unet.dtype).removeprefix('torch.')}",
            threads=torch.get_num_threads(),
            timings={name: round(seconds, 3) for name, seconds in timings.items()},
            versions=library_versions(),
            notes=() if request.drags else (NO_DRAGS,),
        )


@dataclass(frozen=True)
class _Settings:
    """A request's choices with the model's defaults filled in."""

    frames: int
    steps: int
    guidance: tuple[float, float]
    seed: int

    @property
    def guided(self) -> bool:
        """Whether guidance changes anything."""
        return self.guidance != (1.0, 1.0)


class Timed:
    """Adds the seconds its block took to `timings[name]`."""

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self.timings, self.name = timings, name

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.timings[self.name] = time.perf_counter() - self.began


def library_versions() -> dict[str, str]:
    """Versions of what shapes the numbers; a library without metadata is left out."""
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load_part(cls: Any, folder: Path, device: str) -> Any:
    """One component from its folder. Raises `ModelError` that names the folder."""
    try:
        part = cls.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{folder} cannot be loaded: {detail}; get the model folder anew") from error
    return part.to(device=device, dtype=torch.float32)
