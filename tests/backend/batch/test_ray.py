# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch on a real Ray cluster of several nodes on this machine, one of which is killed in mid-run."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from batch_toy_stills import write_scene
from batch_toys import toy_wanted
from puppet_master.backend.batch.job_file import read_jobs
from puppet_master.backend.batch.layout import Layout
from puppet_master.backend.batch.naming import TEMPLATE
from puppet_master.backend.batch.plan import lay_out
from puppet_master.backend.batch.run import run
from puppet_master.backend.cli import main
from puppet_master.backend.errors import InputError, RequirementError
from puppet_master.backend.workers.ledger_file import read_lines
from ray_cluster import start_cluster

pytest.importorskip("ray", reason="Ray is not installed")
ray_places = pytest.importorskip("puppet_master.backend.batch.ray_places")


@pytest.fixture(scope="module")
def cluster():
    """A head that does no work and two nodes with one place each, the second with a (pretended) graphics card."""
    made = start_cluster()
    yield made
    made.shutdown()


@pytest.fixture
def batch(cluster, tmp_path):
    """Runs a batch of slow toys on the cluster: scenes of ten previews each."""

    def go(scenes, listen=lambda event: None, **wanted):
        paths = [write_scene(tmp_path / f"s{n}.blend", drag="slow", grey=20 * n) for n in range(scenes)]
        jobs = tmp_path / "jobs.json"
        jobs.write_text(json.dumps([{"scene": str(path), "seed": "0:10"} for path in paths]))
        layout, log = Layout(tmp_path / "out"), tmp_path / "toys.log"
        known = toy_wanted(log, workers=0, **wanted)
        plan = lay_out(read_jobs(str(jobs)), TEMPLATE)
        summary = run(
            plan, layout, lambda blender: ray_places.RayPlaces(cluster.address, known, layout, blender), listen
        )  # fmt: skip
        return summary, list(read_lines(layout.ledger)), len(log.read_text().split())

    return go


def test_a_batch_with_cards_runs_where_the_cards_are(batch):
    summary, _, made = batch(1, device="auto")
    assert (summary.exit_code, made) == (0, 10)


def test_a_node_killed_in_mid_run_loses_nothing_and_nothing_is_made_twice(cluster, batch, capfd):
    events = []

    def kill_a_node(event):
        events.append(event)
        if [event["event"] for event in events].count("preview") == 8 and event["event"] == "preview":
            cluster.remove_node(cluster.last, allow_graceful=False)

    summary, lines, made = batch(4, kill_a_node, device="cpu")
    assert (summary.exit_code, summary.made) == (0, 40)
    assert Counter(line["outcome"] for line in lines) == {"done": 40}
    assert len({line["name"] for line in lines}) == 40
    assert 40 <= made <= 42  # those that the lost node was making: one by the model, one being written
    assert [(event["before"], event["nodes"]) for event in events if event["event"] == "nodes"] == [(2, 1)]
    assert capfd.readouterr().out == ""


def test_the_command_s_events_alone_are_on_stdout(cluster, tmp_path, monkeypatch, capfd):
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps([{"scene": str(write_scene(tmp_path / "a.blend")), "seed": "0:2"}]))
    wanted = toy_wanted(tmp_path / "toys.log", workers=0)
    monkeypatch.setattr("puppet_master.backend.batch.command.Wanted", lambda *_, **__: wanted)
    with pytest.raises(SystemExit) as end:
        main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--ray", cluster.address, "--json"])
    assert end.value.code == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["begin", "still", "preview", "preview", "end"]


def test_a_device_that_ray_cannot_give_is_refused(tmp_path):
    with pytest.raises(InputError, match="Ray chooses the card"):
        ray_places.RayPlaces("auto", toy_wanted(tmp_path / "log", device="cuda:1"), Layout(tmp_path))


def test_no_cluster_is_named_with_what_starts_one(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    layout = Layout(tmp_path)
    layout.make()
    places = ray_places.RayPlaces("nowhere", toy_wanted(tmp_path / "log", device="cpu"), layout)
    with pytest.raises(RequirementError, match=r"no Ray cluster answers at 'nowhere'.*ray start"):
        next(iter(places.results(None, lambda event: None)))
