# SPDX-License-Identifier: GPL-3.0-or-later
"""Import of weights in the published format (the Puppet-Master training code's) into our folder layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from ..errors import InputError, ModelError, OutputError
from .unet import DragSpatioTemporalUNet

# What checkpoints of trainers and wrappers put before the UNet's own names.
PREFIXES = ("module.", "model.", "unet.", "_orig_mod.")
# Where a .pt file's weights may lie below the top.
NESTED = ("ema", "model", "state_dict", "unet")
NAMED_KEYS = 3
# Arguments of the published class whose values ours has built in, or that matter in training alone.
FIXED: dict[str, Any] = {"use_modulate": True, "sample_size": None, "flow_channels": None, "cond_dropout_prob": None}
PUBLISHED_BEHAVIOUR = {"attend_unused_drags": True, "validity_per_frame": True}


def import_weights(weights: Path, config: Path, out: Path) -> Path:
    """Convert published-format UNet weights to `out/unet/` (float32 or float16, as they come).

    The published behaviour (unused slots attended, validity read from zeros frame by frame) is kept in the
    configuration written.

    Args:
        weights: .safetensors, or .pt / .bin read with `weights_only=True`.
        config: JSON object with the published constructor's arguments.
        out: model folder; its `unet/` is replaced once the import is whole.

    Returns:
        The folder of the UNet.

    Raises:
        InputError: the configuration cannot be used.
        ModelError: the weights cannot be read, or do not fit the configuration; names the first keys.
        OutputError: `out` cannot be written.
    """
    return convert_weights(weights, read_config(config), out, config)


def convert_weights(
    weights: Path, arguments: dict[str, Any], out: Path, where: Path | str = "the configuration"
) -> Path:
    """`import_weights` with the constructor's arguments read already; `where` names their origin in errors."""
    tensors = strip_prefix(read_tensors(weights))
    with torch.device("meta"):
        unet = build(arguments, where)
    check_fit(unet, tensors, weights)
    unet = unet.to_empty(device="cpu")
    # Buffers are computed, not stored: take them from a real construction of the one part that has them.
    unet.position = type(unet.position)(unet.config.pos_embed_dim)
    if weights.suffix != ".safetensors":  # pickled tensors may share memory, which cannot be written
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    unet.load_state_dict(tensors, assign=True)
    folder, staging = out / "unet", out / ".unet.partial"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        unet.save_pretrained(staging)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk as its own
        shutil.rmtree(staging, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write the model to {out}: {reason}") from error
    return folder


def check_part(cls: Any, folder: Path, weights: str) -> None:
    """Whether a part's weights fit its configuration, told from names and shapes alone.

    Args:
        cls: diffusers' or transformers' class of the part.
        folder: with `config.json` and the weights.
        weights: name of their file.

    Raises:
        ModelError: something is missing, damaged or of another architecture; names the first of it.
    """
    try:
        with torch.device("meta"):
            if hasattr(cls, "load_config"):  # diffusers
                part = cls.from_config(cls.load_config(folder))
            else:  # transformers
                part = cls(cls.config_class.from_pretrained(folder))
        with safe_open(folder / weights, "pt") as stored:
            found = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{folder} is damaged or of another model: {_first_line(error)}") from error
    # Tables of position numbers are made, not stored, by newer versions of transformers.
    wanted = {name: tuple(value.shape) for name, value in part.state_dict().items() if not name.endswith("_ids")}
    if wrong := [name for name, shape in wanted.items() if found.get(name) != shape]:
        raise ModelError(
            f"{folder / weights} does not fit its config.json: {', '.join(wrong[:NAMED_KEYS])}"
            + (f" and {len(wrong) - NAMED_KEYS} more" if len(wrong) > NAMED_KEYS else "")
        )


def read_config(path: Path) -> dict[str, Any]:
    """The published constructor's arguments as ours.

    Raises:
        InputError: not a JSON object, or an argument this program does not know.
    """
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot read the model configuration {path}: {error}") from error
    if not isinstance(arguments, dict):
        raise InputError(f"the model configuration {path} must be a JSON object of constructor arguments")
    known = set(DragSpatioTemporalUNet._get_init_keys(DragSpatioTemporalUNet))
    kept = {}
    for name, value in arguments.items():
        if name.startswith("_"):
            continue
        if name in FIXED:
            if FIXED[name] is not None and value != FIXED[name]:
                raise InputError(f"{path}: {name} = {value!r} is not supported, only {FIXED[name]!r}")
        elif name in known:
            kept[name] = tuple(value) if isinstance(value, list) else value
        else:
            raise InputError(f"{path}: unknown argument {name!r}; known are {', '.join(sorted(known))}")
    return kept


def build(arguments: dict[str, Any], where: Path | str) -> DragSpatioTemporalUNet:
    """A UNet of the published behaviour. Raises `InputError` for arguments that make no UNet."""
    try:
        return DragSpatioTemporalUNet(**{**PUBLISHED_BEHAVIOUR, **arguments})
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"{where}: these arguments make no model: {error}") from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a weight file. Raises `ModelError` for what is no weight file."""
    if not path.is_file():
        raise ModelError(f"there is no weight file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or no weight file: {_first_line(error)}") from error
    except Exception as error:
        # torch.load's refusals of pickled code have no class in common.
        if type(error).__name__ != "UnpicklingError":
            raise
        raise ModelError(f"{path} is refused: it holds more than tensors ({_first_line(error)})") from error
    while isinstance(found, dict) and not any(isinstance(value, torch.Tensor) for value in found.values()):
        inner = next((found[name] for name in NESTED if isinstance(found.get(name), dict)), None)
        if inner is None:
            raise ModelError(f"{path} holds no tensors")
        found = inner
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {type(found).__name__}, not named tensors")
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def strip_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as the UNet has them; where some tensors carry a wrapper's prefix, only those are the UNet's."""
    while True:
        prefix = next((p for p in PREFIXES if f"{p}conv_in.weight" in tensors or _all_start(tensors, p)), None)
        if prefix is None:
            return tensors
        tensors = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def check_fit(unet: DragSpatioTemporalUNet, tensors: dict[str, torch.Tensor], weights: Path) -> None:
    """Raise `ModelError` unless names and shapes are exactly the UNet's."""
    wanted = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [f"{name} is not part of the model" for name in tensors if name not in wanted]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, not {shape}"
        for name, shape in wanted.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if problems:
        more = f" and {len(problems) - NAMED_KEYS} more" if len(problems) > NAMED_KEYS else ""
        raise ModelError(f"{weights} does not fit the configuration: {'; '.join(problems[:NAMED_KEYS])}{more}")


def _all_start(tensors: dict[str, torch.Tensor], prefix: str) -> bool:
    return bool(tensors) and all(name.startswith(prefix) for name in tensors)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
