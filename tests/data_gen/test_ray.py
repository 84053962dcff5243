# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Ray cluster of several nodes on this machine: same dataset, also when a node is killed in mid-run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from puppet_master import __version__
from puppet_master.backend.errors import Cancelled, RequirementError
from puppet_master.backend.workers.slot import Limits
from puppet_master.data_gen.ledger import LEDGER, read_ledger
from puppet_master.data_gen.options import RenderOrder
from puppet_master.data_gen.packing import WORK, make_work_folder
from puppet_master.data_gen.run import run
from ray_cluster import start_cluster
from run_toys import run_toys, toy_program
from toys import tars, timeless_ledger, toy_order, write_toy, write_toys

ray = pytest.importorskip("ray", reason="Ray is not installed")
cluster_module = pytest.importorskip("puppet_master.backend.workers.cluster")
ray_pool = pytest.importorskip("puppet_master.data_gen.ray_pool")


@pytest.fixture(scope="module")
def cluster():
    """A head that does no work and two nodes with one place each, the second with a (pretended) graphics card."""
    made = start_cluster()
    yield made
    made.shutdown()


def run_on_ray(order: RenderOrder, listen=lambda event: None):
    return run(order, "render", ray_pool.RayPool(order, Limits(), toy_program()), listen)


def test_each_slot_is_given_the_card_that_ray_chose(cluster, tmp_path):
    card = write_toy(tmp_path / "card.glb", does="show card")
    order = toy_order(tmp_path / "out", card, ray=cluster.address, device="gpu")
    assert run_on_ray(order).exit_code == 0
    assert read_ledger(tmp_path / "out" / LEDGER)[-1]["detail"] == "0"


def test_the_command_renders_the_same_clips_on_the_cluster_as_here(cluster, tmp_path):
    pytest.importorskip("bpy", reason="Blender's module (bpy) is not installed")
    from puppet_master.data_gen.command_line import carry_out

    small = {"procedural": "box:2", "size": 32, "frames": 3, "filter": "none", "workers": 1}
    carry_out(RenderOrder(out=tmp_path / "here", **small))
    summary = carry_out(RenderOrder(out=tmp_path / "there", ray=cluster.address, **small))
    assert summary.clips > 0 and summary.exit_code == 0
    assert tars(tmp_path / "there") == tars(tmp_path / "here")


def test_a_node_killed_in_mid_run_changes_nothing(cluster, tmp_path, capfd):
    library = write_toys(tmp_path / "in", 11, seconds=0.25)  # long enough for both nodes to be at work
    write_toy(library / "bad.glb", does="crash")
    run_toys(toy_order(tmp_path / "whole", library))
    events = []

    def kill_a_node(event):
        events.append(event)
        if [event["event"] for event in events].count("asset") == 4 and event["event"] == "asset":
            cluster.remove_node(cluster.last, allow_graceful=False)

    summary = run_on_ray(toy_order(tmp_path / "out", library, ray=cluster.address), kill_a_node)
    assert (summary.made, summary.exit_code) == (12, 3)
    assert tars(tmp_path / "out") == tars(tmp_path / "whole")
    assert timeless_ledger(tmp_path / "out") == timeless_ledger(tmp_path / "whole")
    assert [(event["before"], event["nodes"]) for event in events if event["event"] == "nodes"] == [(2, 1)]
    assert capfd.readouterr().out == ""  # what stdout carries is ours alone


def test_an_interrupted_run_leaves_no_process_on_the_nodes(cluster, tmp_path):
    quick = write_toy(tmp_path / "in" / "a.glb")
    hanging = write_toy(tmp_path / "in" / "b.glb", does="hang")
    mark = Path(f"{hanging}.pid")

    def interrupt(event):
        while event["event"] == "asset" and not mark.exists():
            time.sleep(0.1)
        if event["event"] == "asset":
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="interrupted after 1 asset"):
        run_on_ray(toy_order(tmp_path / "out", quick, hanging, ray=cluster.address), interrupt)
    process = Path("/proc", mark.read_text())
    deadline = time.monotonic() + 20
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.exists()


def test_a_cluster_without_graphics_cards_is_told_at_once(cluster, tmp_path):
    order = toy_order(tmp_path / "out", write_toy(tmp_path / "a.glb"), ray=cluster.address, device="gpu")
    with pytest.raises(RequirementError, match="no node with a graphics card"):
        run_on_ray(order)


def test_no_cluster_is_named_with_what_starts_one(tmp_path, monkeypatch):
    cluster_module.import_ray()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    order = toy_order(tmp_path / "out", write_toy(tmp_path / "a.glb"), ray="nowhere")
    with pytest.raises(RequirementError, match=r"no Ray cluster answers at 'nowhere'.*ray start"):
        run_on_ray(order)


@pytest.fixture
def where(tmp_path):
    make_work_folder(tmp_path)
    (tmp_path / WORK / "token").write_text("abc")
    return {"version": __version__, "out": str(tmp_path), "token": "abc", "work": WORK, "assets": [str(tmp_path)]}


def test_a_node_that_sees_everything_may_work(where):
    assert cluster_module.probe(where) is None


@pytest.mark.parametrize(
    "change, kind, words",
    [
        ({"token": "of another folder at the same place"}, "output", "does not see"),
        ({"out": "/nowhere/out"}, "output", "does not see /nowhere/out; put --out on a disk that all nodes share"),
        ({"assets": ["/nowhere/a.glb"]}, "requirement", "does not see /nowhere/a.glb"),
        ({"version": "0.0.1"}, "requirement", "not 0.0.1; renew it"),
    ],
)
def test_a_node_that_cannot_work_says_why(where, change, kind, words):
    found, message = cluster_module.probe({**where, **change})
    assert found == kind and words in message and message.startswith("node ")


def test_a_node_without_the_package_finds_it_by_its_place(tmp_path):
    sent = pytest.importorskip("ray.cloudpickle").dumps(cluster_module.made_here(cluster_module.probe))
    # A Python in which the installed package cannot be found.
    script = (
        "import pickle, sys; import ray.cloudpickle;"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()];"
        f"print(pickle.loads({sent!r})({{'version': '0.0.1', 'out': ''}}))"
    )
    python = [sys.executable, "-c", script]
    done = subprocess.run(python, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert "renew it" in done.stdout, done.stderr
