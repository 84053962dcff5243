# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of batches without torch and Blender, for tests of what goes on around them.

`batch_toys` stands in place of the maker: the same code, with a pipeline that slides the still. What a preview does is
said by the name of its first drag: "crash once", "crash", "raise", "lost card", "too large", "refuse", "slow", "hang".
`batch_toy_stills` stands in Blender's place. As a program it runs a batch that a test can kill:

    python batch_toys.py JOBS OUT [WORKERS]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from puppet_master.backend.batch import maker
from puppet_master.backend.batch.job_file import read_jobs
from puppet_master.backend.batch.layout import Layout
from puppet_master.backend.batch.naming import TEMPLATE
from puppet_master.backend.batch.places import LocalPlaces, Wanted
from puppet_master.backend.batch.plan import lay_out
from puppet_master.backend.batch.run import Summary, run
from puppet_master.backend.errors import InputError, PuppetMasterError, RequirementError
from puppet_master.backend.fitting import decode_still
from puppet_master.backend.protocol import PreviewRequest, PreviewResult
from puppet_master.backend.workers.slot import WORKER, Program

HERE = Path(__file__).resolve().parent
SLOW_S = 0.15


class ToyPipeline:
    """Slides the still to the right, a pixel a frame and seed."""

    def generate(self, request: PreviewRequest):
        does = request.drags[0].name if request.drags else ""
        behave(does)
        with Path(os.environ["TOY_LOG"]).open("a") as log:
            log.write(f"{request.seed}\n")
        still = decode_still(request.still_png, request.background)
        frames = np.stack([np.roll(still, frame * (request.seed + 1), axis=1) for frame in range(request.frames or 4)])
        size = (still.shape[1], still.shape[0])
        return frames, PreviewResult(
            "toy", "0" * 64, request.drags, len(frames), 1, (1.0, 1.0), request.seed, request.fit, request.background,
            size, size, "0" * 64, "cpu float32", 1, {"sample": 0.01},
        )  # fmt: skip

    def generate_batch(self, requests):
        return [self.generate(request) for request in requests]


class ToyShelf:
    def get(self, model: str) -> ToyPipeline:
        if model.endswith("large"):
            raise RequirementError("the model needs 80.0 GiB of memory, and 1.0 GiB are free")
        return ToyPipeline()


def behave(does: str) -> None:
    mark = Path(os.environ["TOY_LOG"]).with_name(f"{does}.tried")
    tried = mark.exists()
    mark.touch()
    if does == "crash" or (does == "crash once" and not tried):
        os.kill(os.getpid(), signal.SIGSEGV)
    elif does == "raise":
        raise ZeroDivisionError("no frames a second")
    elif does == "lost card" and not tried:
        raise RuntimeError("CUDA error: device-side assert triggered")
    elif does == "too large":
        raise RuntimeError("CUDA out of memory. Tried to allocate 80 GiB")
    elif does == "refuse":
        raise InputError("the toy refuses this still")
    elif does == "slow":
        time.sleep(SLOW_S)
    elif does == "hang":
        time.sleep(600)


def work(task, emit) -> None:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "gone":
        raise RequirementError("device cuda was asked for, but torch finds no CUDA; use --device cpu")
    maker._shelf = lambda task: ToyShelf()
    maker.work(task, emit)


def toy_wanted(log: Path, workers: int = 2, **more) -> Wanted:
    """Toys in all places; each preview that is made leaves a line in `log`."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, "TOY_LOG": str(log)}
    command = (sys.executable, str(WORKER))
    titles = {"batch_toys": "the model's process", "batch_toy_stills": "Blender"}
    programs = [Program(command, (name,), environment, title) for name, title in titles.items()]
    known = {"device": "cpu", "workers": workers, "still_workers": 1, "time_limit": 60.0}
    return Wanted(**{**known, **more}, program=programs[0], still_program=programs[1])


def run_toys(jobs: Path, out: Path, listen=lambda event: None, workers: int = 2, **more) -> Summary:
    """A run of a whole job file on this machine."""
    plan = lay_out(read_jobs(str(jobs)), TEMPLATE)
    wanted = toy_wanted(out.parent / "toys.log", workers)
    return run(plan, Layout(out), lambda blender: LocalPlaces(wanted, blender), listen, **more)


def main() -> int:
    try:
        listen = lambda event: print(json.dumps(event), flush=True)  # noqa: E731
        workers = int(sys.argv[3]) if len(sys.argv) > 3 else 2
        return run_toys(Path(sys.argv[1]), Path(sys.argv[2]), listen, workers).exit_code
    except PuppetMasterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
