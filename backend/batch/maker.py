# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does for previews of a batch: the model stays loaded from one task to the next.

Run by `workers/worker.py`. What became of each preview is a file of its own, the record, written when all else is:
with it the preview counts, whatever happens to the process or to the one that asked.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import media
from ..errors import OutputError, PuppetMasterError, RequirementError, from_wire
from ..loader import ModelShelf
from ..protocol import PreviewRequest, drags_from_json
from ..workers.ledger_file import replace_file
from .layout import Layout
from .outputs import write_outputs
from .sharing import Made, generate_together, is_lost_device

LOST_DEVICE = 70  # exit code; a fresh process finds out whether the card is back

_shelves: dict[str, ModelShelf] = {}


def work(task: Mapping[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """Make the previews of a task that have no record yet.

    Args:
        task: `key`, `out` and `run` (see `Layout`), `device`, `memory`, `acceleration`, `threads` (0: torch's own
            choice), `together` (most previews in one forward pass), and `members`: of equal shape (see
            `plan.Prepared`); each as `plan.Prepared.task`, with `about`, what its sidecar says of it.
        emit: told when another preview begins.

    Raises:
        OutputError: nothing can be written.
        RequirementError: the machine lacks what the model needs.
        SystemExit: the graphics card is lost to this process.
    """
    layout = Layout(Path(task["out"]), task["run"])
    members = [member for member in task["members"] if not layout.record(member["key"]).exists()]
    requests: list[PreviewRequest] = []
    asked: list[Mapping[str, Any]] = []
    for member in members:
        try:
            requests.append(_request(member, layout))
            asked.append(member)
        except OutputError:
            raise
        except PuppetMasterError as error:
            _record_failure(layout, member, error)
    if requests:
        _make(task, layout, asked, requests, emit)


def _make(
    task: Mapping[str, Any],
    layout: Layout,
    members: Sequence[Mapping[str, Any]],
    requests: Sequence[PreviewRequest],
    emit: Callable[[dict[str, Any]], None],
) -> None:
    emit({"event": "stage", "stage": "load"})
    try:
        pipeline = _shelf(task).get(requests[0].model)
    except RequirementError:
        raise
    except PuppetMasterError as error:
        for member in members:
            _record_failure(layout, member, error)
        return
    emit({"event": "stage", "stage": "generate"})
    together = task.get("together", 1)
    try:
        # Files are written in a thread of their own: a graphics card need not wait for them.
        with ThreadPoolExecutor(1) as writer:
            written = []
            for first in range(0, len(requests), together):
                chunk = requests[first : first + together]
                for member, made in zip(members[first:], generate_together(pipeline, chunk), strict=False):
                    written.append(writer.submit(_keep, layout, member, made))
                    emit({"event": "stage", "stage": "generate"})
        for done in written:
            done.result()
    except RuntimeError as error:
        if not is_lost_device(error):
            raise
        traceback.print_exc()
        raise SystemExit(LOST_DEVICE) from error


def _shelf(task: Mapping[str, Any]) -> ModelShelf:
    device = task["device"]
    if device not in _shelves:
        shelf = ModelShelf(device, memory=task["memory"], acceleration=task["acceleration"])
        shelf.prepare()
        if task["threads"]:
            import torch

            torch.set_num_threads(task["threads"])
        _shelves[device] = shelf
    return _shelves[device]


def _request(member: Mapping[str, Any], layout: Layout) -> PreviewRequest:
    still, drags = Path(member["still"] or ""), member["drags"]
    if member["still_key"]:
        still = layout.stills / f"{member['still_key']}.png"
        said = json.loads((layout.stills / f"{member['still_key']}.json").read_text(encoding="utf-8"))
        if "error" in said:
            raise from_wire(said["error"]["kind"], said["error"]["message"])
        drags = said["drags"] if drags is None else drags
    return PreviewRequest(
        still_png=media.read_still(still),
        drags=tuple(drags_from_json(drags)),
        model=member["model"],
        frames=member["frames"],
        steps=member["steps"],
        guidance=_pair(member["guidance"]),
        preset=member["preset"],
        guidance_interval=_pair(member["guidance_interval"]),
        feature_reuse=member["feature_reuse"],
        seed=member["seed"],
        fit=member["fit"],
        background=tuple(member["background"]),
    )


def _pair(value: Sequence[float] | None) -> tuple[float, float] | None:
    return None if value is None else (value[0], value[1])


def _keep(layout: Layout, member: Mapping[str, Any], made: Made | PuppetMasterError) -> None:
    if isinstance(made, PuppetMasterError):
        _record_failure(layout, member, made)
        return
    frames, result = made
    about = {**member["about"], "digest": member["digest"]}
    files = write_outputs(layout, member["key"], member["outputs"], frames, result, about, member["fps"])
    _record(
        layout, member,
        {
            "outcome": "done", "kind": None, "message": "", "files": files, "seconds": result.timings,
            "frames": result.frames, "size": result.size, "device": result.device, "notes": result.notes,
            "used": {"guidance": result.guidance, "steps": result.steps}, "drag_count": len(result.drags),
        },
    )  # fmt: skip


def _record_failure(layout: Layout, member: Mapping[str, Any], error: PuppetMasterError) -> None:
    _record(layout, member, {"outcome": "failed", "kind": error.kind, "message": str(error), "files": {}})


def _record(layout: Layout, member: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    line = {**member["about"], "digest": member["digest"], **said}
    replace_file(layout.record(member["key"]), json.dumps(line).encode())
