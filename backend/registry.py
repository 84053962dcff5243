# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: where they are, what they declare, whether they are whole.

`tiny` is part of this package; models that were pulled or imported lie in the user's models folder, each under its
name. A name that both have is the embedded one's.

A diffusion model's folder has diffusers' layout (`model_index.json`, `unet/`, `vae/`, `image_encoder/`,
`scheduler/`), a motion field's has `motion/`; both have our `puppet_master.json`. `SHA256SUMS`, when there, is
checked on loading. No torch here: listing is instant.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from .errors import InputError, ModelError

EMBEDDED = Path(__file__).resolve().parent / "models"
MODELS_VARIABLE = "PUPPET_MASTER_MODELS"  # names another models folder; the add-on sets it for the backends it starts
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CARD = "puppet_master.json"
SUMS = "SHA256SUMS"
WEIGHTS = "diffusion_pytorch_model.safetensors"
DIFFUSION, MOTION = "diffusion", "motion"  # kinds of models
PULLABLE = ("svd",)  # names of what `published` describes
REQUIRED = {
    DIFFUSION: (
        "model_index.json",
        CARD,
        "unet/config.json",
        f"unet/{WEIGHTS}",
        "vae/config.json",
        f"vae/{WEIGHTS}",
        "image_encoder/config.json",
        "image_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    ),
    MOTION: (CARD, "motion/config.json", f"motion/{WEIGHTS}"),
}


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder declares in `puppet_master.json`.

    Attributes:
        name: shown to the user.
        num_drags: drag slots; more drags are refused.
        width, height: native size in pixels.
        frames, steps, guidance: defaults of a preview.
        licence: of the weights.
        kind: "diffusion", or "motion" for a motion field; what follows is of diffusion models alone.
        latent_target: what is diffused: "residual" to the still's latents, or the "latents" themselves.
        target_scale: factor between the target and what the UNet sees, for unit variance.
        sigma_min, sigma_max: range of the noise levels sampling passes.
        latent_pixels: pixels per latent cell, so that sizes can be checked before loading.
        keep_still_detail: add back what decoding loses of the still where nothing moves (`detail`).
    """

    name: str
    num_drags: int
    width: int
    height: int
    frames: int
    steps: int
    guidance: tuple[float, float]
    licence: str
    kind: str = DIFFUSION
    latent_target: str = "residual"
    target_scale: float = 1.0
    sigma_min: float = 0.0
    sigma_max: float = 0.0
    latent_pixels: int = 1
    keep_still_detail: bool = False

    def check_drags(self, count: int) -> None:
        """Refuse more drags than the model has slots. Raises `InputError` that names both."""
        if count > self.num_drags:
            raise InputError(
                f"{count} drags, but model {self.name} has {self.num_drags} slots; remove {count - self.num_drags}"
            )


def models_folder() -> Path:
    """Where models that were pulled or imported lie; it need not exist.

    Raises:
        ModelError: the user has no home, and the environment names no folder.
    """
    if given := os.environ.get(MODELS_VARIABLE):
        return Path(given).expanduser()
    try:
        return _data_folder() / "models"
    except RuntimeError as error:
        raise ModelError(f"this user has no home folder; name a folder for models in {MODELS_VARIABLE}") from error


def _data_folder() -> Path:
    """Where the user's programs keep their data on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "puppet-master"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "puppet-master"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "puppet-master"


def model_folders() -> list[Path]:
    """The folders of all models there are, the embedded ones first; those of unfinished pulls have no card yet."""
    found: dict[str, Path] = {}
    for place in _places():
        for card in sorted(place.glob(f"*/{CARD}")):
            if NAME.fullmatch(card.parent.name):
                found.setdefault(card.parent.name, card.parent)
    return list(found.values())


def _places() -> Iterator[Path]:
    """Where models lie under their names. A farm's account without a home has the embedded ones alone."""
    yield EMBEDDED
    with contextlib.suppress(ModelError):
        yield models_folder()


def list_models() -> list[ModelInfo]:
    """What all models declare; of one that cannot be read, `unusable_models` tells."""
    return [info for _, info in _readable() if isinstance(info, ModelInfo)]


def unusable_models() -> dict[str, str]:
    """Name and fault of the models that cannot be read."""
    return {folder.name: str(fault) for folder, fault in _readable() if isinstance(fault, ModelError)}


def _readable() -> Iterator[tuple[Path, ModelInfo | ModelError]]:
    for folder in model_folders():
        try:
            yield folder, read_info(folder)
        except ModelError as error:
            yield folder, error


def find_model(name_or_folder: str) -> Path:
    """The folder of an embedded, pulled or imported model, or the folder given.

    Raises:
        ModelError: no such model or folder.
    """
    if NAME.fullmatch(name_or_folder):
        for place in _places():
            if (place / name_or_folder / CARD).is_file():
                return place / name_or_folder
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if name_or_folder in PULLABLE:
        raise ModelError(
            f"model {name_or_folder} is not on this computer; get it with: puppet-master model pull {name_or_folder}"
        )
    known = ", ".join(folder.name for folder in model_folders()) or "none"
    raise ModelError(
        f"there is no model {name_or_folder!r}; there are {known}, and {', '.join(PULLABLE)} can be pulled; "
        "or give a model folder"
    )


def read_info(folder: Path) -> ModelInfo:
    """Read `puppet_master.json` of a model folder.

    Raises:
        ModelError: missing, damaged or incomplete; names the file and the key.
    """
    path = folder / CARD
    fields = read_json(path)
    kind = fields.get("kind", DIFFUSION)
    if kind not in REQUIRED:
        raise ModelError(f"{path}: kind is {kind!r}, not {' or '.join(REQUIRED)}; a newer version made this model")
    known = ModelInfo.__dataclass_fields__
    needed = [name for name, field in known.items() if kind == DIFFUSION or field.default is MISSING]
    missing = sorted(set(needed) - set(fields) - {"kind"})
    if missing:
        raise ModelError(f"{path} lacks {', '.join(missing)}; get the model folder anew")
    given = {key: fields[key] for key in known if key in fields}
    try:
        info = ModelInfo(**{**given, "guidance": tuple(fields["guidance"])})
    except TypeError as error:
        raise ModelError(f"{path} has a value of the wrong kind: {error}; get the model folder anew") from error
    if info.latent_target not in ("residual", "latents"):
        raise ModelError(f'{path}: latent_target is {info.latent_target!r}, not "residual" or "latents"')
    return info


def check_complete(folder: Path) -> str:
    """Check that a model folder has all its files, undamaged; its hash.

    Returns:
        SHA-256 over the names and contents of the folder's files.

    Raises:
        ModelError: names the first file that is missing or does not match its checksum.
    """
    for name in REQUIRED[read_info(folder).kind] if (folder / CARD).is_file() else (CARD,):
        if not (folder / name).is_file():
            raise ModelError(f"model folder {folder} is incomplete: {name} is missing; get the model anew")
    sums = file_sums(folder)
    listed = folder / SUMS
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8").splitlines():
            expected, _, name = line.partition("  ")
            if name not in sums:
                raise ModelError(f"model folder {folder} is incomplete: {name} is missing; get the model anew")
            if sums[name] != expected:
                raise ModelError(f"{folder / name} is corrupt: its SHA-256 is not that in {SUMS}; get it anew")
    total = hashlib.sha256()
    for name in sorted(sums):
        total.update(f"{sums[name]}  {name}\n".encode())
    return total.hexdigest()


def file_sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each of a model folder's files (weights and configurations), by relative name."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".json", ".safetensors") and path.is_file()
    )
    return {name: _sha256(folder / name) for name in names}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder. Raises `ModelError` that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; get the model folder anew") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is damaged: {error}; get the model folder anew") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: it holds no object; get the model folder anew")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
