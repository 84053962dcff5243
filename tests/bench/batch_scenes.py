# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes with drags for batches: procedural rigs from many sides, built as the examples are.

    python tests/bench/batch_scenes.py --out DIR [--count 12]
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("cabinet", "laptop")


def _examples() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_examples", ROOT / "examples" / "build_examples.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build_scenes(out: Path, count: int) -> list[Path]:
    """Write `count` scenes, `shot00.blend` and on: the examples' rigs in turn, each seen from its own side."""
    from puppet_master.addon import scene_settings

    examples = _examples()
    scene_settings.register()
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        example = examples.EXAMPLES[NAMES[number % len(NAMES)]]
        turn = 4.0 * (number // len(NAMES)) - 10.0
        viewpoint = replace(example.viewpoint, azimuth=example.viewpoint.azimuth + turn)
        path = out / f"shot{number:02}.blend"
        examples.build(replace(example, seed=number // len(NAMES), viewpoint=viewpoint), path)
        paths.append(path)
    return paths


def main() -> None:
    """Build, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12)
    arguments = parser.parse_args()
    for path in build_scenes(arguments.out, arguments.count):
        print(path)


if __name__ == "__main__":
    main()
