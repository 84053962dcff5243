# SPDX-License-Identifier: GPL-3.0-or-later
"""Published models, from the hub or from files of theirs that the user has, to a model folder that loads.

Pulling goes on where it was broken off: files that came whole are kept, and so is the part of one that did not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from .download import Patience, digest
from .errors import Cancelled, InputError, ModelError, NetworkError
from .hub import Hub, Listing
from .licences import Shown, licence_file, plain_text, require_accepted
from .model_store import Staging, place, require_space, staging, writing
from .published import HubFile, PublishedModel, Repository
from .registry import CARD, WEIGHTS, check_complete, models_folder, read_json

# Shares of the whole at which the stages end.
LICENCES_SHARE, LOADING_SHARE, CONVERTING_SHARE = 0.01, 0.9, 1.0
TRIES, TRIES_IF_DAMAGED = 5, 1
TELL_BYTES = 1 << 20


class Telling(Protocol):
    """Hears how far the work is; shares are of the whole, 0 to 1."""

    def stage(self, name: str, share: float) -> None:
        """Another stage begins."""

    def progress(self, share: float, detail: str) -> None:
        """It goes on."""

    def note(self, text: str) -> None:
        """Something the user should know."""


@dataclass(frozen=True)
class Pull:
    """How a model is pulled.

    Attributes:
        hub: from where.
        accept: shows a licence and says whether the user accepts it.
        tell: hears of the progress.
        patience: of the connections; its `stop` ends the pull.
    """

    hub: Hub
    accept: Callable[[Shown], bool]
    tell: Telling
    patience: Patience = field(default_factory=lambda: Patience(TRIES, TRIES_IF_DAMAGED))


def pull(model: PublishedModel, how: Pull) -> Path:
    """Load a published model into the models folder; its folder.

    One that is there and whole stays as it is.

    Raises:
        NetworkError, AccessError: the hub cannot be reached, or does not give it.
        LicenceError: a licence was not accepted.
        ModelError: what came is damaged or of another architecture.
        OutputError: no room, or no permission.
        Cancelled: it was stopped; the next pull goes on from there.
    """
    target = models_folder() / model.name
    if (target / CARD).is_file():
        check_complete(target)
        how.tell.note(f"model {model.name} is there already")
        return target
    with staging(model.name, keep=True) as made:
        how.tell.stage("licences", 0.0)
        if how.hub.offline:
            found = _find_cached(model, how)
            _require_licences(model, {}, made, how)
            for file, path in found.items():
                _take(path, made.sources / file.target)
        else:
            listings = {repository: how.hub.list(repository) for repository in _repositories(model)}
            require_space(models_folder(), _bytes_needed(model, listings, made))
            _require_licences(model, listings, made, how)
            how.tell.stage("loading", LICENCES_SHARE)
            _load(model, listings, made, how)
        how.tell.stage("converting", LOADING_SHARE)
        assemble(model, made)
        return made.finish()


def import_published(
    model: PublishedModel, weights: Path, companion: Path, accept: Callable[[Shown], bool], name: str | None = None
) -> Path:
    """A published model from files that the user has.

    Args:
        model: which it is.
        weights: the UNet's published weights.
        companion: folder in diffusers' layout with the other parts: a download of Stable Video Diffusion.
        accept: shows a licence and says whether the user accepts it.
        name: the model's name; the published one's if not given.

    Raises:
        ModelError: a file is missing, damaged or of another architecture.
        LicenceError, InputError, OutputError: see `pull` and `model_store.staging`.
    """
    found = {file: _find_in(companion, file) for file in model.files if file.target != model.weights}
    if not weights.is_file():
        raise ModelError(f"there is no weight file {weights}")
    name = name or model.name
    if (models_folder() / name).exists():
        raise InputError(f"there is a model {name} already; give another --name, or remove it: model remove {name}")
    size = sum(path.stat().st_size for path in found.values())
    require_space(models_folder(), size + weights.stat().st_size)
    with staging(name) as made:
        require_accepted([Shown(licence, plain_text(licence), at_hand=False) for licence in model.licences], accept)
        with writing(made.sources):
            for file, path in found.items():
                place(path, made.sources / file.target)
        assemble(model, made, weights)
        return made.finish()


def assemble(model: PublishedModel, made: Staging, weights: Path | None = None) -> None:
    """Make the model folder from its source files; the UNet's published weights are among them, or given."""
    # Only now: torch takes seconds to load, and a pull can be refused before it is needed.
    from transformers import CLIPVisionModelWithProjection

    from .autoencoder import VAE_CLASSES
    from .model.importing import check_part, convert_weights

    convert_weights(weights or made.sources / model.weights, model.arguments, made.folder)
    with writing(made.folder):
        for file in model.files:
            if file.target != model.weights:
                place(made.sources / file.target, made.folder / file.target)
        vae_class = read_json(made.folder / "vae" / "config.json").get("_class_name", "")
        index = {
            "_class_name": "PreviewPipeline",
            "unet": ["puppet_master", "DragSpatioTemporalUNet"],
            "vae": ["diffusers", vae_class],
            "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        }
        card = {**asdict(model.info), "name": made.name}
        for name, content in (("model_index.json", index), (CARD, card)):
            (made.folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if vae_class not in VAE_CLASSES:
        raise ModelError(f"the VAE of {model.name} is of class {vae_class!r}, which this program does not know")
    check_part(VAE_CLASSES[vae_class], made.folder / "vae", WEIGHTS)
    check_part(CLIPVisionModelWithProjection, made.folder / "image_encoder", "model.safetensors")


def _repositories(model: PublishedModel) -> list[Repository]:
    return list(dict.fromkeys(file.repository for file in model.files))


def _require_licences(
    model: PublishedModel, listings: dict[Repository, Listing], made: Staging, how: Pull
) -> None:
    shown = []
    for licence in model.licences:
        text = plain_text(licence)
        listing = listings.get(licence.repository) if licence.repository else None
        if listing and (name := licence_file(list(listing.files))):
            path = made.sources / f"{licence.key}.txt"
            how.hub.fetch(listing, name, path, how.patience)
            text += "\n" + path.read_text(encoding="utf-8", errors="replace")
        shown.append(Shown(licence, text, at_hand=listing is not None or licence.repository is None))
    require_accepted(shown, how.accept)
    with writing(made.folder):
        for item in shown:
            (made.folder / f"LICENCE-{item.licence.key}.md").write_text(item.text, encoding="utf-8")


def _bytes_needed(model: PublishedModel, listings: dict[Repository, Listing], made: Staging) -> int:
    """What is still to come, and the UNet once more: it is written anew under our names."""
    needed = 0
    for file in model.files:
        size = listings[file.repository].file(file.path).size
        target = made.sources / file.target
        kept = [*target.parent.glob(f".{target.name}.*.partial"), *([target] if target.is_file() else [])]
        needed += max(0, size - max((path.stat().st_size for path in kept), default=0))
        needed += size if file.target == model.weights else 0
    return needed


def _load(model: PublishedModel, listings: dict[Repository, Listing], made: Staging, how: Pull) -> None:
    total = max(1, sum(listings[file.repository].file(file.path).size for file in model.files))
    done = told = 0

    def on_bytes(count: int) -> None:
        nonlocal done, told
        done += count
        if abs(done - told) >= TELL_BYTES or done >= total:
            told = done
            share = LICENCES_SHARE + (LOADING_SHARE - LICENCES_SHARE) * min(1.0, done / total)
            how.tell.progress(share, f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")

    for file in model.files:
        listing, target = listings[file.repository], made.sources / file.target
        listed = listing.file(file.path)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        if not _is_there(target, listed.size, listed.sha256) and (path := how.hub.cached(file, listing.commit)):
            _take(path, target)
        if _is_there(target, listed.size, listed.sha256):
            on_bytes(listed.size)
        else:
            how.hub.fetch(listing, file.path, target, how.patience, on_bytes)
        if how.patience.stop.is_set():
            raise Cancelled("the pull was stopped; pull again to go on from there")


def _is_there(path: Path, size: int, sha256: str) -> bool:
    """Whether a file came whole in an earlier pull; one without a known checksum is small and loaded again."""
    return bool(sha256) and path.is_file() and path.stat().st_size == size and digest(path) == sha256


def _take(path: Path, target: Path) -> None:
    with writing(target):
        target.unlink(missing_ok=True)
        place(path, target)


def _find_cached(model: PublishedModel, how: Pull) -> dict[HubFile, Path]:
    """All files, from the hub's cache on this computer. Raises `NetworkError` that names what is missing."""
    found = {file: how.hub.cached(file) for file in model.files}
    missing = [f"{file.repository.name}/{file.path}" for file, path in found.items() if path is None]
    if missing:
        raise NetworkError(
            f"offline, and the hub's cache on this computer lacks {len(missing)} of {len(found)} files of "
            f"{model.name}, first {missing[0]}; pull it online, load it there with hf download, "
            "or import it from files: puppet-master model import"
        )
    return {file: path for file, path in found.items() if path is not None}


def _find_in(folder: Path, file: HubFile) -> Path:
    """A part's file in a download of its repository: the fp16 variant, or the plain one."""
    for name in (file.path, file.path.replace(".fp16.", "."), file.target):
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"{folder} lacks {file.path}; it must be a download of {file.repository.page} in diffusers' layout"
    )
