# SPDX-License-Identifier: GPL-3.0-or-later
"""The example scenes: they open, their drags start on their objects, and their script still builds them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from puppet_master.backend.protocol import load_drags

EXAMPLES = {"cabinet": ["top drawer", "door", "pin"], "laptop": ["lid", "pin"]}


def render(scene, out):
    command = [sys.executable, "-m", "puppet_master.addon.render_still", str(scene), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["width"] == 256
    with Image.open(out / "still.png") as image:
        return np.asarray(image), load_drags(out / "drags.json")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_drags_of_an_example_start_on_its_object(name, repository, tmp_path):
    scene = repository / "examples" / f"{name}.blend"
    assert scene.stat().st_size < 1_000_000
    still, drags = render(scene, tmp_path)
    assert still.shape == (256, 256, 4)
    assert still[[0, 0, -1, -1], [0, -1, 0, -1], 3].tolist() == [0, 0, 0, 0]
    assert [drag.name for drag in drags] == EXAMPLES[name]
    for drag in drags:
        start, end = drag.points[0], drag.points[-1]
        assert still[int(start.y * 256), int(start.x * 256), 3] >= 250, drag.name
        moved = np.hypot(end.x - start.x, end.y - start.y)
        assert drag.is_pin if drag.name == "pin" else moved > 0.1


def test_the_script_builds_the_examples_that_are_here(repository, tmp_path):
    script = repository / "examples" / "build_examples.py"
    command = [sys.executable, str(script), "cabinet", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    here, drags_here = render(repository / "examples" / "cabinet.blend", tmp_path / "here")
    built, drags_built = render(tmp_path / "cabinet.blend", tmp_path / "built")
    assert drags_built == drags_here
    assert np.abs(built.astype(int) - here).mean() < 1.0
