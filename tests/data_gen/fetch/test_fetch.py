# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole fetches through the command line, against a real server on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from local_hub import glb
from puppet_master.backend.download import Patience
from puppet_master.backend.errors import Cancelled, InputError
from puppet_master.data_gen.fetch import sources
from puppet_master.data_gen.fetch.attributions import ASSETS, append_attribution, load_attributions
from puppet_master.data_gen.fetch.consent import Consent
from puppet_master.data_gen.fetch.index import Index, read_ids
from puppet_master.data_gen.fetch.sources import PUBLISHED, Sources

AUTHOR = {"username": "ann", "displayName": "Ann Ämter"}


@pytest.fixture
def fetch(hub, no_proxy, tmp_path):
    """Run `data fetch` with these arguments; gives (exit code, the JSON printed, what was said)."""
    hub.publish(
        {
            "aa11": {"license": "by", "animationCount": 2, "name": "Fan", "user": AUTHOR, "viewerUrl": "https://x/aa11",
                     "archives": {"glb": {"size": 2_000_000}}, "data": glb(60_000, 1)},
            "bb22": {"license": "cc0", "animationCount": 0, "folder": "000-001", "data": glb(50_000, 2)},
            "cc33": {"license": "by-nc", "animationCount": 1, "folder": "000-001", "data": glb(40_000, 3)},
            "dd44": {"license": "by-sa", "animationCount": 1, "folder": "000-002", "data": glb(30_000, 4)},
        }
    )  # fmt: skip

    def run(*arguments: str, out: str = "out", stdin: str | None = None, **environment: str):
        command = [sys.executable, "-m", "puppet_master.backend", "data", "fetch", "--out", str(tmp_path / out)]
        command += ["--cache", str(tmp_path / "cache"), "--json", *map(str, arguments)]
        known = {**os.environ, "HF_ENDPOINT": hub.url, "PUPPET_MASTER_LISTS": f"{hub.url}/lists", **environment}
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, env=known, timeout=120)
        lines = done.stdout.strip().splitlines()
        return done.returncode, json.loads(lines[-1]) if lines else None, done.stderr

    return run


@pytest.fixture
def ids(tmp_path):
    def write(*uids: str):
        path = tmp_path / "ids.txt"
        path.write_text("# ids\n" + "\n".join(uids) + "\n")
        return path

    return write


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_assets_come_with_their_origin(fetch, hub, ids, tmp_path):
    code, result, said = fetch("--ids", ids("aa11", "bb22.glb", "cc33"), "--yes")
    assert code == 0
    assert (result["fetched"], result["left_out_for_licence"], result["failed"]) == (2, 1, {})
    assert files(tmp_path / "out") == ["aa11.glb", ASSETS, "bb22.glb"]
    assert load_attributions(tmp_path / "out")["aa11.glb"] == {
        "uid": "aa11", "file": "aa11.glb", "bytes": 60_000,
        "sha256": hashlib.sha256(hub.files["glbs/000-000/aa11.glb"]).hexdigest(),
        "licence": "by", "author": "Ann Ämter", "title": "Fan", "url": "https://x/aa11", "animations": 2,
    }  # fmt: skip
    assert "2 asset(s)" in said and "about 2.0 MB and 1 of unknown size" in said and hub.url[7:] in said
    assert "Left out for their licence: by-nc 1" in said


def test_rerun_loads_nothing_and_says_so(fetch, hub, ids, tmp_path):
    fetch("--ids", ids("aa11", "bb22"), "--yes")
    asked, before = dict(hub.asked), (tmp_path / "out" / ASSETS).read_bytes()
    code, result, _ = fetch("--ids", ids("aa11", "bb22"))  # nothing to consent to
    assert (code, result["fetched"], result["kept"]) == (0, 0, 2)
    assert dict(hub.asked) == asked
    assert (tmp_path / "out" / ASSETS).read_bytes() == before


def test_damaged_asset_is_fetched_again_when_verified(fetch, ids, tmp_path, hub):
    fetch("--ids", ids("aa11"), "--yes")
    data = bytearray((tmp_path / "out" / "aa11.glb").read_bytes())
    data[-1] ^= 1
    (tmp_path / "out" / "aa11.glb").write_bytes(data)
    assert fetch("--ids", ids("aa11"))[1]["kept"] == 1
    assert fetch("--ids", ids("aa11"), "--verify", "--yes")[1]["fetched"] == 1
    assert (tmp_path / "out" / "aa11.glb").read_bytes() == hub.files["glbs/000-000/aa11.glb"]


