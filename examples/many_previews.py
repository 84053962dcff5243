# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews from a Python program: the model is loaded once, and Blender opened once, for all of them.

    python examples/many_previews.py [--out out/many]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from puppet_master.backend import Session
from puppet_master.backend.errors import PuppetMasterError
from puppet_master.backend.session import Progress

FOLDER = Path(__file__).resolve().parent


def show(progress: Progress) -> None:
    """One line for each stage; `sample` comes once for each step."""
    step = f" {progress.step}/{progress.steps}" if progress.steps else ""
    print(f"  {progress.stage}{step}")


def main() -> None:
    """A scene with its own drags, the same still with other drags, and one that cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/many"))
    out = parser.parse_args().out

    with Session(model="tiny") as session:
        cabinet = session.preview(FOLDER / "cabinet.blend", on_progress=show)
        print(cabinet.save(out / "cabinet.mp4"), f"{cabinet.result.timings}")

        # Other drags on the first frame of that preview.
        other_drags = [{"name": "door", "points": [{"t": 0, "x": 0.5, "y": 0.6}, {"t": 1, "x": 0.4, "y": 0.6}]}]
        again = session.preview(cabinet.frames[0], {"version": 1, "drags": other_drags})
        print(again.save(out / "door.gif"))

        orders = [{"source": FOLDER / "laptop.blend", "size": (320, 320)}, {"source": FOLDER / "nowhere.blend"}]
        for order, made in zip(orders, session.previews(orders), strict=True):
            name = Path(order["source"]).stem
            if isinstance(made, PuppetMasterError):
                print(f"{name}: {made}")
            else:
                print(made.save(out / f"{name}.png"))


if __name__ == "__main__":
    main()
