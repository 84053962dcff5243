# SPDX-License-Identifier: GPL-3.0-or-later
"""`data filter` and `data train-filter` from end to end: real rigs, real workers, a real endpoint."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from puppet_master.data_gen.cli import app
from puppet_master.data_gen.filter.features import FEATURES
from puppet_master.data_gen.filter.forest import Forest
from puppet_master.data_gen.filter.judge import KEY_VARIABLE
from typer.testing import CliRunner

runner = CliRunner()


class Doubter(BaseHTTPRequestHandler):
    """Finds every second picture unrealistic."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.headers["Authorization"])
        realistic = len(self.server.asked) % 2 == 1
        words = json.dumps({"realistic": realistic, "score": 0.8 if realistic else 0.1, "reason": "So it seems."})
        body = json.dumps({"choices": [{"message": {"content": words}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Doubter)
    server.asked = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def lines_of(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def animations_of(folder):
    return [line for line in lines_of(folder) if line["index"] is not None]


def test_rigs_are_measured_and_decided_about(tmp_path):
    out = tmp_path / "looked"
    done = runner.invoke(app, ["filter", "--procedural", "all:3", "--out", str(out), "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = animations_of(out)
    assert len(found) == 3
    assert all(set(line["features"]) == set(FEATURES) and not line["clips"] for line in found)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    decisions = [event for event in events if event["event"] == "decision"]
    assert [event["outcome"] for event in decisions] == [line["outcome"] for line in found]
    assert not list(out.glob("*.tar"))


def test_the_judge_is_shown_strips_and_its_verdicts_enter_the_ledger(tmp_path, endpoint, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "word")
    out = tmp_path / "judged"
    order = [
        "filter", "--procedural", "cabinet:3", "--out", str(out), "--workers", "1", "--strips", "workbench",
        "--judge-url", f"http://127.0.0.1:{endpoint.server_port}/v1", "--judge-model", "vlm",
    ]  # fmt: skip
    done = runner.invoke(app, [*order, "--judge-budget", "2"])
    assert done.exit_code == 3, done.output  # one is left without a verdict
    assert "1 realistic, 1 unrealistic, 2 request(s); 1 without a verdict, since the budget is used up" in done.output
    done = runner.invoke(app, order)
    assert done.exit_code == 0, done.output
    found = animations_of(out)
    assert [line["reason"] for line in found].count("unrealistic") == 1
    assert len(endpoint.asked) == 3 and set(endpoint.asked) == {"Bearer word"}
    rejected = next(line for line in found if line["reason"] == "unrealistic")
    assert rejected["outcome"] == "rejected" and rejected["detail"] == "0.1: So it seems."
    assert "| unrealistic | 1 |" in (out / "README.md").read_text()
    assert "word" not in (out / "dataset.json").read_text() + (out / "ledger.jsonl").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--judge-url", "http://127.0.0.1:1/v1"], "belong together"),
        (["--judge-url", "http://127.0.0.1:1/v1", "--judge-model", "m"], "the judge looks at strips"),
        (["--filter", "nothing.npz"], "cannot read forest"),
    ],
)
def test_orders_that_make_no_sense_are_refused_before_anything_runs(tmp_path, more, message):
    out = tmp_path / "none"
    done = runner.invoke(app, ["filter", "--procedural", "bin:1", "--out", str(out), *more])
    assert done.exit_code != 0 and message in str(done.exception)
    assert not (out / "ledger.jsonl").exists()


def test_a_forest_is_trained_and_decides(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    labels = tmp_path / "labels.jsonl"
    entries = [
        {
            "asset": f"asset-{index % 8}", "index": index, "label": "accept" if index % 2 else "reject",
            "features": {**dict.fromkeys(FEATURES, 1.0), "displacement": 0.5 if index % 2 else 0.01},
        }
        for index in range(40)
    ]  # fmt: skip
    labels.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    forest = tmp_path / "forest.npz"
    done = runner.invoke(app, ["train-filter", str(labels), "--out", str(forest), "--trees", "10", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (
        told["scores"]["precision"] == {"mean": 1.0, "spread": 0.0}
        and next(iter(told["importances"])) == "displacement"
    )
    assert len(Forest.load(forest)) == 10
    done = runner.invoke(app, ["train-filter", str(labels), "--out", str(forest), "--trees", "10"])
    assert "precision" in done.stdout and "± 0.000" in done.stdout
    out = tmp_path / "looked"
    order = ["filter", "--procedural", "cabinet:1", "--out", str(out), "--workers", "1", "--filter", str(forest)]
    done = runner.invoke(app, order)
    assert done.exit_code == 0, done.output
    assert animations_of(out)[0]["outcome"] in ("accepted", "rejected")


def test_a_forest_has_to_be_called_so(tmp_path):
    done = runner.invoke(app, ["train-filter", str(tmp_path / "labels.jsonl"), "--out", str(tmp_path / "forest.bin")])
    assert done.exit_code != 0 and "must end in .npz" in str(done.exception)
