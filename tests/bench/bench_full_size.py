# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole preview by the full-size model against a plain eager loop with the same weights, in one run.

    python tests/bench/bench_full_size.py      # `svd`'s size on the GPU: 14 x 256 x 256, 25 guided steps
    python tests/bench/bench_full_size.py --size small --steps 4 --device cpu
    python tests/bench/bench_full_size.py --size full --device cpu --side 64 --frames 4 --steps 2 --repeats 0   # 10 GiB

Weights are random: times, memory and the equality of both do not depend on them. The plain loop is how the published
code samples: per step two forwards (the unconditional one with zeros), drag maps in each, keys and values of
all-to-first expanded per frame, the context copied to every pixel (`tests/plain_unet.py`), then the clip decoded at
once. Both are warmed up, then run in turns; ratios are of medians. Ours and the plain loop must agree within the
precision's digits, or the figures are not printed. For the options that are not exact (guidance interval, reused
features) the difference of the frames to the exact ones is told; with random weights it says nothing about pictures.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from diffusers import AutoencoderKLTemporalDecoder
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import plain_unet
from bench_unet import build
from peak_memory import PeakMemory
from puppet_master.backend.acceleration import channels_last
from puppet_master.backend.autoencoder import decode_frames
from puppet_master.backend.memory import Needs
from puppet_master.backend.option_values import ACCELERATION_CHOICES
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.preparing import Prepared
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest
from puppet_master.backend.published import SVD
from puppet_master.backend.sampling import guidance_ramp, karras_sigmas, precondition, sample_euler

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.05}
VISION = {
    "full": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
             "projection_dim": 1024, "image_size": 224, "patch_size": 14, "hidden_act": "gelu"},
    "small": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
              "projection_dim": 256, "image_size": 32, "patch_size": 16},
}  # fmt: skip
DECODER = {"full": (128, 256, 512, 512), "small": (32, 32, 64, 64)}


def make_pipeline(options: argparse.Namespace) -> PreviewPipeline:
    """The model with random weights, straight in memory."""
    dtype = getattr(torch, options.dtype)
    torch.set_default_dtype(dtype)
    unet = build(options.size, "cpu")
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=DECODER[options.size], down_block_types=("DownEncoderBlock2D",) * 4,
        latent_channels=4, layers_per_block=2 if options.size == "full" else 1, scaling_factor=0.18215,
    )  # fmt: skip
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION[options.size]))
    torch.set_default_dtype(torch.float32)
    parts = (unet, vae, encoder)
    for part in parts:
        part.to(dtype)
        if options.device != "cpu":
            channels_last(part)
    info = replace(SVD.info, width=options.side, height=options.side, frames=options.frames, steps=options.steps)
    mode = "cpu" if options.device == "cpu" else "resident"
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in zip("uve", parts, strict=True)}
    needs = Needs.of(sizes, options.frames * options.side**2)
    return PreviewPipeline(Path("random"), info, "0" * 64, *parts, needs, options.device, mode, options.acceleration)


def make_request(side: int) -> PreviewRequest:
    """A picture of noise with three drags."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    drags = [Drag(f"d{i}", (DragPoint(0, 0.3, 0.3 + 0.1 * i), DragPoint(1, 0.7, 0.5))) for i in range(3)]
    return PreviewRequest(stream.getvalue(), tuple(drags), model="random")


class Plain:
    """The plain loop, from the same conditions and noise as ours."""

    def __init__(self, pipeline: PreviewPipeline, request: PreviewRequest) -> None:
        self.pipeline, self.info = pipeline, pipeline.info
        told = pipeline._conditions([Prepared.of(request, pipeline.info)])
        spare = (0, 0, 0, pipeline.unet.config.num_drags - told.drags.shape[2])
        drags = torch.nn.functional.pad(told.drags, spare)
        self.conditional = (told.embedding.to(pipeline.unet.dtype), told.image_latents, drags)
        self.unconditional = tuple(torch.zeros_like(part) for part in self.conditional)

    def sample(self) -> torch.Tensor:
        """Unscaled latents `[N, 4, h, w]`."""
        info, unet, device = self.info, self.pipeline.unet, self.pipeline.device
        ramp = guidance_ramp(*info.guidance, info.frames, device)

        def predict(x: torch.Tensor, c_noise: torch.Tensor, told: tuple[torch.Tensor, ...]) -> torch.Tensor:
            given = (x, c_noise.reshape(1).to(device), *told)
            return plain_unet.forward(unet, *given, fast_images=True, fused_attention=True).float()

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            c_skip, c_out, c_in, c_noise = precondition(torch.tensor(sigma))
            inputs = (x * c_in).to(unet.dtype)
            conditional = predict(inputs, c_noise, self.conditional) * c_out + x * c_skip
            unconditional = predict(inputs, c_noise, self.unconditional) * c_out + x * c_skip
            return unconditional + ramp * (conditional - unconditional)

        shape = (1, info.frames, *self.conditional[1].shape[1:])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
        sampled = sample_euler(denoise, noise, karras_sigmas(info.steps, info.sigma_min, info.sigma_max))
        return sampled[0] / self.pipeline.vae.config.scaling_factor

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames, the clip at once."""
        return decode_frames(self.pipeline.vae, latents, len(latents))


