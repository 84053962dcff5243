# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages by name: their settings, what must hold before they are run, and where their code is.

To add one: a class of settings (`settings.py`), a module with a `run(job)`, and an entry here. A stage that is
trained makes an object with what `loop.Stage` asks for and hands it to `loop.train`; the loop knows nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backend.errors import InputError
from .settings import (
    DiffusionSettings,
    DistillSettings,
    LatentSettings,
    MotionSettings,
    PublishSettings,
    Settings,
    VaeSettings,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from .config import BaseConfig


@dataclass(frozen=True)
class Job:
    """What a stage gets to do its work.

    Attributes:
        config: the whole configuration, checked.
        processes: the processes that work together; it knows this one's number and device.
        say: tells the user a line; silent in all processes but the first.
    """

    config: BaseConfig
    processes: Accelerator
    say: Callable[[str], None]


@dataclass(frozen=True)
class StageKind:
    """A stage, its code not yet loaded.

    Attributes:
        settings: class of its section; all fields have defaults.
        module: where its `run(job)` is, in this package.
        check: raises `InputError` for what is wrong before anything runs.
    """

    settings: type[Settings]
    module: str
    check: Callable[[Any], None]

    def run(self, job: Job) -> None:
        """Load the code and run the stage."""
        import_module(f".{self.module}", __package__).run(job)


def _check_clips(config: BaseConfig) -> None:
    if not config.data.clips:
        raise InputError("data.clips is empty; give dataset folders of `puppet-master data render`")
    for folder in config.data.clips:
        _check_folder("data.clips", folder, "clips-*.tar", "`puppet-master data render`")


def _check_vae(config: BaseConfig) -> None:
    _check_clips(config)


def _check_latents(config: BaseConfig) -> None:
    _check_clips(config)
    settings = config.section("latents")
    if settings.vae is not None:
        _check_folder("latents.vae", settings.vae, "config.json", "the stage vae")
    elif "vae" in config.stages:
        trained = config.section("vae")
        step = 2 ** (len(trained.block_out_channels) - 1)
        if settings.size % step:
            raise InputError(f"latents.size = {settings.size} is no multiple of {step}, which the VAE's levels need")
    else:
        _check_made(config, "latents", "vae")


def _check_diffusion(config: BaseConfig) -> None:
    settings = config.section("diffusion")
    if settings.latents is not None:
        _check_folder("diffusion.latents", settings.latents, "latents-*.tar", "the stage latents")
    else:
        _check_made(config, "diffusion", "latents")
    if settings.init is not None:
        _check_folder("diffusion.init", settings.init, "unet/config.json", "the hub (Stable Video Diffusion)")
    elif settings.latents is None and "latents" in config.stages:
        still_size = config.section("latents").still_size
        if settings.encoder.image_size != still_size:
            raise InputError(
                f"diffusion.encoder.image_size = {settings.encoder.image_size} is not latents.still_size = {still_size}"
            )


def _check_distill(config: BaseConfig) -> None:
    settings = config.section("distill")
    if settings.teacher is not None:
        _check_folder("distill.teacher", settings.teacher, "run.json", "the stage diffusion")
    else:
        _check_made(config, "distill", "diffusion")
    if settings.latents is not None:
        _check_folder("distill.latents", settings.latents, "latents-*.tar", "the stage latents")
    else:
        _check_made(config, "distill", "latents")


def _check_publish(config: BaseConfig) -> None:
    settings = config.section("publish")
    if settings.source in STAGES:
        _check_made(config, "publish", settings.source)
    else:
        _check_folder("publish.source", Path(settings.source), "run.json", "the stages diffusion and distill")
    if settings.sigma_min >= settings.sigma_max:
        raise InputError(f"publish.sigma_min = {settings.sigma_min:g} must be below sigma_max = {settings.sigma_max:g}")
    if settings.vae is not None:
        _check_folder("publish.vae", settings.vae, "config.json", "the stage vae")


def _check_folder(key: str, folder: Path, holds: str, made_by: str) -> None:
    if not any(folder.glob(holds)):
        missing = f"holds no {holds}" if folder.is_dir() else "is no folder"
        raise InputError(f"{key} = {str(folder)!r} {missing}; give a folder made by {made_by}")


def _check_made(config: BaseConfig, stage: str, needed: str) -> None:
    """What `stage` needs is there from an earlier run, or is made by a stage before it."""
    before = config.stages[: config.stages.index(stage)]
    if needed not in before and not config.folder(needed).is_dir():
        raise InputError(
            f"stage {stage} needs what stage {needed} makes, and there is no {config.folder(needed)}; "
            f"put {needed} before it in stages"
        )


STAGES: dict[str, StageKind] = {
    "vae": StageKind(VaeSettings, "vae", _check_vae),
    "latents": StageKind(LatentSettings, "latents", _check_latents),
    "diffusion": StageKind(DiffusionSettings, "diffusion", _check_diffusion),
    "distill": StageKind(DistillSettings, "distill", _check_distill),
    "motion": StageKind(MotionSettings, "motion_stage", _check_vae),
    "publish": StageKind(PublishSettings, "publish", _check_publish),
}
