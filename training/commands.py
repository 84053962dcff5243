# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master train`: the steps that make the embedded model, each resumable by running it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..backend.errors import InputError

train = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Clips = Annotated[list[Path], typer.Argument(metavar="CLIPS_DIR...", help="Dataset folders, shards of rendered clips.")]
Vae = Annotated[Path, typer.Option(help="Folder of the trained VAE.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]


@train.command()
def vae(clips: Clips, out: Out) -> None:
    """Train the VAE on single frames."""
    from . import tiny
    from .dataset import RenderedClips
    from .vae import train_vae

    train_vae(RenderedClips(clips), out, tiny.VAE, log=_say)


@train.command()
def latents(
    clips: Clips,
    vae: Vae,
    out: Out,
    views: Annotated[int | None, typer.Option(min=1, help="Random views of each clip, if not the recipe's.")] = None,
    share: Annotated[str, typer.Option(metavar="I/N", help="Make every N-th shard, from the I-th (0-based).")] = "0/1",
    seed: Annotated[int, typer.Option(help="Of the random views.")] = 5,
) -> None:
    """Encode the clips once, through random views, for the diffusion stage."""
    from . import tiny
    from .dataset import RenderedClips
    from .latents import ViewSettings, write_cache
    from .vae import load_vae

    part = _parse_share(share)
    settings = ViewSettings(views or tiny.VIEWS, tiny.SIZE, tiny.STILL_SIZE, seed)
    write_cache(RenderedClips(clips), load_vae(vae), out, settings, part, _say)


@train.command()
def diffusion(
    latents: Annotated[Path, typer.Argument(metavar="LATENTS_DIR", help="What `latents` wrote.")], vae: Vae, out: Out
) -> None:
    """Train the UNet and the image encoder; goes on from OUT/state.pt when that is there."""
    from . import tiny
    from .diffusion import train_diffusion
    from .latents import read_cache
    from .vae import load_vae

    factor = load_vae(vae).config.scaling_factor
    train_diffusion(read_cache(latents), factor, tiny.DIFFUSION, out, log=_say)


@train.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="What `diffusion` wrote.")], vae: Vae, out: Out
) -> None:
    """Assemble the model folder that the backend loads."""
    from . import tiny
    from .publish import publish_run

    typer.echo(publish_run(run, vae, out, tiny))


def _parse_share(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"--share {text} is not I/N with I below N, such as 0/2")
    return int(index), int(count)


def _say(line: str) -> None:
    typer.echo(line, err=True)
