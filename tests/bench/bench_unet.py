# SPDX-License-Identifier: GPL-3.0-or-later
"""One UNet forward of ours against the plain published computation: same weights, same inputs, one run.

    python tests/bench/bench_unet.py [--size 256] [--frames 14] [--repeats 5] [--device cpu] [--threads 2]

The plain one expands K and V per frame, makes the drag maps in every call and copies the context to every
pixel (`tests/plain_unet.py`); ours gets the drag maps hoisted, as the pipeline does. Both run alternately, and
the ratio is of their medians. The outputs must agree, or the figures are not printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import plain_unet
from puppet_master.backend.model import DragSpatioTemporalUNet

WIDTHS = {"small": (64, 128, 256), "full": (320, 640, 1280, 1280)}
HEADS = {"small": (2, 4, 8), "full": (5, 10, 20, 20)}


def build(width: str, device: str) -> DragSpatioTemporalUNet:
    """A UNet of the published behaviour with random weights, its drag maps not zero."""
    torch.manual_seed(0)
    with torch.device(device):
        unet = DragSpatioTemporalUNet(
            block_out_channels=WIDTHS[width],
            num_attention_heads=HEADS[width],
            drag_embedder_out_channels=(256, 320, 320) if width == "full" else (64, 80, 80),
            cross_attention_dim=1024 if width == "full" else 256,
            attend_unused_drags=True,
            validity_per_frame=True,
        )
    for name, parameter in unet.named_parameters():
        if "flow_convs" in name and "conv_out" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return unet.eval()


def inputs(frames: int, side: int, token_dim: int, device: str) -> dict[str, torch.Tensor]:
    """Random latents and three drags in five slots."""
    drags = torch.rand(1, frames, 5, 4)
    drags[:, :, 3:] = 0
    found = {
        "sample": torch.randn(1, frames, 4, side, side),
        "timestep": torch.tensor([0.5]),
        "encoder_hidden_states": torch.randn(1, 1, token_dim),
        "image_latents": torch.randn(1, 4, side, side),
        "drags": drags,
    }
    return {name: tensor.to(device) for name, tensor in found.items()}


def seconds(run: Callable[[], torch.Tensor], device: str) -> float:
    """Wall time of one call."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.inference_mode()
def main() -> None:
    """Time both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", choices=sorted(WIDTHS), default="small")
    parser.add_argument("--size", type=int, default=256, help="side of the frames in pixels, 8 per latent cell")
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    side = options.size // 8
    unet = build(options.width, options.device)
    given = inputs(options.frames, side, unet.config.cross_attention_dim, options.device)
    maps = unet.encode_drags(given["drags"], side, side)
    ours = unet(**given, drag_maps=maps)
    plain = plain_unet.forward(unet, **given, fast_images=True)
    error = ((ours - plain).norm() / plain.norm()).item()
    if error > 1e-4:
        raise SystemExit(f"the outputs differ by {error:.2e}; no figures")
    times: dict[str, list[float]] = {"ours": [], "plain": [], "maps": []}
    for _ in range(options.repeats):
        times["ours"].append(seconds(lambda: unet(**given, drag_maps=maps), options.device))
        times["plain"].append(
            seconds(lambda: plain_unet.forward(unet, **given, fast_images=True), options.device)
        )
        times["maps"].append(seconds(lambda: unet.encode_drags(given["drags"], side, side)[0][0], options.device))
    median = {name: statistics.median(values) for name, values in times.items()}
    report = {
        "width": options.width,
        "parameters": sum(parameter.numel() for parameter in unet.parameters()),
        "frames": options.frames,
        "latents": side,
        "device": options.device,
        "threads": options.threads,
        "relative_error": error,
        "ours_s": median["ours"],
        "plain_s": median["plain"],
        "maps_once_per_clip_s": median["maps"],
        "speedup": median["plain"] / median["ours"],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