def timed(run: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What a call gives, and its seconds, those of the GPU included."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    found = run()
    if device != "cpu":
        torch.cuda.synchronize()
    return found, time.perf_counter() - began


def psnr(frames: np.ndarray, exact: np.ndarray) -> float:
    """Of frames 1 and later, dB; infinite where they are the same."""
    error = np.mean((frames[1:].astype(float) - exact[1:]) ** 2)
    return round(10 * math.log10(255**2 / error), 1) if error else math.inf


@torch.inference_mode()
def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one run."""
    pipeline = make_pipeline(options)
    request = make_request(options.side)
    _, first_s = timed(lambda: pipeline.generate(request), options.device)
    since_start = time.time() - psutil.Process(os.getpid()).create_time()
    kept: dict[str, torch.Tensor] = {}
    original = pipeline._to_latents
    pipeline._to_latents = lambda *given: kept.update(latents=original(*given)) or kept["latents"]
    plain = Plain(pipeline, request)
    times: dict[str, list[float]] = {"ours": [], "plain": [], "decode": [], "plain decode": []}
    for turn in range(options.repeats + 1):
        (frames, result), _ = timed(lambda: pipeline.generate(request), options.device)
        latents, sampled_s = timed(plain.sample, options.device)
        _, decoded_s = timed(lambda latents=latents: plain.decode(latents), options.device)
        if turn == 0 and options.repeats:
            continue  # warm-up
        times["ours"].append(result.timings["sample"])
        times["decode"].append(result.timings["decode"])
        times["plain"].append(sampled_s)
        times["plain decode"].append(decoded_s)
    error = ((kept["latents"][0] - latents).norm() / latents.norm()).item()
    if not error < TOLERANCE[options.dtype]:
        raise SystemExit(f"the latents of both differ by {error:.2e}; no figures")
    median = {name: statistics.median(values) for name, values in times.items()}
    inexact = {}
    for name, changes in {
        "guidance interval 0:0.7": {"guidance_interval": (0.0, 0.7)},
        "feature reuse 2": {"feature_reuse": 2},
    }.items():
        changed, told = pipeline.generate(replace(request, **changes))
        inexact[name] = {"sample_s": told.timings["sample"], "psnr_to_exact_db": psnr(changed, frames)}
    gpu = options.device != "cpu"
    return {
        "device": torch.cuda.get_device_name(options.device) if gpu else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": options.dtype,
        "acceleration": options.acceleration,
        "parameters": sum(parameter.numel() for parameter in pipeline.unet.parameters()),
        "clip": [options.frames, options.side, options.side],
        "steps": options.steps,
        "relative_error_of_latents": error,
        "sample_s": round(median["ours"], 4),
        "plain_sample_s": round(median["plain"], 4),
        "sample_speedup": round(median["plain"] / median["ours"], 3),
        "decode_s": round(median["decode"], 4),
        "plain_decode_s": round(median["plain decode"], 4),
        "first_preview_s": round(first_s, 3),
        "process_start_to_first_preview_s": round(since_start, 2),
        "gpu_peak_mib": round(torch.cuda.max_memory_allocated(options.device) / 2**20) if gpu else None,
        "not_exact": inexact,
    }


def main() -> None:
    """Measure and print one JSON object."""
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "small"), default="full" if on_gpu else "small")
    parser.add_argument("--side", type=int, default=256 if on_gpu else 128, help="of the frames in pixels")
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--steps", type=int, default=25 if on_gpu else 4)
    parser.add_argument("--repeats", type=int, default=5 if on_gpu else 2, help="0: once, warm-up and all")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--dtype", choices=sorted(TOLERANCE), default="bfloat16" if on_gpu else "float32")
    parser.add_argument("--acceleration", choices=ACCELERATION_CHOICES, default="auto")
    options = parser.parse_args()
    with PeakMemory(os.getpid(), 0.1) as peak:
        report = measure(options)
    print(json.dumps({**report, "process_peak_mib": round(peak.mib)}, indent=1))


if __name__ == "__main__":
    main()
