# SPDX-License-Identifier: GPL-3.0-or-later
"""Training clips a second: ours against the plain published step with the same weights, and the motion field's stage.

    python tests/bench/bench_train.py [--size 128] [--frames 14] [--batch 4] [--device cuda --precision bf16 --compile]

Ours is the real stage `diffusion` (`training/loop.py`) on shards of cached latents; the plain one
(`tests/plain_training.py`) reads a file per clip, encodes its frames by the VAE in each step, and computes the network
as published. Everything runs in a process of its own, by turns, and what is reported is the median of `--rounds`. Both
must compute the same loss and gradients on one batch, or there are no figures. Since a latent cache is no merit of the
step itself, the ratio is told three times: of the whole, without encoding, and without encoding and loading.

On a machine that others use too, `--processor-time --threads 1` compares what a run takes and not how long it waits for
its turn. Useful operations are counted by torch of our step without recomputation; their share of the device's peak
(MFU) is told where the peak is known or given. The image encoder is the small one of the preset `video`, in both.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import plain_training
from peak_memory import PeakMemory
from puppet_master.backend.model.motion_field import MotionField
from puppet_master.training import loop
from puppet_master.training.config import BaseConfig, load_config
from puppet_master.training.dataset import RenderedClips
from puppet_master.training.diffusion import DiffusionStage, open_stream
from puppet_master.training.latents import write_cache
from puppet_master.training.motion_stage import MotionStage
from puppet_master.training.parallel import start_processes
from puppet_master.training.paths import PathSamples
from puppet_master.training.settings import TrainingSettings, VaeSettings
from puppet_master.training.stages import Job
from puppet_master.training.stream import Shards, Stream
from puppet_master.training.vae import build_vae, load_vae
from rendered_clips import write_dataset

WIDTHS: dict[str, dict[str, Any]] = {
    "small": {"num_drags": 5, "dense_bandwidths": [], "carry_bandwidths": []},
    "full": {
        "block_out_channels": [320, 640, 1280, 1280], "num_attention_heads": [5, 10, 20, 20], "layers_per_block": 2,
        "cross_attention_dim": 1024, "num_drags": 5, "norm_num_groups": 32, "pos_embed_dim": 64,
        "drag_embedder_out_channels": [256, 320, 320], "dense_bandwidths": [], "carry_bandwidths": [],
    },
}  # fmt: skip
# Dense bfloat16 TFLOP/s as their maker states them, by a part of the device's name.
PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40": 181.0, "RTX 4090": 165.0}
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3  # relative, in float32
CLIPS = 16  # in the shards
DRAG_SPREAD = 0.02  # standard deviation of what the drag maps' last layers begin with


@dataclass(frozen=True)
class Order:
    """What is measured; the fields are `main`'s options."""

    width: str
    size: int
    frames: int
    batch: int
    steps: int
    warmup: int
    precision: str
    device: str
    vae: str
    workers: int
    compile: bool
    checkpointing: bool
    threads: int
    processor_time: bool


def config_of(order: Order, folder: Path) -> BaseConfig:
    """The preset `video` with the sizes asked for."""
    unet = [f"diffusion.unet.{name}={json.dumps(value)}" for name, value in WIDTHS[order.width].items()]
    return load_config("video", [
        "stages=['diffusion']", f"data.clips={json.dumps([str(folder / 'clips')])}", f"device={order.device}",
        f"data.workers={order.workers}", f"latents.vae={folder / 'vae'}", f"latents.size={order.size}",
        f"diffusion.latents={folder / 'latents'}", "diffusion.target=latents", "diffusion.log_sigma=[0.7, 1.6]",
        f"diffusion.mixture.frames={order.frames}", f"diffusion.unet.num_frames={order.frames}",
        f"diffusion.checkpointing={json.dumps(order.checkpointing)}", *unet, *loop_options("diffusion", order),
    ])  # fmt: skip


def loop_options(stage: str, order: Order) -> list[str]:
    """A line of statistics for each step, and nothing else written meanwhile."""
    return [
        f"{stage}.clips={order.batch * (order.warmup + order.steps)}", f"{stage}.batch={order.batch}",
        f"{stage}.log_every={order.batch}", f"{stage}.samples_every=0", f"{stage}.precision={order.precision}",
        f"{stage}.save_every=1000000", f"{stage}.snapshot_every=1000000",
        f"{stage}.compile={json.dumps(order.compile)}", "log.tensorboard=false",
    ]  # fmt: skip


