# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent cache: clips seen through random views, encoded once by the frozen VAE.

A cache is a folder of shards (`latents-000000.tar`, each of `CLIPS_PER_SHARD` clips) with a `cache.json` that says
what they were made of. A sample is a clip, named NUMBER-NAME; its member `views.npz` holds, for V views,

| array | type and shape |
|---|---|
| `latents` | float16 `[V, N, 4, h, w]`, times the VAE's scaling factor |
| `stills` | uint8 `[V, s, s, 3]`, frame 0 at the image encoder's size |
| `tracks`, `visible`, `part` | float32 `[V, P, N, 2]`, bool `[V, P, N]`, int16 `[P]` in each view's coordinates |
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..backend.autoencoder import Autoencoder, encode
from ..backend.clips import DAMAGE, decode_arrays, encode_arrays
from ..backend.errors import InputError, OutputError
from ..backend.shards import read_tar, shard_name, write_tar
from .dataset import RenderedClips, TrackedPoints, apply_view, random_view
from .settings import LatentSettings
from .stages import Job
from .vae import load_vae, vae_folder

LATENTS = "latents"  # what the shards are called before the number
VIEWS = "views.npz"
CARD = "cache.json"
# What is lost when the work is stopped: a few minutes on a CPU.
CLIPS_PER_SHARD = 256


@dataclass(frozen=True)
class LatentClip:
    """One view of one clip.

    Attributes:
        latents: float16 `[N, 4, h, w]`, times the VAE's scaling factor.
        still: uint8 `[s, s, 3]`, frame 0 at the image encoder's size.
        points: in the view's coordinates.
    """

    latents: NDArray[np.float16]
    still: NDArray[np.uint8]
    points: TrackedPoints


def write_cache(
    clips: RenderedClips,
    vae: Autoencoder,
    out: Path,
    settings: LatentSettings,
    share: tuple[int, int] = (0, 1),
    log: Callable[[str], None] = print,
) -> None:
    """Encode random views of each clip; shards that are there already are kept.

    Args:
        clips: to encode.
        vae: frozen.
        out: cache folder.
        settings: of the views.
        share: (index, count): this process makes every count-th shard from index.
        log: told of each shard.

    Raises:
        InputError: a clip is damaged, or `out` was begun with other clips, settings or VAE.
        OutputError: `out` cannot be written.
    """
    _begin(out, {"clips": _digest(clips.names), "vae": _fingerprint(vae), **settings.model_dump(exclude={"vae"})})
    starts = range(0, len(clips), CLIPS_PER_SHARD)
    for number in range(share[0], len(starts), share[1]):
        path = out / shard_name(LATENTS, number)
        indices = range(starts[number], min(starts[number] + CLIPS_PER_SHARD, len(clips)))
        if not path.exists():
            # Numbered, since several folders may hold clips of one name.
            names = {index: f"{index:08d}-{clips.names[index]}" for index in indices}
            write_tar(path, ((names[i], {VIEWS: _encode_views(clips, i, vae, settings)}) for i in indices))
        log(f"latents: {path.name} holds clips {indices.start + 1} to {indices.stop} of {len(clips)}")


@torch.no_grad()
def _encode_views(clips: RenderedClips, index: int, vae: Autoencoder, settings: LatentSettings) -> bytes:
    rng = np.random.default_rng([settings.seed, *clips.names[index].encode()])
    clip = clips.load(index)
    if len(clip.frames) != clip.drags.shape[1]:
        raise InputError(f"clip {clips.names[index]} has its still alone; render it with all its frames")
    latents, stills, tracks, visible = [], [], [], []
    for _ in range(settings.count):
        frames, points = apply_view(clip, random_view(clip, rng, settings.views), settings.size)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(vae.device)
        latents.append((encode(vae, pixels) * vae.config.scaling_factor).float().cpu().numpy().astype(np.float16))
        stills.append(_small_still(frames[0], settings.still_size))
        tracks.append(points.tracks)
        visible.append(points.visible)
    stacked = {"latents": latents, "stills": stills, "tracks": tracks, "visible": visible}
    return encode_arrays({name: np.stack(values) for name, values in stacked.items()} | {"part": clip.part})


def _small_still(frame: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    image = Image.fromarray(np.rint((frame + 1) * 127.5).clip(0, 255).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _begin(out: Path, made_of: dict[str, Any]) -> None:
    """Make the folder and write down what its latents are made of; go on with one that was begun with the same."""
    card = out / CARD
    if card.exists():
        _compare(card, made_of)
        return
    partial = out / f".{CARD}.{os.getpid()}.partial"
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
        partial.replace(card)
    except OSError as error:
        raise OutputError(f"cannot write {card}: {error.strerror or error}; choose another --out") from error


def _compare(card: Path, made_of: dict[str, Any]) -> None:
    try:
        stored = json.loads(card.read_text(encoding="utf-8"))
        other = [name for name, value in made_of.items() if stored[name] != value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{card} cannot be read: {error}; choose another --out") from error
    if other:
        raise InputError(f"the latents in {card.parent} were made with other {', '.join(other)}; choose another --out")


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _fingerprint(vae: Autoencoder) -> str:
    digest = hashlib.sha256()
    for values in vae.state_dict().values():
        digest.update(values.cpu().numpy().tobytes())
    return digest.hexdigest()


def decode_views(where: str, members: Mapping[str, bytes]) -> list[LatentClip]:
    """All views of a stored clip. Raises `InputError` that names it, if it is damaged."""
    try:
        arrays = decode_arrays(members[VIEWS])
        columns = [arrays[key] for key in ("latents", "stills", "tracks", "visible")]
        part = arrays["part"]
    except DAMAGE as error:
        raise InputError(f"latents {where} cannot be read: {error}; remove the shard, make it again") from error
    return [
        LatentClip(latents, still, TrackedPoints(tracks, visible, part))
        for latents, still, tracks, visible in zip(*columns, strict=True)
    ]


def read_cache(folder: Path) -> Iterator[LatentClip]:
    """All views of all clips of a cache, in the clips' order.

    Raises:
        InputError: there are none, or a shard is damaged; the message names it, and the clip where it is one.
    """
    shards = sorted(folder.glob(f"{LATENTS}-*.tar"))
    if not shards:
        raise InputError(f"no latents ({LATENTS}-*.tar) in {folder}; make some with the stage latents")
    for shard in shards:
        for name, members in read_tar(shard):
            yield from decode_views(f"{name} in {shard}", members)


def run(job: Job) -> None:
    """The stage `latents`: each process makes its share of the shards."""
    settings = job.config.section("latents")
    vae = load_vae(vae_folder(job.config)).to(job.processes.device)
    share = (job.processes.process_index, job.processes.num_processes)
    write_cache(RenderedClips(job.config.data.clips), vae, job.config.folder("latents"), settings, share, job.say)
    job.processes.wait_for_everyone()
