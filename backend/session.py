# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews from Python, without a server: the model is loaded once and makes many.

    from puppet_master.backend import Session

    with Session(model="tiny") as session:
        preview = session.preview("cabinet.blend", seed=3)
        preview.save("cabinet.mp4")

One thread of the session does the work, in the order asked; a scene's stills come from one Blender, in a process of its
own, that stays open between them.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import media
from .errors import OUT_OF_MEMORY, Cancelled, InputError, PuppetMasterError, RequirementError, from_wire
from .export import GIF, VIDEO, write_whole
from .protocol import Drag, DragPoint, PreviewRequest, PreviewResult, drags_from_json
from .still import check_scene
from .workers.ledger_file import unwritable
from .workers.slot import Limits, Program, Slot

if TYPE_CHECKING:
    from .pipeline import Step

STILL_MAKER = "puppet_master.addon.still_maker"  # by name: the backend imports no other room
SCENE = ".blend"
CHOICES = tuple(name for name in PreviewRequest.__dataclass_fields__ if name not in ("still_png", "drags"))
OF_SCENES = ("camera", "frame", "size")


@dataclass(frozen=True)
class Progress:
    """How far a preview is.

    Attributes:
        stage: "still", "load", "sample" or "done".
        step, steps: sampling steps done and in all; 0 before there are any.
    """

    stage: str
    step: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Preview:
    """A preview that is made.

    Attributes:
        frames: uint8 `[N, H, W, 3]`, the still first.
        result: what made it, as in `preview.json`.
    """

    frames: NDArray[np.uint8]
    result: PreviewResult

    def save(self, path: str | Path, fps: float = media.FRAMES_PER_SECOND) -> Path:
        """Write it, whole or not at all: FILE.mp4, FILE.gif, or FILE.png, a contact sheet.

        Raises:
            InputError: another ending.
            OutputError: it cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind == VIDEO:
            data = media.encode_mp4(self.frames, fps)
        elif kind == GIF:
            data = media.encode_gif(self.frames, fps)
        elif kind == ".png":
            from .contact_sheet import contact_sheet
            from .preview_folder import caption

            data = media.encode_png(contact_sheet(self.frames, self.result.drags, caption(self.result)))
        else:
            raise InputError(f"cannot save a preview as {path}: give a name that ends in .mp4, .gif or .png")
        try:
            write_whole(path, data)
        except OSError as error:
            raise unwritable(path, error) from error
        return path


class Pending:
    """A preview that is asked for. Made by `Session.submit`."""

    def __init__(self) -> None:
        self._future: Future[Preview]
        self._stop = threading.Event()
        self._progress = Progress("queued")

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether it is over, in one way or another."""
        return self._future.done()

    def cancel(self) -> None:
        """Ask it to stop: at once if it has not begun, else before the next step. `result` then raises `Cancelled`."""
        self._stop.set()
        self._future.cancel()

    def result(self, timeout: float | None = None) -> Preview:
        """Wait for it.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            PuppetMasterError: what made it fail; `Cancelled` if it was cancelled.
            TimeoutError: it took longer; it goes on.
        """
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise Cancelled("the preview was cancelled") from None