def test_animated_takes_what_the_metadata_call_animated(fetch, hub, tmp_path):
    for folder in range(160):
        hub.files.setdefault(f"metadata/000-{folder:03d}.json.gz", hub.files["metadata/000-000.json.gz"])
    for name in [name for name in hub.files if name.startswith("metadata/")]:
        if name.split("/")[1] not in ("000-000.json.gz", "000-001.json.gz", "000-002.json.gz"):
            import gzip

            hub.files[name] = gzip.compress(b"{}")
    code, result, _ = fetch("--animated", "--yes", "--licences", "all")
    assert (code, result["fetched"]) == (0, 3)
    assert files(tmp_path / "out") == ["aa11.glb", ASSETS, "cc33.glb", "dd44.glb"]


def test_one_missing_asset_costs_itself_alone(fetch, hub, ids, tmp_path):
    del hub.files["glbs/000-000/aa11.glb"]
    code, result, _ = fetch("--ids", ids("aa11", "bb22", "dd44"), "--yes")
    assert code == 3
    assert result["fetched"] == 2
    assert "404" in result["failed"]["aa11"]
    assert set(load_attributions(tmp_path / "out")) == {"bb22.glb", "dd44.glb"}


def test_id_that_objaverse_does_not_have_is_named(fetch, ids):
    code, result, _ = fetch("--ids", ids("aa11", "ffff"), "--yes")
    assert code == 3
    assert (result["fetched"], result["unknown"]) == (1, ["ffff"])


def test_no_consent_loads_nothing(fetch, hub, ids, tmp_path):
    code, result, said = fetch("--ids", ids("aa11"))
    assert code == 4
    assert "say --yes" in result["error"]["message"]
    assert "up to 23 MB" in said
    assert sum(hub.asked.values()) == 0
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_would_come(fetch, ids, hub, tmp_path):
    code, result, said = fetch("--ids", ids("aa11", "dd44"), "--yes", "--dry-run")
    assert (code, result["to_fetch"], result["fetched"]) == (0, 2, 0)
    assert "2 asset(s)" in said
    assert not any(name.startswith("glbs/") for name in hub.asked)


def test_offline_uses_the_cache_alone(fetch, hub, ids, tmp_path):
    code, result, _ = fetch("--ids", ids("aa11"), HF_HUB_OFFLINE="1")
    assert code == 4 and "offline" in result["error"]["message"]
    fetch("--ids", ids("bb22", "aa11"), "--yes", "--dry-run")
    path = tmp_path / "cache" / "glbs" / "000-001" / "bb22.glb"
    path.parent.mkdir(parents=True)
    path.write_bytes(hub.files["glbs/000-001/bb22.glb"])
    asked = sum(hub.asked.values())
    code, result, _ = fetch("--ids", ids("bb22", "aa11"), HF_HUB_OFFLINE="1")
    assert code == 3
    assert result["copied"] == 1 and "offline" in result["failed"]["aa11"]
    assert sum(hub.asked.values()) == asked
    assert (tmp_path / "out" / "bb22.glb").read_bytes() == path.read_bytes()


def test_killed_fetch_goes_on_where_it_was(fetch, hub, ids, tmp_path):
    hub.publish({f"{i:04x}": {"license": "by", "data": glb(400_000, i)} for i in range(6)})
    big = "glbs/000-000/0005.glb"
    hub.faults[big] = [("stall", 300_000)]
    listed = ids(*(f"{i:04x}" for i in range(6)))
    command = [sys.executable, "-m", "puppet_master.backend", "data", "fetch", "--yes", "--ids", str(listed)]
    command += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--parallel", "2"]
    process = subprocess.Popen(
        command, env={**os.environ, "HF_ENDPOINT": hub.url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while hub.sent[big] < 300_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # the client has what the server sent
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "0005.glb" not in files(tmp_path / "out")
    before = dict(hub.sent)
    code, result, _ = fetch("--ids", listed, "--yes")
    assert (code, result["fetched"] + result["kept"]) == (0, 6)
    assert hub.sent[big] - before[big] < 400_000  # the rest alone
    assert files(tmp_path / "out") == [*(f"{i:04x}.glb" for i in range(6)), ASSETS]
    for i in range(6):
        assert (tmp_path / "out" / f"{i:04x}.glb").read_bytes() == hub.files[f"glbs/000-000/{i:04x}.glb"]


def start(hub, listed, tmp_path, **how):
    command = [sys.executable, "-m", "puppet_master.backend", "data", "fetch", "--yes", "--ids", str(listed)]
    command += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--retries", "0"]
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def test_interrupted_fetch_says_so_and_keeps_what_is_whole(fetch, hub, ids, tmp_path):
    slow = "glbs/000-002/dd44.glb"
    hub.faults[slow] = [("stall", 10_000)]
    # Jobs in a shell's background ignore Ctrl-C, and their children inherit that.
    reset = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = start(hub, ids("aa11", "dd44"), tmp_path, **reset)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "out/aa11.glb").exists() and hub.sent[slow]) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    hub.stall.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "error: interrupted" in said
    assert set(load_attributions(tmp_path / "out")) == {"aa11.glb"}
    assert fetch("--ids", ids("aa11", "dd44"), "--yes")[1]["kept"] == 1


