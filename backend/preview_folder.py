# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a preview into a folder so that the folder never holds half of one.

Everything is made in a hidden folder inside (the same disk, so that a rename suffices) and moved into
place once complete; an earlier preview stays until then. Files that are not a preview's are left alone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import media
from .contact_sheet import contact_sheet
from .errors import OutputError
from .protocol import PreviewResult, drags_to_json

# preview.json comes last: where it lies, the rest does too.
FILES = ("still.png", "drags.json", "preview.mp4", "contact_sheet.png", "preview.json")
FRAMES = "frames"


class PreviewFolder:
    """A folder that is to receive a preview; a context manager.

    Entering makes the folder and tries whether it can be written; leaving removes what is unfinished,
    and the folder too if it is new and nothing came of it.

    Attributes:
        path: the folder.
        staging: private folder inside, for what is not complete yet.

    Raises:
        OutputError: on entering and writing, naming the folder and what the system said.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path

    def __enter__(self) -> PreviewFolder:
        with _output_errors(self.path):
            self._is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                if (self.path / name).is_dir():
                    raise OutputError(f"{self.path / name} is a folder where a file should go; move it away")
            if (self.path / FRAMES).exists() and not (self.path / FRAMES).is_dir():
                raise OutputError(f"{self.path / FRAMES} is a file where a folder should go; move it away")
            self.staging = Path(tempfile.mkdtemp(prefix=".preview-", dir=self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        if self._is_new:
            with contextlib.suppress(OSError):  # not empty: the preview is there
                self.path.rmdir()

    def write(self, still_png: bytes, frames: NDArray[np.uint8], result: PreviewResult) -> list[Path]:
        """Write the whole preview and put it in place; returns the files, `preview.json` last.

        Args:
            still_png: the still as it was sent.
            frames: uint8 `[N, H, W, 3]`.
            result: becomes `preview.json`; its drags are drawn on the sheet.
        """
        with _output_errors(self.path):
            fresh = Path(tempfile.mkdtemp(dir=self.staging))
            (fresh / FRAMES).mkdir()
            names = [f"{FRAMES}/{index:04d}.png" for index in range(len(frames))]
            for name, frame in zip(names, frames, strict=True):
                (fresh / name).write_bytes(media.encode_png(frame))
            (fresh / "still.png").write_bytes(still_png)
            _write_json(fresh / "drags.json", drags_to_json(result.drags))
            (fresh / "preview.mp4").write_bytes(media.encode_mp4(frames))
            sheet = contact_sheet(frames, result.drags, caption(result))
            (fresh / "contact_sheet.png").write_bytes(media.encode_png(sheet))
            _write_json(fresh / "preview.json", result.to_json())
            return self._put_in_place(fresh, [*names, *FILES])

    def _put_in_place(self, fresh: Path, names: list[str]) -> list[Path]:
        """Swap the old files for the new; if the system refuses midway, the old ones come back."""
        old = Path(tempfile.mkdtemp(dir=self.staging))
        (old / FRAMES).mkdir()
        stale = self._frames_of_the_last_preview() - set(names)
        with contextlib.ExitStack() as undo:
            if not (self.path / FRAMES).is_dir():
                (self.path / FRAMES).mkdir()
                undo.callback((self.path / FRAMES).rmdir)
            for name in [*names, *sorted(stale)]:
                target = self.path / name
                if target.exists():
                    target.rename(old / name)
                    undo.callback((old / name).replace, target)
            for name in names:
                (fresh / name).rename(self.path / name)
                undo.callback((self.path / name).unlink)
            undo.pop_all()
        return [self.path / name for name in names]

    def _frames_of_the_last_preview(self) -> set[str]:
        """Names of the frames an earlier preview left; only those are ours to remove."""
        try:
            count = json.loads((self.path / "preview.json").read_text(encoding="utf-8"))["frames"]
            return {f"{FRAMES}/{index:04d}.png" for index in range(int(count))}
        except (OSError, ValueError, KeyError, TypeError):
            return set()


def caption(result: PreviewResult) -> str:
    """What a contact sheet says above the frames."""
    first, last = result.guidance
    guidance = f"{first:g}" if first == last else f"{first:g} to {last:g}"
    return (
        f"{result.model} · {result.frames} frames · {result.steps} steps · guidance {guidance} "
        f"· seed {result.seed}"
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --out or make room there"
        ) from error
