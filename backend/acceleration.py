# SPDX-License-Identifier: GPL-3.0-or-later
"""The UNet's forward without its launches: recorded as a CUDA graph per shape, or compiled.

A guided eager step of the full-size model is about 2,800 small operations, and starting them takes a large GPU longer
than doing them. A graph is recorded at the first step of a new shape and replayed from then on; what does not change
between steps (conditions, drag maps) is copied into its buffers once per clip. Compiling takes minutes, but only once:
what it makes is kept under a key of all that it depends on.

| | |
|---|---|
| auto | graphs on a GPU, plain on a CPU |
| plain | no acceleration |
| graphs | CUDA graphs of the plain forward |
| compile | the compiled forward, in CUDA graphs on a GPU |
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from .errors import RequirementError
from .model import DragSpatioTemporalUNet
from .option_values import ACCELERATION_CHOICES, parse_choice
from .registry import models_folder

SHAPES_KEPT = 4  # a graph's buffers are a forward's activations: hundreds of MiB
WARM_UPS = 2
CHANGING = (0, 1, 7)  # arguments of the UNet that are other numbers at every step

log = logging.getLogger(__name__)


class Accelerated:
    """Calls like `DragSpatioTemporalUNet.forward_with_deep_features`, faster, with equal results.

    Args:
        unet: the model, where it stays.
        kind: one of `ACCELERATION_CHOICES`.
        model_hash: of the model, for the key of what compiling made.
    """

    def __init__(self, unet: DragSpatioTemporalUNet, kind: str, model_hash: str) -> None:
        if parse_choice(kind, ACCELERATION_CHOICES, "acceleration") == "graphs" and not torch.cuda.is_available():
            raise RequirementError("CUDA graphs need a GPU, and torch finds none; use --acceleration auto")
        self.kind = kind
        self.plain = unet.forward_with_deep_features
        self._unet, self._model_hash = unet, model_hash
        self._compiled: Callable[..., Any] | None = None
        self._recorded: OrderedDict[Any, Recorded] = OrderedDict()
        self._shapes: set[Any] = set()  # for which what compiling made is kept

    def __call__(self, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction and the deep features; both are overwritten by the next call of equal shapes."""
        on_gpu = self._unet.device.type == "cuda"
        forward = self._compiled_forward() if self.kind == "compile" else self.plain
        if self.kind != "compile" and (not on_gpu or self.kind == "plain"):
            return forward(*arguments)
        leaves, structure = pytree.tree_flatten(arguments)
        key = (str(structure), *(signature(leaf) for leaf in leaves))
        if not on_gpu:
            made = forward(*arguments)
            self._save_compiled(key)
            return made
        if key not in self._recorded:
            while len(self._recorded) >= SHAPES_KEPT:
                self._recorded.popitem(last=False)
            call = lambda *given: forward(*pytree.tree_unflatten(list(given), structure))  # noqa: E731
            self._recorded[key] = Recorded(call, leaves, changing_leaves(arguments), record_graph)
            self._save_compiled(key)
        self._recorded.move_to_end(key)
        return self._recorded[key](leaves)

    def forget(self) -> None:
        """Let go of the graphs and their memory."""
        self._recorded.clear()

    def _compiled_forward(self) -> Callable[..., Any]:
        if self._compiled is None:
            self._compiled = torch.compile(self.plain, fullgraph=True, dynamic=False)
            path = self._cache_file()
            if path.is_file():
                torch.compiler.load_cache_artifacts(path.read_bytes())
                log.info("what compiling made earlier is taken from %s", path)
        return self._compiled

    def _save_compiled(self, shape: Any) -> None:
        """Keep what compiling made for a new shape; without a place to keep it, it is made again the next time."""
        if self.kind != "compile" or shape in self._shapes:
            return
        self._shapes.add(shape)
        artifacts = torch.compiler.save_cache_artifacts()
        if artifacts is None:
            return
        path = self._cache_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".partial")
            temporary.write_bytes(artifacts[0])
            temporary.replace(path)
        except OSError as error:
            log.warning("what compiling made cannot be kept in %s: %s", path, error)

    def _cache_file(self) -> Path:
        return models_folder().with_name("compiled") / f"{compile_key(self._unet, self._model_hash)}.bin"


def channels_last(module: nn.Module) -> None:
    """Order the weights of 2-D convolutions as GPUs' convolutions want them; activations follow.

    `module.to(memory_format=...)` refuses modules that have 3-D convolutions too.
    """
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)


def compile_key(unet: DragSpatioTemporalUNet, model_hash: str) -> str:
    """A name for all that compiled code depends on: versions, device, configuration, precision, memory order."""
    if unet.device.type == "cuda":
        device = (torch.cuda.get_device_name(unet.device), *torch.cuda.get_device_capability(unet.device))
    else:
        device = (platform.machine(), platform.processor())
    depends = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": device,
        "config": {name: value for name, value in unet.config.items() if not name.startswith("_")},
        "dtype": str(unet.dtype),
        "channels_last": not unet.conv_in.weight.is_contiguous(),
        "model": model_hash,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()[:24]


def signature(leaf: Any) -> Any:
    """What a recorded call may not change of an argument: a tensor's shape, type and order; anything else itself."""
    if isinstance(leaf, torch.Tensor):
        return leaf.shape, leaf.dtype, leaf.device, leaf.stride()
    return leaf


def changing_leaves(arguments: tuple[Any, ...]) -> set[int]:
    """Which leaves of a call are other numbers at every step: those of the latents, noise level and deep features."""
    found, count = set(), 0
    for position, argument in enumerate(arguments):
        leaves = len(pytree.tree_leaves(argument))
        if position in CHANGING:
            found.update(range(count, count + leaves))
        count += leaves
    return found


class Recorded:
    """A call with buffers of its own for its arguments.

    What changes at every step is copied into them always, the rest only when it is another tensor than before:
    conditions and drag maps are made once per clip, and nobody writes to them.

    Args:
        call: takes the leaves.
        leaves: of the first call.
        changing: which of them are copied always.
        record: makes a function of no arguments that does the call on the buffers again, and its output.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        leaves: list[Any],
        changing: set[int],
        record: Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]],
    ) -> None:
        self._changing = changing
        self._buffers = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self._given: list[Any] = list(leaves)  # held, so that no other tensor can take an identity
        self._replay, self._output = record(lambda: call(*self._buffers))

    def __call__(self, leaves: list[Any]) -> Any:
        """The output for these leaves, overwritten by the next call."""
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor) and (index in self._changing or leaf is not self._given[index]):
                self._buffers[index].copy_(leaf)
                self._given[index] = leaf
        self._replay()
        return self._output


def record_graph(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """A CUDA graph of `run`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()
    return graph.replay, output