def prepare(order: Order, folder: Path) -> dict[str, Any]:
    """Clips as shards and as a file each, an untrained VAE, and the latents; nothing to report."""
    from diffusers import AutoencoderKLTemporalDecoder

    write_dataset(folder / "clips", CLIPS, 8, frames=order.frames, side=order.size, grain=12, paths=True)
    plain_training.write_files(folder / "clips", folder / "files")
    (folder / "latents").mkdir()
    (folder / "latents" / "latents-000000.tar").touch()  # so that the configuration can be checked
    torch.manual_seed(0)
    widths = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    vae = build_vae(VaeSettings()) if order.vae == "light" else AutoencoderKLTemporalDecoder(**widths)
    vae.save_pretrained(folder / "vae")
    settings = config_of(order, folder).section("latents").model_copy(update={"count": 1})
    (folder / "latents" / "latents-000000.tar").unlink()
    device = start_processes(order.device).device
    frozen = load_vae(folder / "vae").to(device)
    write_cache(RenderedClips([folder / "clips"]), frozen, folder / "latents", settings, log=lambda line: None)
    return {}


def diffusion_stage(order: Order, folder: Path) -> tuple[DiffusionStage, Job]:
    """The stage as `puppet-master train` makes it, and its job."""
    config = config_of(order, folder)
    job = Job(config, start_processes(config.device), lambda line: None)
    settings = config.section("diffusion")
    networks = plain_training.published_networks(settings, DRAG_SPREAD).to(job.processes.device)
    stream, _ = open_stream(job, folder / "latents", settings.mixture, settings.unet.num_drags, settings.target, 1.0)
    return DiffusionStage(settings, networks, stream, 1.0), job


def ours(order: Order, folder: Path) -> dict[str, Any]:
    """Our training loop on the stage `diffusion`."""
    stage, job = diffusion_stage(order, folder)
    return run_loop(stage, stage.settings, job, order)


def run_loop(stage: loop.Stage, settings: TrainingSettings, job: Job, order: Order) -> dict[str, Any]:
    """A short run; its own statistics, those of the steps before it is warm left out."""
    if order.processor_time:
        loop.time = SimpleNamespace(perf_counter=time.process_time)
    with tempfile.TemporaryDirectory() as out:
        loop.train(stage, settings, Path(out), job.processes, job.config.log, job.config.seed, job.say)
        lines = [json.loads(line) for line in (Path(out) / "stats.jsonl").read_text().splitlines()][order.warmup :]
    seconds = [order.batch / line["clips_per_s"] for line in lines]
    waited = sum(line["waiting"] * each for line, each in zip(lines, seconds, strict=True))
    clips = order.batch * len(lines)
    return {
        "clips_per_s": clips / sum(seconds), "clips_per_s_without_loading": clips / (sum(seconds) - waited),
        "waiting": waited / sum(seconds), "gpu_mib": gpu_peak(),
    }  # fmt: skip


def plain(order: Order, folder: Path) -> dict[str, Any]:
    """The plain published step."""
    config = config_of(order, folder)
    device, settings = start_processes(config.device).device, config.section("diffusion")
    networks = plain_training.published_networks(settings, DRAG_SPREAD).to(device)
    vae = load_vae(folder / "vae").to(device)
    trained = list(networks.parameters())
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, betas=tuple(settings.betas))
    slots, still_size = settings.unet.num_drags, settings.encoder.image_size
    files = plain_training.Files(folder / "files", config.section("latents"), settings.mixture, slots)
    reader = plain_training.batches(files, order.batch, order.workers)
    spent = {"loading": 0.0, "encoding": 0.0, "step": 0.0}
    for index in range(order.warmup + order.steps):
        marks = [now(device, order)]
        batch = {name: value.to(device) for name, value in next(reader).items()}
        marks.append(now(device, order))
        with torch.autocast(device.type, torch.bfloat16, enabled=order.precision == "bf16"):
            batch = plain_training.encoded(batch, vae, still_size)
            marks.append(now(device, order))
            loss = plain_training.loss(networks, batch, settings.log_sigma, order.checkpointing)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        marks.append(now(device, order))
        if index >= order.warmup:
            for name, (began, ended) in zip(spent, pairwise(marks), strict=True):
                spent[name] += ended - began
    clips, whole = order.batch * order.steps, sum(spent.values())
    return {
        "clips_per_s": clips / whole, "clips_per_s_without_encoding": clips / (whole - spent["encoding"]),
        "clips_per_s_without_loading": clips / spent["step"], "waiting": spent["loading"] / whole,
        "encoding": spent["encoding"] / whole, "gpu_mib": gpu_peak(),
    }  # fmt: skip


