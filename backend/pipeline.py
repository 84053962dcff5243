# SPDX-License-Identifier: GPL-3.0-or-later
"""From preview requests to frames: encode the stills, sample with the drags, decode."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from transformers import CLIPVisionModelWithProjection

from . import memory
from .acceleration import Accelerated, channels_last
from .autoencoder import VAE_CLASSES, Autoencoder, decode_frames, encode
from .denoising import Conditions, Guided, Maps, blank_maps
from .detail import keep_still_detail
from .errors import Cancelled, ModelError
from .model import DragSpatioTemporalUNet
from .preparing import Prepared
from .previewing import NO_DRAGS, Made, Step, Steps, Timed, library_versions, load_part
from .protocol import PreviewRequest, PreviewResult, trajectories
from .registry import WEIGHTS, ModelInfo, check_complete, read_info, read_json
from .sampling import guidance_ramp, karras_sigmas, sample_euler

TOGETHER = 4  # previews that share a forward at most; more gain little once the device is full
# What OpenAI's CLIP was trained with; SVD's image encoder expects it.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

log = logging.getLogger(__name__)


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
        needs: memory.Needs,
        device: str = "cpu",
        mode: str = "cpu",
        acceleration: str = "auto",
    ) -> None:
        self.folder, self.info, self.model_hash = folder, info, model_hash
        self.unet, self.vae, self.encoder = unet.eval(), vae.eval(), encoder.eval()
        parts = {"unet": self.unet, "vae": self.vae, "encoder": self.encoder}
        self.placement = memory.Placement(parts, torch.device(device), mode, needs)
        self._accelerated = Accelerated(self.unet, acceleration, model_hash)
        self._blank: dict[tuple[int, int], Maps] = {}
        self._together = TOGETHER

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.placement.device

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", mode: str = memory.AUTO, acceleration: str = "auto"
    ) -> PreviewPipeline:
        """Load a model folder.

        Args:
            folder: of the model.
            device: "cpu", "cuda" or "cuda:N".
            mode: memory mode, or "auto" for the quickest that has room.
            acceleration: see `acceleration`.

        Raises:
            ModelError: incomplete, corrupt or of another architecture; names the file.
            InputError, RequirementError: see `memory.choose`.
        """
        info = read_info(folder)
        model_hash = check_complete(folder)
        vae_name = read_json(folder / "vae" / "config.json").get("_class_name")
        if vae_name not in VAE_CLASSES:
            raise ModelError(f"{folder / 'vae' / 'config.json'}: class {vae_name!r} is not a VAE this program knows")
        place = torch.device(device)
        weights = {"unet": f"unet/{WEIGHTS}", "vae": f"vae/{WEIGHTS}", "encoder": "image_encoder/model.safetensors"}
        counts = {name: memory.count_parameters(folder / path) for name, path in weights.items()}
        needs = memory.Needs.of(counts, info.frames * info.height * info.width)
        mode = memory.choose(mode, needs, memory.Room.probe(place))
        half = mode != "cpu" or not memory.singles_fit(needs)
        dtype = torch.bfloat16 if half else torch.float32
        unet = load_part(DragSpatioTemporalUNet, folder / "unet", "cpu", dtype)
        vae = load_part(VAE_CLASSES[vae_name], folder / "vae", "cpu", dtype)
        encoder = load_part(CLIPVisionModelWithProjection, folder / "image_encoder", "cpu", dtype)
        if mode != "cpu":
            channels_last(unet)
            channels_last(vae)
        log.info("%s on %s, memory mode %s", info.name, place, mode)
        return cls(folder, info, model_hash, unet, vae, encoder, needs, device, mode, acceleration)

    def generate(
        self,
        request: PreviewRequest,
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Made:
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
            RequirementError: memory ran out, and there is no cheaper memory mode.
            RuntimeError, MemoryError: torch's own, where it ran out in the next cheaper one too; see
                `memory.is_out_of_memory`.
        """
        return self.generate_batch([request], on_step, should_stop)[0]

    @torch.inference_mode()
    def generate_batch(
        self,
        requests: Sequence[PreviewRequest],
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Made]:
        """Make previews; those of equal frames, steps and kind of guidance share forwards as memory lets them.

        Each equals the preview made alone, within what the order of sums changes. Where memory runs out, fewer are
        made together; a single one is made once more in the next cheaper memory mode, and its notes say so.

        Args:
            requests: what to make, in any mixture.
            on_step: called after each sampling step.
            should_stop: asked before each step.

        Returns:
            For each request what `generate` returns.

        Raises:
            Cancelled, InputError, RequirementError, RuntimeError, MemoryError: see `generate`; then none is returned.
        """
        prepared = [Prepared.of(request, self.info) for request in requests]
        waiting: dict[tuple[Any, ...], list[int]] = {}
        for index, item in enumerate(prepared):
            waiting.setdefault(item.settings.shape, []).append(index)
        made: list[Made | None] = [None] * len(prepared)
        done, total = 0, sum(item.settings.steps for item in prepared)
        for indices in waiting.values():
            notes: tuple[str, ...] = ()
            while indices:
                now = indices[: self._together]
                group = [prepared[index] for index in now]
                tell = Steps(on_step, done, total, len(group), notes)
                try:
                    found = self._make_together(group, tell, should_stop, notes)
                except (RuntimeError, MemoryError) as error:
                    if not memory.is_out_of_memory(error) or notes:
                        raise
                    found = None
                # Out of the handler, whose traceback would hold on to the memory.
                if found is None:
                    notes = self._ask_for_less(len(now))
                    continue
                notes = ()
                for index, result in zip(now, found, strict=True):
                    made[index] = result
                done += sum(item.settings.steps for item in group)
                indices = indices[len(now) :]
        return [item for item in made if item is not None]

    def _ask_for_less(self, together: int) -> tuple[str, ...]:
        """Make less do after memory ran out; what the user should know of it."""
        self._accelerated.forget()
        self._blank.clear()
        if together > 1:
            self._together = max(1, together // 2)
            return ()
        return (self.placement.step_down(),)

    def _make_together(
        self,
        group: list[Prepared],
        on_step: Steps,
        should_stop: Callable[[], bool] | None,
        notes: tuple[str, ...],
    ) -> list[Made]:
        timings: dict[str, float] = {}
        with Timed(timings, "encode", self.device):
            conditions = self._conditions(group)
        with Timed(timings, "sample", self.device):
            latents = self._sample(group, conditions, on_step, should_stop)
        with Timed(timings, "decode", self.device), self.placement.at_work("vae"):
            frames = [
                self._deliver(latents[index], conditions.image_latents[index : index + 1], item)
                for index, item in enumerate(group)
            ]
        return [
            (clip, self._result(item, timings, len(group), notes)) for clip, item in zip(frames, group, strict=True)
        ]

    def _conditions(self, group: list[Prepared]) -> Conditions:
        """The conditional branch's inputs of all clips."""
        seen = np.stack([item.fit.to_model(item.still, item.request.background) for item in group])
        pixels = torch.from_numpy(seen.astype(np.float32)).permute(0, 3, 1, 2).to(self.device) / 127.5 - 1
        with self.placement.at_work("encoder"):
            embedding = self.encoder(self._encoder_pixels(pixels)).image_embeds[:, None]
        with self.placement.at_work("vae"):
            # One by one: the largest activations of the VAE are those of its first layers.
            image_latents = torch.cat([encode(self.vae, still[None]) for still in pixels])
        drags, mask = self._drag_tensor(group)
        height, width = image_latents.shape[-2:]
        with self.placement.at_work("unet"):
            maps = self._like_unet(self.unet.encode_drags(drags, height, width, mask))
        return Conditions(embedding, image_latents, drags, mask, maps)

    def _blank_maps(self, height: int, width: int) -> Maps:
        if (height, width) not in self._blank:
            self._blank[height, width] = self._like_unet(blank_maps(self.unet, height, width, self.device))
        return self._blank[height, width]

    def _like_unet(self, maps: Maps) -> Maps:
        """Maps in the memory order of the UNet's own activations."""
        if self.unet.conv_in.weight.is_contiguous():
            return maps
        return [[part.contiguous(memory_format=torch.channels_last) for part in layers] for layers in maps]

    def _encoder_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[B, 3, H, W]` in [-1, 1] as the image encoder was trained to see it."""
        size = self.encoder.config.image_size
        small = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
        if self.info.latent_target == "latents":
            mean = torch.tensor(CLIP_MEAN, device=self.device).reshape(1, 3, 1, 1)
            std = torch.tensor(CLIP_STD, device=self.device).reshape(1, 3, 1, 1)
            small = ((small + 1) / 2 - mean) / std
        return small.to(self.encoder.dtype)

    def _drag_tensor(self, group: list[Prepared]) -> tuple[torch.Tensor, torch.Tensor]:
        """The UNet's drags `[B, N, K, 4]` and mask `[B, K]`, K the most drags of a clip."""
        counts = [len(item.request.drags) for item in group]
        frames = group[0].settings.frames
        drags = torch.zeros(len(group), frames, max(counts), 4)
        for index, (item, count) in enumerate(zip(group, counts, strict=True)):
            paths = item.fit.points_to_model(trajectories(item.request.drags, frames))
            now = torch.from_numpy(np.ascontiguousarray(paths.transpose(1, 0, 2)))
            drags[index, :, :count] = torch.cat([now[:1].expand_as(now), now], dim=-1)
        mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        return drags.to(self.device), mask.to(self.device)

    def _sample(
        self,
        group: list[Prepared],
        conditions: Conditions,
        on_step: Steps,
        should_stop: Callable[[], bool] | None,
    ) -> torch.Tensor:
        """Sampled latents `[B, N, 4, h, w]`, unscaled."""
        settings = group[0].settings
        height, width = conditions.image_latents.shape[-2:]
        with self.placement.at_work("unet"):
            ramps = [guidance_ramp(*item.settings.guidance, settings.frames, self.device) for item in group]
            guided = Guided(
                call=self._accelerated if self.placement.mode == "resident" else self._accelerated.plain,
                dtype=self.unet.dtype,
                conditions=conditions,
                blank=self._blank_maps(height, width) if settings.guided else None,
                ramp=torch.cat(ramps),
                together=self.placement.branches_together,
                steps=settings.steps,
                interval=settings.interval,
                reuse=settings.reuse,
            )
            steps = iter(range(settings.steps))

            def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
                if should_stop is not None and should_stop():
                    raise Cancelled("the preview was cancelled")
                with self.placement.at_work("unet"):  # an estimate may have had the VAE at work
                    return guided(x, sigma, next(steps))

            def after_step(index: int, denoised: torch.Tensor) -> None:
                first = self._to_latents(denoised[:1], conditions.image_latents[:1])[0]
                on_step(index, lambda: self._decode(first))

            shape = (1, settings.frames, *conditions.image_latents.shape[1:])
            noise = [
                torch.randn(shape, generator=torch.Generator().manual_seed(item.settings.seed)) for item in group
            ]
            sigmas = karras_sigmas(settings.steps, self.info.sigma_min, self.info.sigma_max)
            sampled = sample_euler(denoise, torch.cat(noise).to(self.device), sigmas, after_step)
        return self._to_latents(sampled, conditions.image_latents)

    def _to_latents(self, target: torch.Tensor, image_latents: torch.Tensor) -> torch.Tensor:
        """What was diffused `[B, N, 4, h, w]` as unscaled latents of the same shape."""
        scaled = target / (self.info.target_scale * self.vae.config.scaling_factor)
        if self.info.latent_target == "residual":
            return image_latents[:, None].float() + scaled
        return scaled

    def _deliver(self, latents: torch.Tensor, image_latents: torch.Tensor, item: Prepared) -> NDArray[np.uint8]:
        """Decoded frames `[N, H, W, 3]` at the still's size; frame 0, known exactly, is the still itself."""
        still = item.still
        if self.info.keep_still_detail:
            decoded = self._decode(torch.cat([image_latents.float(), latents]))
            reconstruction, *frames = item.fit.from_model(decoded, still)
            frames = keep_still_detail(np.stack(frames), reconstruction, still)
        else:
            frames = item.fit.from_model(self._decode(latents), still)
        frames[0] = still
        return frames

    @torch.inference_mode()
    def _decode(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Latents `[N, 4, h, w]` to frames uint8 `[N, H, W, 3]`, as many at a time as memory is for."""
        with self.placement.at_work("vae"):
            return decode_frames(self.vae, latents, self.placement.decode_chunk(len(latents)))

    def _result(
        self, item: Prepared, timings: dict[str, float], together: int, notes: tuple[str, ...]
    ) -> PreviewResult:
        request, settings, still = item.request, item.settings, item.still
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
            guidance_interval=settings.interval,
            feature_reuse=settings.reuse,
            memory=self.placement.mode,
            together=together,
            timings={name: round(seconds, 3) for name, seconds in timings.items()},
            versions=library_versions(),
            notes=notes if request.drags else (*notes, NO_DRAGS),
        )
