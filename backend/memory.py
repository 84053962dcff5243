# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory modes of the diffusion models: what each costs, which one fits the machine, and where the parts are.

| mode | on the GPU | decoding |
|---|---|---|
| resident | everything, half precision | the whole clip at once |
| offload | the part at work: encoder, UNet or VAE | half a clip at once |
| chunked | a layer of the part at work | a frame or two at once |
| cpu | nothing; all in main memory | a frame or two at once |

From top to bottom they need less of the GPU and take longer. In the first one guidance's two branches are one forward
of twice as many clips, in the others two.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .errors import OUT_OF_MEMORY, ModelError, RequirementError
from .option_values import MEMORY_CHOICES, parse_choice

AUTO, *_MODES = MEMORY_CHOICES
MODES = tuple(_MODES)  # from the quickest and largest down
GIB = 2**30
STREAMED = (nn.Linear, nn.Conv2d, nn.Conv3d)  # hold nearly all the weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """What is free, in bytes.

    Attributes:
        gpu: of the GPU; 0 where there is none.
        ram: of main memory.
    """

    gpu: int
    ram: int

    @classmethod
    def probe(cls, device: torch.device) -> Room:
        """What is free on this machine now; `device` says which GPU, if any."""
        gpu = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        return cls(gpu, psutil.virtual_memory().available)


@dataclass(frozen=True)
class Needs:
    """What a model takes, in bytes at half precision.

    Attributes:
        weights: of all parts.
        largest: of the largest part.
        working: beside the weights, for one clip at the model's own size: activations, drag maps, decoding.
    """

    weights: int
    largest: int
    working: int

    @classmethod
    def of(cls, parameters: dict[str, int], pixels: int) -> Needs:
        """From each part's number of parameters and the pixels of a clip (frames x height x width)."""
        # 14 x 256 x 256 pixels take about 2 GiB where branches run together and the clip is decoded at once.
        working = max(GIB // 4, round(2 * GIB * pixels / (14 * 256 * 256)))
        return cls(2 * sum(parameters.values()), 2 * max(parameters.values()), working)

    @property
    def in_single_precision(self) -> int:
        """What it takes in main memory in single precision."""
        return 2 * self.weights + self.working

    def fits(self, mode: str, room: Room) -> bool:
        """Whether a mode has room."""
        if mode == "resident":
            return room.gpu >= self.weights + self.working
        if mode == "offload":
            return room.gpu >= self.largest + self.working // 2 and room.ram >= self.weights
        if mode == "chunked":
            return room.gpu >= self.working // 2 and room.ram >= self.weights
        return room.ram >= self.weights + self.working


def choose(asked: str, needs: Needs, room: Room) -> str:
    """The mode to begin with: the one asked for, or the quickest that fits.

    Raises:
        InputError: there is no such mode.
        RequirementError: none fits, or a mode on the GPU is asked for where there is none.
    """
    if parse_choice(asked, MEMORY_CHOICES, "memory") != AUTO:
        if asked != "cpu" and not room.gpu:
            raise RequirementError(f"memory mode {asked} needs a GPU, and torch finds none; use --memory auto or cpu")
        return asked
    for mode in MODES:
        if (mode == "cpu" or room.gpu) and needs.fits(mode, room):
            return mode
    needed = (needs.weights + needs.working) / GIB
    raise RequirementError(
        f"the model needs {needed:.1f} GiB of memory, and {room.ram / GIB:.1f} GiB are free; close other programs, "
        "or use a smaller model"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in main memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    # Libraries under torch say it in words of their own.
    said = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in text for words in said)


def singles_fit(needs: Needs) -> bool:
    """Whether main memory has room for single precision, which CPUs without units for halves are quicker with."""
    return psutil.virtual_memory().available >= needs.in_single_precision


def count_parameters(weights: Path) -> int:
    """How many numbers a safetensors file holds, told without reading them. Raises `ModelError`."""
    try:
        with safe_open(weights, "pt") as stored:
            return sum(math.prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{weights.parent} cannot be loaded: {error}; get the model folder anew") from error


class Placement:
    """Where a model's parts are, in a memory mode that can be changed to a cheaper one.

    Args:
        parts: by name.
        device: the GPU, or the CPU.
        mode: one of `MODES`.
        needs: of the model.
    """

    def __init__(self, parts: dict[str, nn.Module], device: torch.device, mode: str, needs: Needs) -> None:
        self._parts, self._gpu, self._needs = parts, device, needs
        self._streams: list[Any] = []
        self._working = ""
        self.mode = mode
        self._arrange()

    @property
    def device(self) -> torch.device:
        """Where computing happens."""
        return torch.device("cpu") if self.mode == "cpu" else self._gpu

    @property
    def branches_together(self) -> bool:
        """Whether guidance's two branches share a forward."""
        return self.mode == "resident" or (self.mode == "cpu" and self._gpu.type == "cpu")

    def decode_chunk(self, frames: int) -> int:
        """How many frames of a clip are decoded at once."""
        return {"resident": frames, "offload": -(-frames // 2), "chunked": 2}.get(self.mode, min(frames, 7))

    def cheaper(self) -> str | None:
        """The next mode, None below the last."""
        following = MODES.index(self.mode) + 1
        return MODES[following] if following < len(MODES) else None

    def step_down(self) -> str:
        """Go on in the next cheaper mode; says what was changed.

        Raises:
            RequirementError: there is none.
        """
        mode = self.cheaper()
        if mode is None:
            raise RequirementError(OUT_OF_MEMORY)
        message = f"out of memory in mode {self.mode}: made again in mode {mode}, which takes longer"
        log.warning(message)
        self.mode = mode
        self._arrange()
        return message

    @contextlib.contextmanager
    def at_work(self, name: str) -> Iterator[None]:
        """Have a part where it can compute; in mode "offload" the others make room first."""
        if self.mode == "offload" and self._working != name:
            for other, part in self._parts.items():
                if other != name:
                    part.to("cpu")
            self._parts[name].to(self._gpu)
            self._working = name
        yield

    def _arrange(self) -> None:
        for stream in self._streams:
            stream.end()
        self._streams, self._working = [], ""
        for part in self._parts.values():
            if self.mode == "chunked":
                self._streams.append(Streamed(part, self._gpu))
            else:
                part.to(self._gpu if self.mode == "resident" else "cpu")
        if self.mode == "cpu" and self._gpu.type == "cuda" and singles_fit(self._needs):
            for part in self._parts.values():
                part.float()
        if self._gpu.type == "cuda":
            torch.cuda.empty_cache()


class Streamed:
    """A part whose large layers are in main memory and visit the device for the time they compute."""

    def __init__(self, part: nn.Module, device: torch.device) -> None:
        self._part, self._device = part, device
        self._home: dict[nn.Module, dict[str, nn.Parameter]] = {}
        self._handles = []
        part.to("cpu")
        for module in part.modules():
            if isinstance(module, STREAMED):
                self._home[module] = dict(module._parameters)
                self._handles.append(module.register_forward_pre_hook(self._come))
                self._handles.append(module.register_forward_hook(self._leave))
            else:
                module._parameters.update(_moved(module._parameters, device))
                module._buffers.update({name: _to(buffer, device) for name, buffer in module._buffers.items()})

    def end(self) -> None:
        """Have the part whole in main memory."""
        for handle in self._handles:
            handle.remove()
        self._part.to("cpu")

    def _come(self, module: nn.Module, _: Any) -> None:
        module._parameters.update(_moved(self._home[module], self._device))

    def _leave(self, module: nn.Module, _: Any, __: Any) -> None:
        module._parameters.update(self._home[module])


def _moved(parameters: dict[str, nn.Parameter | None], device: torch.device) -> dict[str, nn.Parameter | None]:
    """Copies on a device; the same parameters where they are there already."""
    with torch.inference_mode(False):
        return {
            name: parameter
            if parameter is None or parameter.device == device
            else nn.Parameter(parameter.detach().to(device, non_blocking=True), parameter.requires_grad)
            for name, parameter in parameters.items()
        }


def _to(buffer: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    return None if buffer is None else buffer.to(device)