def check(order: Order, folder: Path) -> dict[str, Any]:
    """That both steps are the same, in float32; and what a clip takes in TFLOP."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    stage, job = diffusion_stage(order, folder)
    few = stage.stream.batches(0, 1, 0, min(order.batch, 2))
    batch = {name: value.to(job.processes.device) for name, value in next(few).items()}
    stage.networks.unet.disable_gradient_checkpointing()
    # Fused attention is not counted on every device.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        mine = stage.loss(batch)[0]
        mine.backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in stage.networks.parameters()]
    stage.networks.zero_grad()
    theirs = plain_training.loss(stage.networks, batch, stage.settings.log_sigma)
    theirs.backward()
    norms = [p.grad.norm() for p in stage.networks.parameters() if p.grad is not None]
    apart = [
        (p.grad - (0 if g is None else g)).norm()
        for p, g in zip(stage.networks.parameters(), gradients, strict=True)
        if p.grad is not None
    ]
    return {
        "loss_ours": mine.item(), "loss_plain": theirs.item(), "loss_error": abs(mine.item() / theirs.item() - 1),
        "gradient_error": (torch.stack(apart).norm() / torch.stack(norms).norm()).item(),
        "tflop_per_clip": counter.get_total_flops() / 1e12 / len(batch["target"]),
        "parameters": sum(p.numel() for p in stage.networks.parameters()), "device": device_name(job.processes.device),
    }  # fmt: skip


def motion(order: Order, folder: Path) -> dict[str, Any]:
    """Our training loop on the stage `motion`, sizes of the preset `tiny`."""
    config = load_config("tiny", [
        "stages=['motion']", f"data.clips={json.dumps([str(folder / 'clips')])}", f"device={order.device}",
        f"data.workers={order.workers}", *loop_options("motion", order),
    ])  # fmt: skip
    settings, data = config.section("motion"), config.data
    torch.manual_seed(0)
    field = MotionField(
        size=settings.size, channels=tuple(settings.channels), key_times=settings.key_times,
        token_channels=settings.token_channels, embedding_channels=settings.embedding_channels,
    )  # fmt: skip
    shards = Shards.find(data.clips, "clips")
    stream = Stream(shards, PathSamples(settings), config.seed, data.lanes, data.buffer, data.workers)
    job = Job(config, start_processes(config.device), lambda line: None)
    return run_loop(MotionStage(settings, field, stream), settings, job, order)


def now(device: torch.device, order: Order) -> float:
    """Seconds, when the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.process_time() if order.processor_time else time.perf_counter()


def gpu_peak() -> float:
    """MiB on the graphics card, at most; 0 without one."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0


def device_name(device: torch.device) -> str:
    """As the tables call it."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


def alone(work: Callable[[Order, Path], dict[str, Any]], order: Order, folder: Path) -> dict[str, Any]:
    """What `work` reports from a process of its own, with the most memory that it held."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_answer, args=(work.__name__, order, folder, answers))
    process.start()
    with PeakMemory(process.pid, interval_s=0.25) as memory:
        process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} ended with {process.exitcode}; see above")
    found = answers.get()
    return found | {"mib": found.pop("gpu_mib", 0) or memory.mib}


def _answer(work: str, order: Order, folder: Path, answers: Any) -> None:
    torch.set_num_threads(order.threads)
    answers.put(globals()[work](order, folder))


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the rounds."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def measure(order: Order, motion_batch: int, rounds: int, peak: float) -> dict[str, Any]:
    """Everything `main` reports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(prepare, order, folder)
        same = alone(check, order, folder)
        if same["loss_error"] > LOSS_TOLERANCE or same["gradient_error"] > GRADIENT_TOLERANCE:
            raise SystemExit(f"the steps differ: {same}; no figures")
        fields = {kind: Order(**asdict(order) | {"batch": motion_batch, "precision": kind, "compile": False})
                  for kind in ("fp32", "bf16")}  # fmt: skip
        runs: dict[str, list[dict[str, float]]] = {key: [] for key in ("ours", "plain", *fields)}
        for _ in range(rounds):
            runs["ours"].append(alone(ours, order, folder))
            runs["plain"].append(alone(plain, order, folder))
            for kind, each in fields.items():
                runs[kind].append(alone(motion, each, folder))
    mine, theirs, *moving = (median(each) for each in runs.values())
    useful = {"ours": mine, "plain": theirs}
    peak = peak or next((value for part, value in PEAKS.items() if part in str(same["device"])), 0.0)
    return {
        "order": asdict(order), "check": same, "ours": mine, "plain": theirs,
        "ratio": {
            "whole": mine["clips_per_s"] / theirs["clips_per_s"],
            "without_encoding": mine["clips_per_s"] / theirs["clips_per_s_without_encoding"],
            "without_encoding_and_loading": mine["clips_per_s_without_loading"] / theirs["clips_per_s_without_loading"],
        },
        "tflop_per_s": {name: each["clips_per_s"] * same["tflop_per_clip"] for name, each in useful.items()},
        "peak_tflop_per_s": peak or None,
        "motion": dict(zip(fields, moving, strict=True)) | {"batch": motion_batch},
    }  # fmt: skip


