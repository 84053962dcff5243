# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master train`: the steps that make the embedded model, each resumable by running it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Clips = Annotated[list[Path], typer.Argument(metavar="CLIPS_DIR...", help="Folders of rendered clips.")]
Vae = Annotated[Path, typer.Option(help="Folder of the trained VAE.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]


@train.command()
def vae(clips: Clips, out: Out) -> None:
    """Train the VAE on single frames."""
    from . import tiny
    from .vae import train_vae

    train_vae(clips, out, tiny.VAE, log=_say)


@train.command()
def latents(
    clips: Clips,
    vae: Vae,
    out: Out,
    views: Annotated[int, typer.Option(min=1, help="Random views of each clip.")] = 0,
    share: Annotated[str, typer.Option(metavar="I/N", help="Do every N-th clip, from the I-th (0-based).")] = "0/1",
    seed: Annotated[int, typer.Option(help="Of the random views.")] = 5,
) -> None:
    """Encode the clips once, through random views, for the diffusion stage."""
    from diffusers import AutoencoderDC

    from . import tiny
    from .latents import write_cache

    index, _, count = share.partition("/")
    part = (int(index), int(count or 1))
    model = AutoencoderDC.from_pretrained(vae, local_files_only=True).eval()
    for folder in clips:
        write_cache(folder, model, out, views or tiny.VIEWS, tiny.SIZE, tiny.STILL_SIZE, seed, part, _say)


@train.command()
def diffusion(
    latents: Annotated[Path, typer.Argument(metavar="LATENTS_DIR", help="What `latents` wrote.")], vae: Vae, out: Out
) -> None:
    """Train the UNet and the image encoder; goes on from OUT/state.pt when that is there."""
    from diffusers import AutoencoderDC

    from . import tiny
    from .diffusion import train_diffusion
    from .latents import read_cache

    factor = AutoencoderDC.from_pretrained(vae, local_files_only=True).config.scaling_factor
    train_diffusion(read_cache(latents), factor, tiny.DIFFUSION, out, log=_say)


@train.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="What `diffusion` wrote.")], vae: Vae, out: Out
) -> None:
    """Assemble the model folder that the backend loads."""
    from . import tiny
    from .publish import publish_run

    typer.echo(publish_run(run, vae, out, tiny))


def _say(line: str) -> None:
    typer.echo(line, err=True)
