# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master batch`: the previews of a job file, and one page that shows them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..running_options import Acceleration, Memory
from ..workers.telling import Words, json_lines, progress
from .layout import Layout, range_run, task_run
from .naming import FIELDS, TEMPLATE
from .places import LocalPlaces, Places, Wanted
from .records import DONE, FAILED, OUTCOMES


def batch(
    jobs: Annotated[list[str], typer.Argument(metavar="JOBS...", help="JOBS.json, .jsonl, .csv, or .blend scenes.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that receives the previews.")],
    name: Annotated[
        str, typer.Option("--name", metavar="TEMPLATE", help=f"What previews are called; from {', '.join(FIELDS)}.")
    ] = TEMPLATE,
    model: Annotated[str | None, typer.Option(help="Model of jobs that name none.")] = None,
    outputs: Annotated[
        str | None, typer.Option(metavar="mp4,gif,png,sheet", help="Outputs of jobs that name none.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where the model runs.")] = "auto",
    memory: Memory = "auto",
    acceleration: Acceleration = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes with the model; 0: one a graphics card, or as suits the CPU.")
    ] = 0,
    still_workers: Annotated[int, typer.Option(min=0, help="Processes with Blender; 0: as suits the CPU.")] = 0,
    together: Annotated[
        int, typer.Option(min=0, max=64, help="Most previews of one shape in one forward pass; 0: as suits the device.")
    ] = 0,
    blender: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Blender's program; its Python module if not given.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=1.0, help="Seconds for one still, or one preview.")] = 1800.0,
    memory_limit_gb: Annotated[float, typer.Option(min=0.0, help="Memory of one worker; 0: no limit.")] = 0.0,
    ray: Annotated[
        str | None, typer.Option(metavar="auto|HOST:PORT", help="Work on this Ray cluster instead of here.")
    ] = None,
    range_: Annotated[
        str | None, typer.Option("--range", metavar="A:B", help="Only previews A to B - 1 of the plan, from 0.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only the I-th of N even shares of the plan, from 1.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Make nothing: join the ledgers of all tasks, and write the page.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Make again what failed before.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make everything again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Whether to write OUT/batch.html at the end.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON lines and nothing else on stdout.")
    ] = False,
) -> None:
    """Make the previews of JOBS that are missing or changed; exit code 0: all are done, 3: some, 12: none.

    A rerun of the same command goes on where the last one stopped, however it ended.
    """
    from .job_file import read_jobs
    from .plan import largest_model, lay_out, share

    if sum((range_ is not None, task is not None, merge)) > 1:
        raise InputError("give one of --range, --task and --merge")
    defaults = {"model": model, "outputs": outputs and outputs.replace(",", "|")}
    plan = lay_out(read_jobs(*jobs, defaults={key: value for key, value in defaults.items() if value}), name)
    first, end, run_name = _share(range_, task, len(plan))
    layout = Layout(out, run_name)
    mine = share(plan, first, end) if first < end else []  # of more tasks than previews some are idle
    wanted = Wanted(
        device, workers, still_workers, blender, together, time_limit, memory_limit_gb,
        model_bytes=largest_model(mine), memory=memory, acceleration=acceleration,
    )  # fmt: skip
    if dry_run:
        raise typer.Exit(_dry_run(mine, out, retry_failed, force, as_json))
    if merge:
        from .merge import merge as join

        summary = join(plan, out)
        if as_json:
            json_lines()({"event": "end", **summary.to_json()})
    else:
        from .run import run

        with ExitStack() as stack:
            stack.enter_context(_sigterm_interrupts())
            listen = json_lines() if as_json else stack.enter_context(progress(WORDS))
            places_for = partial(_places, wanted, ray, layout)
            summary = run(mine, layout, places_for, listen, retry_failed, force)
    if shown := page and (merge or len(mine) == len(plan)):
        from .page import write_page

        write_page(out, plan)
    if not as_json:
        _report(summary.to_json(), out, shown)
    raise typer.Exit(summary.exit_code)


def _places(wanted: Wanted, ray: str | None, layout: Layout, needs_blender: bool) -> Places:
    if ray is None:
        return LocalPlaces(wanted, needs_blender)
    from .ray_places import RayPlaces

    return RayPlaces(ray, wanted, layout, needs_blender)


def _share(range_: str | None, task: str | None, count: int) -> tuple[int, int, str]:
    """First and end of the previews to make, and what the run is called."""
    from .plan import task_range

    if range_ is not None:
        first, end = _two_numbers("--range", range_, ":")
        if first >= end:
            raise InputError(f"--range must be FIRST:END with END after FIRST, such as 0:50, not {range_!r}")
        return first, end, range_run(first, end)
    if task is not None:
        number, tasks = _two_numbers("--task", task, "/")
        if not 1 <= number <= tasks:
            raise InputError(f"--task must be I/N with I from 1 to N, such as 3/8, not {task!r}")
        return *task_range(number, tasks, count), task_run(number, tasks)
    return 0, count, Layout(Path()).run


def _two_numbers(option: str, text: str, between: str) -> tuple[int, int]:
    first, found, second = text.partition(between)
    if not (found and first.isdecimal() and second.isdecimal()):
        raise InputError(f"{option} must be two whole numbers with {between!r} between, not {text!r}")
    return int(first), int(second)


def _dry_run(mine: Any, out: Path, retry_failed: bool, force: bool, as_json: bool) -> int:
    """Say what would be made; 0 where every job can be read."""
    from .run import look

    tell = json_lines()
    todo = look(mine, out, retry_failed, force)
    coming = {made.variation.index for made in todo.prepared}
    kept = {line["index"]: line for line in todo.lines.values()}
    for variation in mine:
        line = kept.get(variation.index, {})
        state = "make" if variation.index in coming else {DONE: "have"}.get(line["outcome"], line["outcome"])
        said = {"event": "plan", **variation.described(), "state": state, "message": line.get("message", "")}
        if as_json:
            tell(said)
        else:
            message = f": {said['message']}" if said["message"] else ""
            print(f"{variation.index:>5}  {state:<8} {said['name'] or variation.job.where}{message}")
    invalid = sum(line["outcome"] not in (DONE, FAILED) for line in kept.values())
    make, stills = len(coming), len(todo.stills)
    if as_json:
        tell({"event": "end", "previews": len(mine), "make": make, "stills": stills, "invalid": invalid})
    else:
        print(f"{len(mine)} preview(s): {make} to make from {stills} scene still(s), {invalid} invalid")
    return 3 if invalid else 0


def _report(summary: dict[str, Any], out: Path, page: bool) -> None:
    from .layout import PAGE

    shown = [f"{summary[outcome]} {outcome}" for outcome in OUTCOMES if summary.get(outcome)]
    print(f"{', '.join(shown) or 'nothing'}; {summary['made']} made in {summary['seconds']:.0f} s")
    print(out / "ledger.jsonl")
    if page:
        print(out / PAGE)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A farm ends a job by SIGTERM: as by Ctrl-C, workers are ended and the ledger is true."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # others cannot set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _trouble(event: dict[str, Any]) -> str | None:
    """What a person must know at once."""
    if event["event"] == "preview" and event["outcome"] != DONE:
        return f"{event['name']}: {event['outcome']}: {event['message']}"
    if event["event"] == "refused":
        return f"{event['where']}: {event['message']}"
    if event["event"] == "worker":
        return f"a worker cannot go on, the others do: {event['message']}"
    if event["event"] == "nodes":
        return f"{event['nodes']} node(s) at work, {event['before']} before"
    return None


WORDS = Words("preview", "previews", _trouble)
