# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips an hour against the published procedure, the overhead beside the renderer, and memory over many assets.

    python tests/bench/bench_data.py [--asset FILE] [--animation NAME] [--views 1] [--size 128] [--samples 16]
    python tests/bench/bench_data.py --memory 200

The first makes clips of the same animations in both ways, one after the other, each with the whole machine: ours with
as many workers of one thread as `--workers`, the published programs one after another with as many threads in the
renderer. There are as many copies of the asset to work on. It prints the ratios: to the procedure as published, which
renders 32 frames of an animation and view and cuts a clip of 14 from them, and to one that renders only those 14. The
second has one Blender work off many assets without being replaced and prints how its memory goes.
Without `--asset` a small animated model is written for the purpose.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # tests' own modules

from glb_files import Glb, sheet  # noqa: E402
from puppet_master.backend.workers.pool import LocalPool  # noqa: E402
from puppet_master.backend.workers.slot import Limits, Program  # noqa: E402
from puppet_master.data_gen.ledger import LEDGER, read_ledger  # noqa: E402
from puppet_master.data_gen.options import RenderOrder  # noqa: E402
from puppet_master.data_gen.plan import MAKER, RENDER, make_plan  # noqa: E402
from puppet_master.data_gen.run import run  # noqa: E402

PROCEDURE = HERE / "published_procedure.py"
PROGRAMS = ("render", "export", "track", "pack")
FRAMES = 14
RENDERED = 32  # frames that the published command renders of an animation


def write_model(path: Path, animations: int) -> Path:
    """A model of two leaves of 20,000 triangles in all, one of which opens in several ways."""
    glb = Glb()
    points, triangles = sheet(70)
    glb.node("base", mesh=glb.mesh(points, triangles))
    leaf = glb.node("leaf", mesh=glb.mesh(points, triangles), translation=(0, 0, 0.2))
    for number in range(animations):
        half = 0.3 + 0.05 * number
        glb.animate(f"open{number}", (leaf, "rotation", (0.0, 1.0), [(0, 0, 0, 1), (np.sin(half), 0, 0, np.cos(half))]))
    return glb.write(path)


def ours(model: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The real run, its workers' start included."""
    order = RenderOrder(
        assets=(model,), out=folder, views=options.views, size=options.size, engine=options.engine,
        samples=options.samples, filter="none", licences=("all",), animation=options.animation,
    ).resolved()  # fmt: skip
    pool = LocalPool(Program.find(MAKER), Limits(600.0, 0.0, 1000), options.workers, "cpu")
    (unit,) = make_plan(order)
    began = time.perf_counter()
    summary = run(order, RENDER, pool, lambda event: None, [_again(unit, copy) for copy in range(options.workers)])
    seconds = time.perf_counter() - began
    spent: dict[str, float] = {}
    lines = read_ledger(folder / LEDGER)
    for line in lines:
        for stage, value in line["seconds"].items():
            spent[stage] = spent.get(stage, 0.0) + value
    whole = sum(value for stage, value in spent.items() if stage != "total")
    animations = sorted({line["index"] for line in lines if line["outcome"] == "accepted"})
    return {
        "animations": animations, "clips": summary.clips, "seconds": round(seconds, 2),
        "clips_per_hour": round(3600 * summary.clips / seconds),
        "overhead": round(1 - spent["render"] / whole, 3),
        "shares": {stage: round(value / whole, 3) for stage, value in spent.items() if stage != "total"},
    }  # fmt: skip


def published(
    model: Path, animations: list[int], rendered: int, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """The published procedure, program by program; `rendered` frames of each animation and view."""
    order = {
        "asset": str(model), "animations": animations, "views": options.views, "frames": FRAMES, "rendered": rendered,
        "size": options.size, "engine": options.engine, "samples": options.samples, "threads": options.workers,
    }  # fmt: skip
    spent = dict.fromkeys(PROGRAMS, 0.0)
    for copy in range(options.workers):
        work = folder / str(copy)
        work.mkdir(parents=True)
        for program in PROGRAMS:
            began = time.perf_counter()
            command = [sys.executable, str(PROCEDURE), program, json.dumps(order), str(work)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            spent[program] += time.perf_counter() - began
    seconds, clips = sum(spent.values()), len(list(folder.rglob("clip_*.npz")))
    return {
        "clips": clips, "seconds": round(seconds, 2), "clips_per_hour": round(3600 * clips / seconds),
        "shares": {program: round(value / seconds, 3) for program, value in spent.items()},
    }  # fmt: skip


def memory(count: int, folder: Path) -> dict[str, Any]:
    """Resident memory of one worker after each of `count` assets, in MiB: rigs and files in turn."""
    import psutil

    order = RenderOrder(procedural=f"all:{count}", out=folder, size=64, licences=("all",)).resolved()
    (folder / "models").mkdir(parents=True)
    model = write_model(folder / "models" / "model.glb", 1)
    with_files = RenderOrder(assets=(model,), out=folder, size=64, licences=("all",)).resolved()
    (file_unit,) = make_plan(with_files)
    resident: list[float] = []

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "asset":
            with suppress(psutil.NoSuchProcess):  # the last one may be ending
                children = psutil.Process().children(recursive=True)
                resident.append(sum(child.memory_info().rss for child in children) / 2**20)

    pool = LocalPool(Program.find(MAKER), Limits(600.0, 0.0, 10 * count), 1, "cpu")
    rigs = make_plan(order)
    plan = [unit for number, rig in enumerate(rigs[: count // 2]) for unit in (rig, _again(file_unit, number))]
    run(order, RENDER, pool, note, plan)
    quarter = max(len(resident) // 4, 1)
    early, late = np.median(resident[quarter : 2 * quarter]), np.median(resident[-quarter:])
    return {
        "assets": len(resident), "first_mib": round(resident[0]), "second_quarter_mib": round(early),
        "last_quarter_mib": round(late), "growth_per_asset_kib": round(1024 * (late - early) / (2 * quarter), 1),
    }  # fmt: skip


def _again(unit: Any, number: int) -> Any:
    """The same file as another asset of the run."""
    return replace(unit, key=f"{unit.key}-{number}")


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asset", type=Path)
    parser.add_argument("--animation", default="", help="only the asset's animations of this name")
    parser.add_argument("--animations", type=int, default=6, help="how many the model gets that is written")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--engine", default="cycles")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--memory", type=int, default=0, metavar="ASSETS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            print(json.dumps(memory(options.memory, folder)))
            return
        model = options.asset or write_model(folder / "model.glb", options.animations)
        mine = ours(model, options, folder / "ours")
        theirs = {
            rendered: published(model, mine["animations"], rendered, options, folder / f"published{rendered}")
            for rendered in (RENDERED, FRAMES)
        }
    ratios = {name: round(mine["clips_per_hour"] / way["clips_per_hour"], 2) for name, way in theirs.items()}
    print(json.dumps({"ours": mine, "published": theirs, "ratio": ratios}))


if __name__ == "__main__":
    main()
