# SPDX-License-Identifier: GPL-3.0-or-later
"""Published models that can be pulled from the hub or imported from its files: what they consist of, on what terms.

`svd` is Stable Video Diffusion's VAE and image encoder with the UNet that the authors of Puppet-Master published;
that UNet holds all of SVD's own weights, so SVD's UNet is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ModelError
from .registry import WEIGHTS, ModelInfo

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Repository:
    """A repository of the hub.

    Attributes:
        name: owner/name.
        is_space: a space, not a model.
    """

    name: str
    is_space: bool = False

    @property
    def kind(self) -> str:
        """What the hub's API calls this sort of repository."""
        return "space" if self.is_space else "model"

    @property
    def page(self) -> str:
        """Where people read about it and accept its terms."""
        return f"{HUB}/{'spaces/' if self.is_space else ''}{self.name}"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository and the name under which the model's assembly expects it.

    Attributes:
        repository: where it is.
        path: its path there.
        target: its path among the model's source files.
    """

    repository: Repository
    path: str
    target: str


@dataclass(frozen=True)
class Licence:
    """Terms that must be accepted.

    Attributes:
        key: stable name under which the acceptance is remembered.
        title: name of the licence and of what it covers.
        terms: what it means, in a sentence.
        address: where it can be read.
        repository: whose LICENSE file is its text; None where none is published with the weights.
    """

    key: str
    title: str
    terms: str
    address: str
    repository: Repository | None = None


@dataclass(frozen=True)
class PublishedModel:
    """A model that others published.

    Attributes:
        info: its card; also its name.
        about: what it is, in a sentence.
        files: what is loaded.
        weights: target of the UNet's published weights among `files`.
        arguments: of the published UNet's constructor, where they are not the defaults.
        licences: what must be accepted.
        bytes: about what is loaded, for messages before the hub was asked.
    """

    info: ModelInfo
    about: str
    files: tuple[HubFile, ...]
    weights: str
    arguments: dict[str, object]
    licences: tuple[Licence, ...]
    bytes: int

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name


_SVD = Repository("stabilityai/stable-video-diffusion-img2vid")
_PUPPET_MASTER = Repository("rayli/Puppet-Master", is_space=True)

SVD = PublishedModel(
    info=ModelInfo(
        name="svd",
        num_drags=5,
        width=256,
        height=256,
        frames=14,
        steps=25,
        guidance=(1.0, 3.0),
        licence="CC-BY-NC-SA-4.0 and Stable Video Diffusion's licence: no commercial use",
        latent_target="latents",
        target_scale=1.0,
        # Of SVD's scheduler: 700 is nearly pure noise.
        sigma_min=0.002,
        sigma_max=700.0,
        latent_pixels=8,
    ),
    about="Stable Video Diffusion with the Puppet-Master weights (1.7 billion parameters); wants a GPU",
    files=(
        HubFile(_SVD, "image_encoder/config.json", "image_encoder/config.json"),
        HubFile(_SVD, "image_encoder/model.fp16.safetensors", "image_encoder/model.safetensors"),
        HubFile(_SVD, "vae/config.json", "vae/config.json"),
        HubFile(_SVD, "vae/diffusion_pytorch_model.fp16.safetensors", f"vae/{WEIGHTS}"),
        HubFile(_SVD, "scheduler/scheduler_config.json", "scheduler/scheduler_config.json"),
        HubFile(_PUPPET_MASTER, "ckpts/model.safetensors", "puppet_master.safetensors"),
    ),
    weights="puppet_master.safetensors",
    arguments={},
    licences=(
        Licence(
            "stable-video-diffusion",
            "Stable Video Diffusion (Stability AI)",
            "Stability AI's own licence, which limits commercial use",
            f"{HUB}/stabilityai/stable-video-diffusion-img2vid",
            _SVD,
        ),
        Licence(
            "puppet-master-weights",
            "Puppet-Master weights: CC-BY-NC-SA-4.0",
            "name the authors, share what you make of the weights alike, and make no commercial use of them",
            "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
        ),
    ),
    bytes=8_200_000_000,
)

PUBLISHED = {model.name: model for model in (SVD,)}


def find_published(name: str) -> PublishedModel:
    """A published model by name. Raises `ModelError` that names those there are."""
    if name not in PUBLISHED:
        raise ModelError(f"there is no model {name!r} to pull; there is {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