class Session:
    """A loaded model, and a Blender for stills when one is needed. A context manager; else call `close`."""

    def __init__(
        self,
        model: str = "tiny",
        device: str = "auto",
        blender: str | Path | None = None,
        memory: str = "auto",
        acceleration: str = "auto",
    ) -> None:
        """
        Args:
            model: name or folder; loaded by the first preview. Another one may be named for a single preview.
            device: "auto", "cpu", "cuda" or "cuda:N".
            blender: Blender's program file, for scenes; its Python module if not given.
            memory, acceleration: how diffusion models run: words of `option_values`.
        """
        from .loader import ModelShelf

        self.model = model
        self._shelf = ModelShelf(device, memory=memory, acceleration=acceleration)
        self._blender = Path(blender) if blender else None
        self._thread = ThreadPoolExecutor(1, "previews")
        self._pending: set[Pending] = set()
        self._lock = threading.Lock()
        self._closing = ExitStack()
        self._slot: Slot | None = None
        self._folder: Path | None = None
        self._prepared = False
        self._closed = False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is not done, end Blender, and let the model go. Safe to call twice."""
        self.cancel()
        # The slot's process belongs to the thread that started it.
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self._thread.submit(self._closing.close).result()
        self._thread.shutdown()
        self._shelf.clear()

    def cancel(self) -> None:
        """Cancel all previews that are asked for."""
        with self._lock:
            pending = list(self._pending)
        for one in pending:
            one.cancel()

    def preview(
        self,
        source: str | Path | bytes | NDArray[np.uint8],
        drags: Any = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        **choices: Any,
    ) -> Preview:
        """Make a preview and wait for it; see `submit`. Ctrl-C cancels it."""
        pending = self.submit(source, drags, on_progress=on_progress, **choices)
        try:
            return pending.result()
        except KeyboardInterrupt:
            pending.cancel()
            raise

    def previews(
        self, orders: Iterable[Mapping[str, Any]], on_progress: Callable[[Progress], None] | None = None
    ) -> Iterator[Preview | PuppetMasterError]:
        """Make many, in order; what cannot be made is given as its error, and spoils no other.

        Args:
            orders: each the arguments of `submit`: `source`, `drags`, and choices.
            on_progress: told how far each one is.
        """
        pending = [self._submitted(order, on_progress) for order in orders]
        try:
            for one in pending:
                if isinstance(one, PuppetMasterError):
                    yield one
                    continue
                try:
                    yield one.result()
                except PuppetMasterError as error:
                    yield error
        finally:
            for one in pending:
                if isinstance(one, Pending):
                    one.cancel()

    def _submitted(
        self, order: Mapping[str, Any], on_progress: Callable[[Progress], None] | None
    ) -> Pending | PuppetMasterError:
        try:
            return self.submit(**order, on_progress=on_progress)
        except PuppetMasterError as error:
            return error

    def submit(
        self,
        source: str | Path | bytes | NDArray[np.uint8],
        drags: Any = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        **choices: Any,
    ) -> Pending:
        """Ask for a preview; returns at once.

        Args:
            source: a still (a file, an encoded image, or uint8 `[H, W, 3]` or `[H, W, 4]`), or a .blend scene.
            drags: a drag file, its content or the list of drags in it, `Drag`s, or trajectories `[K, N, 2]` in
                normalised image coordinates; a scene's own if not given.
            on_progress: called by the session's thread.
            choices: fields of `PreviewRequest`: `model`, `frames`, `steps`, `guidance` (a pair), `preset`,
                `guidance_interval`, `feature_reuse`, `seed`, `fit`, `background`; of a scene also `camera` (a name),
                `frame` and `size` (width and height).

        Raises:
            InputError: the drags or a choice cannot be used.
        """
        shown = {name: choices.pop(name) for name in OF_SCENES if name in choices}
        if unknown := sorted(choices.keys() - set(CHOICES)):
            raise InputError(f"there is no choice {unknown[0]!r} of a preview")
        given = None if drags is None else tuple(_read_drags(drags))
        choices = {"model": self.model, **choices}
        PreviewRequest(b"filled in later", given or (), **choices)  # what is wrong with it is told at once
        scene = _scene(source)
        if shown and scene is None:
            raise InputError(f"{', '.join(shown)}: of a scene alone")
        if self._closed:
            raise InputError("the session is closed; open another one")
        pending = Pending()

        def make() -> Preview:
            return self._make(pending, scene or source, shown if scene else None, given, choices, tell)

        def tell(progress: Progress) -> None:
            pending._progress = progress
            if on_progress:
                on_progress(progress)

        with self._lock:
            self._pending.add(pending)
            pending._future = self._thread.submit(make)
        pending._future.add_done_callback(lambda _: self._forget(pending))
        return pending

    def _forget(self, pending: Pending) -> None:
        with self._lock:
            self._pending.discard(pending)

    # In the session's thread from here on.

    def _make(
        self,
        pending: Pending,
        source: Any,
        shown: Mapping[str, Any] | None,
        drags: tuple[Drag, ...] | None,
        choices: Mapping[str, Any],
        tell: Callable[[Progress], None],
    ) -> Preview:
        tell(Progress("still"))
        if shown is None:
            still = _still(source)
        else:
            still, own = self._rendered(source, shown)
            drags = own if drags is None else drags
        if pending._stop.is_set():
            raise Cancelled("the preview was cancelled")
        tell(Progress("load"))
        if not self._prepared:
            self._shelf.prepare()
            self._prepared = True
        pipeline = self._shelf.get(choices["model"])

        def on_step(step: Step) -> None:
            tell(Progress("sample", step.index + 1, step.total))

        request = PreviewRequest(still, drags or (), **choices)
        try:
            frames, result = pipeline.generate(request, on_step, pending._stop.is_set)
        except (RuntimeError, MemoryError) as error:
            from .memory import is_out_of_memory

            if not is_out_of_memory(error):
                raise
            raise RequirementError(OUT_OF_MEMORY) from error
        tell(Progress("done", result.steps, result.steps))
        return Preview(frames, result)

    def _rendered(self, scene: Path, shown: Mapping[str, Any]) -> tuple[bytes, tuple[Drag, ...]]:
        """A scene's still as PNG, and its drags."""
        if self._slot is None:
            self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="puppet-master-")))
            self._slot = Slot(Program.find(STILL_MAKER, self._blender), Limits(recycle=1_000_000))
            self._closing.callback(self._slot.close)
        assert self._folder is not None
        task = {"key": "still", "name": "still", "folder": str(self._folder), "scene": str(scene), **shown}
        outcome = self._slot.work(task)
        if outcome.stop:
            raise from_wire(*outcome.stop)
        if outcome.reason:
            raise PuppetMasterError(f"Blender cannot render {scene}: {outcome.reason}: {outcome.detail}")
        said = json.loads((self._folder / "still.json").read_text(encoding="utf-8"))
        if "error" in said:
            raise from_wire(said["error"]["kind"], said["error"]["message"])
        return (self._folder / "still.png").read_bytes(), tuple(drags_from_json(said["drags"]))