def test_full_disk_ends_the_fetch_and_leaves_no_half_asset(fetch, hub, ids, tmp_path):
    def few_bytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (55_000, 55_000))

    process = start(hub, ids("aa11", "bb22"), tmp_path, preexec_fn=few_bytes)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 7 and "make room" in said
    assert not (tmp_path / "out/aa11.glb").exists()
    assert fetch("--ids", ids("aa11", "bb22"), "--yes")[0] == 0
    assert not [name for name in files(tmp_path / "out") if name.endswith(".partial")]


def test_published_list_is_loaded_by_name_and_checked(fetch, hub, shared, monkeypatch, tmp_path):
    listed = PUBLISHED["objaverse-animation-hq"]
    data = (shared / "objaverse" / listed.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == listed.sha256
    assert len(json.loads(data)) == listed.count and len(data) == listed.bytes
    hub.files[f"lists/{listed.file}"] = data
    uid = json.loads(data)[0]
    hub.publish({uid: {"license": "by", "data": glb(10_000)}})
    code, result, said = fetch("--list", "Objaverse-Animation-HQ", "--yes")
    assert (code, result["fetched"], len(result["unknown"])) == (0, 1, listed.count - 1)
    assert "0.3 MB" in said
    hub.files[f"lists/{listed.file}"] = data[:-40] + b"]" + b" " * 39
    (tmp_path / "cache" / listed.file).unlink()
    code, result, _ = fetch("--list", "objaverse-animation-hq", "--yes", "--retries", "0")
    assert code == 4 and "checksum" in result["error"]["message"]


def test_other_list_matches_what_is_published(shared):
    listed = PUBLISHED["objaverse-animation"]
    data = (shared / "objaverse" / listed.file).read_bytes()
    found = (hashlib.sha256(data).hexdigest(), len(json.loads(data)), len(data))
    assert found == (listed.sha256, listed.count, listed.bytes)


def test_unknown_list_and_no_choice_are_refused(fetch):
    assert "no list is called 'best'" in fetch("--list", "best")[1]["error"]["message"]
    assert "either --ids" in fetch()[1]["error"]["message"]
    assert "either --ids" in fetch("--animated", "--list", "objaverse-animation")[1]["error"]["message"]


def test_damaged_index_in_the_cache_is_loaded_again(hub, no_proxy, tmp_path, fetch):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "object-paths.json.gz").write_bytes(b"\x1f\x8bnot really")
    index = Index(tmp_path / "cache", Sources(hub.url), Patience(0))
    assert sorted(index.paths()) == ["aa11", "bb22", "cc33", "dd44"]


def test_unreadable_ids_are_refused_by_name(tmp_path):
    for text, message in (("", "holds no ids"), ('["a", 3]', "no id"), ("[1", "cannot be read")):
        path = tmp_path / "ids.json"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_ids(path)
    path.write_text('["b", "a", "b"]')
    assert read_ids(path) == ["b", "a"]


def test_torn_line_of_the_attributions_costs_only_itself(tmp_path):
    append_attribution(tmp_path, {"uid": "a", "file": "a.glb", "licence": "by"})
    with (tmp_path / ASSETS).open("ab") as stream:
        stream.write(b'{"uid": "b", "fi')
    append_attribution(tmp_path, {"uid": "c", "file": "c.glb", "licence": "cc0"})
    assert {name: line["licence"] for name, line in load_attributions(tmp_path).items()} == {
        "a.glb": "by", "c.glb": "cc0",
    }  # fmt: skip
    assert load_attributions(tmp_path / "nowhere") == {}


def test_consent_asks_and_takes_only_a_yes():
    said = []
    Consent(False, said.append, True, lambda: " Yes ").require("1 GB")
    assert said[0] == "1 GB"
    for answer in ("", "n", "yep"):
        with pytest.raises(Cancelled):
            Consent(False, said.append, True, lambda answer=answer: answer).require("1 GB")
    with pytest.raises(InputError, match="--yes"):
        Consent(False, said.append, False).require("1 GB")


def test_addresses_come_from_the_environment():
    assert Sources.of({}) == Sources(sources.HUB, sources.LISTS, False)
    mirror = Sources.of({"HF_ENDPOINT": "https://mirror.example/", "HF_HUB_OFFLINE": "YES"})
    assert mirror.asset("glbs/000-000/a b.glb") == (
        "https://mirror.example/datasets/allenai/objaverse/resolve/main/glbs/000-000/a%20b.glb"
    )
    assert mirror.offline
    with pytest.raises(InputError, match="HF_ENDPOINT"):
        Sources.of({"HF_ENDPOINT": "mirror"})
