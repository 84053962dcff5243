# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads models for the queue's worker thread and keeps the last one; torch is imported here, lazily."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import registry
from .errors import InputError, RequirementError
from .protocol import PreviewRequest

if TYPE_CHECKING:
    from pathlib import Path

    from .motion_pipeline import MotionPipeline
    from .pipeline import PreviewPipeline

    Pipeline = PreviewPipeline | MotionPipeline

log = logging.getLogger(__name__)


def load_pipeline(folder: Path, device: str = "cpu", memory: str = "auto", acceleration: str = "auto") -> Pipeline:
    """Load a model folder of any kind; memory mode and acceleration are of diffusion models alone.

    Raises:
        ModelError: names what is wrong with it.
        InputError, RequirementError: there is no such mode, or no room for it.
    """
    if registry.read_info(folder).kind == registry.MOTION:
        from .motion_pipeline import MotionPipeline

        return MotionPipeline.load(folder, device)
    from .pipeline import PreviewPipeline

    return PreviewPipeline.load(folder, device, memory, acceleration)


class ModelShelf:
    """The one model in memory, and what can be told of the others without loading them.

    Args:
        device: "auto" takes CUDA where torch finds it; else "cpu", "cuda" or "cuda:N".
        preload: model that `prepare` loads.
        memory: memory mode of diffusion models, "auto" for the quickest that has room; see `memory`.
        acceleration: of diffusion models, see `acceleration`.
    """

    def __init__(
        self, device: str = "auto", preload: str | None = None, memory: str = "auto", acceleration: str = "auto"
    ) -> None:
        self._device = device
        self._preload = preload
        self._memory, self._acceleration = memory, acceleration
        self._status = "loading"
        self._lock = threading.Lock()
        self._loaded: tuple[Path, Pipeline] | None = None

    def prepare(self) -> None:
        """Import torch, and load the model asked for ahead of the first job."""
        try:
            from . import pipeline  # noqa: F401

            self._device = _resolve(self._device)
        except Exception:
            self._status = "failed"
            raise
        self._status = "ok"
        if self._preload:
            self.get(self._preload)

    def get(self, model: str) -> Pipeline:
        """The pipeline of a model's name or folder.

        Raises:
            ModelError: see `load_pipeline`.
            InputError, RequirementError: there is no such device.
        """
        folder = registry.find_model(model)
        self._device = _resolve(self._device)  # again: where `prepare` failed, whoever asks meets the same error
        if self._loaded is None or self._loaded[0] != folder:
            self._set(None)  # two large models may not fit beside each other
            self._set((folder, load_pipeline(folder, self._device, self._memory, self._acceleration)))
        assert self._loaded is not None
        return self._loaded[1]

    def clear(self) -> None:
        """Let the loaded model leave memory; it is loaded again when asked for. For the worker thread."""
        if self._loaded is None:
            return
        log.info("the weights of %s leave memory", self._loaded[1].name)
        self._set(None)
        _give_memory_back()

    def check(self, request: PreviewRequest) -> None:
        """Refuse what the model cannot do, from its configuration alone.

        Raises:
            ModelError: there is no such model.
            InputError: more drags than it has slots.
        """
        check_drags(request.model, len(request.drags))

    def describe(self) -> dict[str, Any]:
        """The part of `/v1/health` that concerns models: status, device, models."""
        with self._lock:
            loaded = self._loaded[1] if self._loaded else None
        infos = registry.list_models()
        if loaded and loaded.info not in infos:
            infos.append(loaded.info)
        models = []
        for info in infos:
            is_loaded = loaded is not None and loaded.info == info
            # The hash of a model on disk would cost reading it whole: known once it is loaded.
            known = loaded.model_hash if loaded and is_loaded else None
            models.append({**asdict(info), "hash": known, "loaded": is_loaded})
        placement = getattr(loaded, "placement", None)  # motion fields are small and have none
        return {
            "status": self._status,
            "device": self._device,
            "memory": placement.mode if placement else None,
            "models": models,
            "unusable": registry.unusable_models(),
        }

    def _set(self, loaded: tuple[Path, Pipeline] | None) -> None:
        with self._lock:
            self._loaded = loaded


def _give_memory_back() -> None:
    """Hand to the system, and to other programs on the GPU, what Python and torch keep in reserve."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def check_drags(model: str, count: int) -> None:
    """Whether a model takes `count` drags, told without loading it.

    Raises:
        ModelError: there is no such model.
        InputError: it has fewer slots.
    """
    registry.read_info(registry.find_model(model)).check_drags(count)


def _resolve(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N, not {device!r}")
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RequirementError(f"device {device} was asked for, but torch finds no CUDA; use --device cpu")
    if ":" in device and int(device.partition(":")[2]) >= torch.cuda.device_count():
        raise InputError(f"device {device}: there are {torch.cuda.device_count()} graphics cards, counted from 0")
    return device