def print_report(report: dict[str, Any]) -> None:
    """As tables."""
    order, same, peak, console = report["order"], report["check"], report["peak_tflop_per_s"], Console()
    clips = f"{order['frames']} frames of {order['size']} px, batch {order['batch']}"
    clock = ", processor time" if order["processor_time"] else ""
    table = Table(
        title=f"Diffusion: {same['parameters'] / 1e6:.1f} M parameters, {clips}, {order['precision']}, "
        f"{same['device']}{clock}"
    )
    for title in ("", "clips/s", "of that waiting", "encoding", "peak MiB", "TFLOP/s", "MFU"):
        table.add_column(title, justify="right" if title else "left")
    for name in ("ours", "plain"):
        found, rate = report[name], report["tflop_per_s"][name]
        table.add_row(
            name, f"{found['clips_per_s']:.2f}", f"{found['waiting']:.1%}", f"{found.get('encoding', 0):.1%}",
            f"{found['mib']:.0f}", f"{rate:.3f}", f"{rate / peak:.1%}" if peak else "-",
        )  # fmt: skip
    console.print(table)
    for name, value in report["ratio"].items():
        console.print(f"ratio, {name.replace('_', ' ')}: {value:.2f}")
    console.print(f"the same batch and weights: loss {same['loss_ours']:.6f} and {same['loss_plain']:.6f} (they may "
                  f"differ by {LOSS_TOLERANCE:g} of it), gradients differ by {same['gradient_error']:.1e}")  # fmt: skip
    table = Table(title=f"Motion field: preset tiny, batch {report['motion']['batch']}")
    for title in ("precision", "clips/s", "of that waiting", "peak MiB"):
        table.add_column(title, justify="right")
    for kind in ("fp32", "bf16"):
        found = report["motion"][kind]
        table.add_row(kind, f"{found['clips_per_s']:.2f}", f"{found['waiting']:.1%}", f"{found['mib']:.0f}")
    console.print(table)


def main(
    width: Annotated[Literal["small", "full"], typer.Option(help="Preset video's UNet, or SVD's.")] = "small",
    size: Annotated[int, typer.Option(help="Side of the frames in pixels, a multiple of 64.")] = 128,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 14,
    batch: Annotated[int, typer.Option(help="Clips a step of the diffusion stage.")] = 4,
    motion_batch: Annotated[int, typer.Option(help="Clips a step of the motion stage.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps that are measured, in each round.")] = 4,
    warmup: Annotated[int, typer.Option(help="Steps before them that are not.")] = 1,
    rounds: Annotated[int, typer.Option(help="How often all of it is measured; medians are told.")] = 2,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of both diffusion steps.")] = "fp32",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option()] = "auto",
    vae: Annotated[Literal["light", "published"], typer.Option(help="Preset video's, or of SVD's size.")] = "light",
    workers: Annotated[int, typer.Option(help="Processes that read ahead, in both.")] = 0,
    compile: Annotated[bool, typer.Option("--compile", help="Let ours be compiled.")] = False,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Recompute activations, in both.")] = False,
    threads: Annotated[int, typer.Option(help="Of torch.")] = torch.get_num_threads(),
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Instead of wall time; of a CPU without workers.")
    ] = False,
    peak_tflops: Annotated[float, typer.Option(help="The device's, where it is not known.")] = 0.0,
    out: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there too.")] = None,
) -> None:
    """Measure and print."""
    if processor_time and workers:
        raise typer.BadParameter("--processor-time does not see workers; leave one of both out")
    order = Order(
        width, size, frames, batch, steps, warmup, precision, device, vae, workers, compile, checkpointing, threads,
        processor_time,
    )  # fmt: skip
    report = measure(order, motion_batch, rounds, peak_tflops)
    print_report(report)
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