def _scene(source: Any) -> Path | None:
    """The scene's file, if `source` is one."""
    if not isinstance(source, str | Path) or Path(source).suffix.lower() != SCENE:
        return None
    check_scene(Path(source))
    return Path(source).absolute()


def _still(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] not in (3, 4):
            raise InputError(f"a still must be uint8 [H, W, 3] or [H, W, 4], not {source.dtype} {list(source.shape)}")
        return media.encode_png(source)
    return media.read_still(Path(source))


def _read_drags(drags: Any) -> Sequence[Drag]:
    """Drags from any of the forms that `Session.submit` takes."""
    if isinstance(drags, str | Path):
        from .batch.track_files import read_drags

        return read_drags(Path(drags), None)
    if isinstance(drags, Mapping):
        return drags_from_json(drags, "drags")
    if isinstance(drags, np.ndarray):
        if drags.ndim != 3 or drags.shape[2] != 2 or drags.shape[1] < 2:
            raise InputError(f"trajectories must be [drags, frames, 2], not {list(drags.shape)}")
        times = np.linspace(0.0, 1.0, drags.shape[1])
        return [Drag(f"drag {k}", _points(times, path)) for k, path in enumerate(drags)]
    given = list(drags) if isinstance(drags, Iterable) else [drags]
    for k, drag in enumerate(given):
        if not isinstance(drag, Drag | Mapping):
            raise InputError(f"drag {k} must be a Drag, or a drag file's entry, not {drag!r}")
    return [drag if isinstance(drag, Drag) else Drag.from_json(drag, f"drag {k}") for k, drag in enumerate(given)]


def _points(times: NDArray[np.floating], path: NDArray[np.floating]) -> tuple[DragPoint, ...]:
    places = zip(times.tolist(), path.tolist(), strict=True)
    return tuple(DragPoint(t, x, y) for t, (x, y) in places)
