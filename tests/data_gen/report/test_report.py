# SPDX-License-Identifier: GPL-3.0-or-later
"""The page is parsed back and its numbers and films compared with what the dataset holds."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from puppet_master.backend.clips import FRAMES, META, Clip, encode_clip, encode_json, encode_strip
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.markup import Html, element
from puppet_master.backend.shards import CLIPS, REJECTED, shard_name, write_tar
from puppet_master.data_gen.ledger import animation_line, asset_line
from puppet_master.data_gen.report import counts, write_report
from puppet_master.data_gen.report.charts import Limit, choose_scale, histogram, short
from puppet_master.data_gen.report.films import Budget, choose, even_order
from puppet_master.data_gen.report.limits import limits_of
from puppet_master.data_gen.report.reading import Strip, read_dataset, read_film
from puppet_master.data_gen.report.sections import duration, percent

EVIL = "<script>alert('x')</script> & \"Ünï\" \x00"
VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """The page's elements; fails on tags that do not fit together."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.elements = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def films(self):
        return [known for tag, known in self.elements if "film" in (known.get("class") or "").split()]

    def sections(self):
        return [known["id"] for tag, known in self.elements if tag == "h2"]


def make_clip(asset: str, seed: int = 0, size: int = 16) -> Clip:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (3, size, size, 4), np.uint8)
    drags = np.array([[(0.1, 0.2), (0.3, 0.2), (0.5, 0.2)], [(0.7, 0.7)] * 3], np.float32)
    tracks = np.zeros((4, 3, 2), np.float32)
    meta = {"asset": asset, "animation": "Walk", "view": 0}
    return Clip(frames, drags, tracks, np.ones((4, 3), bool), np.zeros(4, np.int16), meta)


def write_dataset(folder, lines, clips=(), rejected=(), settings=None):
    folder.mkdir(exist_ok=True)
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "dataset.json").write_text(json.dumps({"settings": settings or {"size": 16, "filter": "thresholds"}}))
    if clips:
        write_tar(folder / shard_name(CLIPS, 0), [(name, encode_clip(clip)) for name, clip in clips])
    strip = encode_strip(np.zeros((4, 8, 8, 4), np.uint8))
    if rejected:
        samples = [(name, {FRAMES: strip, META: encode_json({"frames": 4, **meta})}) for name, meta in rejected]
        write_tar(folder / shard_name(REJECTED, 0), samples)
    return folder


@pytest.fixture
def lines():
    """A ledger with one of everything."""
    two_views = [
        {"view": 0, "clip": "fan-1_a000_v00", "reason": None, "detail": ""},
        {"view": 1, "clip": None, "reason": "invisible", "detail": "3 % seen"},
    ]
    seconds = {"features": 1.0, "render": 5.0, "encode": 0.5, "total": 7.0}
    return [
        animation_line(
            "fan-1", "fan.glb", "Walk", 0, "accepted", clips=["fan-1_a000_v00"], views=two_views, seconds=seconds,
            features={"displacement": 0.4, "frames": 30.0},
        ),
        animation_line(
            "fan-1", "fan.glb", "Idle", 1, "rejected", reason="static", detail="displacement 0.01",
            features={"displacement": 0.01, "frames": 20.0}, seconds={"features": 1.0, "total": 1.0},
        ),
        asset_line(
            "fan-1", "fan.glb", "done", licence="by", author="Ann", seconds={"import": 2.0, "total": 2.5},
            facts={"title": "Fan", "url": "https://example.org/fan"},
        ),
        asset_line("cut-2", "cut.glb", "damaged", reason="truncated", detail="ends early"),
        asset_line("bad-3", EVIL, "failed", reason="crashed", detail=EVIL, stderr=f"boom {EVIL}"),
        asset_line("still-4", "still.glb", "rejected", reason="no animation"),
    ]  # fmt: skip


@pytest.fixture
def dataset(tmp_path, lines):
    clips = [("fan-1_a000_v00", make_clip("fan-1"))]
    rejected = [("fan-1_a001", {"asset": "fan-1", "animation": "Idle", "reason": "static"})]
    return write_dataset(tmp_path / "dataset", lines, clips, rejected)


def read(folder, **how):
    path = write_report(folder, **how)
    return Page(path.read_text("utf-8"))


def test_page_tells_the_stages(dataset):
    known = dict(counts.stages(read_dataset(dataset)))
    assert known == {"assets": 4, "opened": 2, "animations": 2, "accepted": 1, "views": 2, "clips": 1}
    page = read(dataset)
    assert "1 clip from 4 assets; 1 failure and 1 damaged file." in page.text
    assert page.sections() == [
        "stages", "reasons", "accepted", "rejected", "features", "time", "failures", "licences",
    ]  # fmt: skip


def test_reasons_are_counted_by_level_with_meanings_and_examples(dataset):
    found = {(reason.level, reason.name): reason for reason in counts.reasons(read_dataset(dataset))}
    assert {key: reason.count for key, reason in found.items()} == {
        ("asset", "crashed"): 1, ("asset", "no animation"): 1, ("asset", "truncated"): 1,
        ("animation", "static"): 1, ("view", "invisible"): 1,
    }  # fmt: skip
    assert found["view", "invisible"].examples == {"fan-1": ("fan-1 · Walk, view 1", "3 % seen")}
    page = read(dataset)
    assert "nothing moves noticeably" in page.text and "displacement 0.01" in page.text


def test_nothing_of_the_page_leaves_the_disk_or_comes_from_elsewhere(dataset):
    text = write_report(dataset).read_text("utf-8")
    page = Page(text)
    for tag, known in page.elements:
        assert tag not in ("link", "img", "iframe") and not known.get("src"), tag
        if tag == "a":
            assert known["href"].startswith("#") or known["href"] == "https://example.org/fan"
    assert set(re.findall(r"url\([\"']?([a-z]+):", text)) == {"data"}
    assert "@import" not in text


def test_names_out_of_files_cannot_break_the_page(dataset):
    page = read(dataset)
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert "<script>alert('x')</script> & \"Ünï\"" in page.text
    assert "\x00" not in (dataset / "report.html").read_text("utf-8")


def test_films_are_embedded_as_stored_with_their_drags(dataset):
    films = read(dataset).films()
    assert [film["data-n"] for film in films] == ["3", "4"]
    stored = read_film(read_dataset(dataset).clips[0])
    picture = re.search(r"data:image/png;base64,([^)]*)\)", films[0]["style"])[1]
    assert base64.b64decode(picture) == stored.png
    assert (stored.frames, stored.width, stored.height) == (3, 16, 16)
    dots = re.findall(r"cx='(\d+)' cy='(\d+)'", films[0]["style"].replace("%27", "'").replace("%3C", "<"))
    assert dots == [("100", "200"), ("700", "700"), ("300", "200"), ("700", "700"), ("500", "200"), ("700", "700")]
    assert films[0]["aria-label"] == "fan-1, Walk, view 0"
    assert "svg" not in films[1]["style"]


def test_way_of_a_drag_has_start_arrow_and_pins_diamonds(dataset):
    text = write_report(dataset).read_text("utf-8")
    assert 'd="M100 200L300 200L500 200"' in text
    assert 'cx="100" cy="200"' in text
    assert "translate(500 200) rotate(0)" in text
    assert "translate(700 700) rotate(0)" in text and "M0-26" in text


def test_time_is_summed_by_stage_and_asset(dataset):
    known = read_dataset(dataset)
    spent = counts.seconds((*known.assets, *known.animations))
    assert spent == {"import": 2.0, "features": 2.0, "render": 5.0, "encode": 0.5, "other": pytest.approx(1.0)}
    assert list(spent) == ["import", "features", "render", "encode", "other"]
    assert counts.seconds_by_asset(known)[0][:2] == ("fan-1", pytest.approx(10.5))


def test_licences_and_whom_to_name(dataset):
    known = counts.licences(read_dataset(dataset))
    assert [(licence.name, licence.assets, licence.clips) for licence in known] == [("by", 1, 1), ("not stated", 3, 0)]
    page = read(dataset)
    assert "Fan · Ann · by" in page.text


def test_features_are_split_and_limits_drawn(dataset):
    known = counts.features(read_dataset(dataset))
    assert {name: (list(a), list(b)) for name, (a, b) in known.items()} == {
        "displacement": ([0.4], [0.01]), "frames": ([30.0], [20.0]),
    }  # fmt: skip
    limits = limits_of({"filter": "thresholds"})
    assert limits["displacement"][0].meaning == "static below"
    page = read(dataset)
    assert f"static below {short(limits['displacement'][0].value)}" in page.text
    assert limits_of({"filter": "sha256:0"}) == {}


def test_histogram_shows_every_limit_and_heavy_tails():
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0, 3, 500))
    scale = choose_scale(values, [Limit(1e6)])
    assert scale.unit > 0
    assert 0 <= float(scale(0.001)) < float(scale(1.0)) < float(scale(100.0)) < float(scale(1e6)) == 1
    drawn = histogram("speed", values[:400], values[400:], [Limit(1e6, "teleport above")])
    assert drawn.count('class="accepted"') == drawn.count('class="rejected"') == 1
    assert "teleport above 1.0e6" in drawn
    Page(histogram("same", np.array([2.0, 2.0]), np.array([])))


def test_empty_dataset_gives_a_page(tmp_path):
    folder = write_dataset(tmp_path / "d", [])
    page = read(folder)
    assert "Nothing has been made here yet." in page.text
    assert page.films() == []


def test_running_dataset_is_read_as_far_as_it_got(dataset, lines):
    with (dataset / "ledger.jsonl").open("a") as stream:
        stream.write(json.dumps(lines[0])[:50])
    work = dataset / ".work"
    (work / "units").mkdir(parents=True)
    done = [{**lines[0], "asset": "new-5"}, {**lines[2], "asset": "new-5"}]
    (work / "units" / "new-5.json").write_text(json.dumps(done))
    for asset in ("new-5", "half-6"):
        (work / "clips" / asset).mkdir(parents=True)
        name = f"{asset}_a000_v00"
        write_tar(work / "clips" / asset / f"{name}.tar", [(name, encode_clip(make_clip(asset, 5)))])
    known = read_dataset(dataset)
    assert dict(counts.stages(known))["clips"] == 2
    assert [strip.name for strip in known.clips] == ["fan-1_a000_v00", "new-5_a000_v00"]
    page = read(dataset)
    assert "The run is not finished" in page.text
    assert "line 7 of ledger.jsonl is still being written" in page.text


def test_last_line_about_an_asset_counts(tmp_path):
    again = [
        asset_line("a", "a.glb", "failed", reason="time limit"), animation_line("a", "a.glb", "W", 0, "accepted"),
        asset_line("a", "a.glb", "done"),
    ]  # fmt: skip
    known = read_dataset(write_dataset(tmp_path / "d", again))
    assert [line["outcome"] for line in known.assets] == ["done"]
    assert counts.failures(known) == []


def test_damaged_shard_and_strip_are_noted_and_the_rest_is_shown(dataset):
    (dataset / "clips-000001.tar").write_bytes(b"no tar at all")
    bad = {FRAMES: b"\x89PNG\r\n\x1a\nnothing", META: b"{}"}
    write_tar(dataset / "rejected-000001.tar", [("fan-1_a002", bad)])
    page = read(dataset)
    assert len(page.films()) == 2
    assert "clips-000001.tar cannot be read" in page.text
    assert "film strip fan-1_a002 in rejected-000001.tar cannot be read" in page.text


def test_choice_is_even_repeatable_and_within_its_bytes(tmp_path):
    clips = [(f"a_a{i:03d}_v00", make_clip("a", i)) for i in range(64)]
    known = read_dataset(write_dataset(tmp_path / "d", [], clips))
    chosen = [strip.name for strip, _ in choose(known.clips, 8, Budget(10**9), [])]
    places = [int(name[3:6]) for name in chosen]
    assert places == list(range(0, 64, 8))
    assert [strip.name for strip, _ in choose(known.clips, 8, Budget(10**9), [])] == chosen
    budget = Budget(10 * known.clips[0].size)
    assert 2 <= len(choose(known.clips, 64, budget, [])) <= 10 and budget.left >= 0
    assert sorted(even_order(37)) == list(range(37))
    assert list(even_order(1)) == [0] and list(even_order(0)) == []


def test_large_frames_are_shown_smaller(tmp_path):
    known = read_dataset(write_dataset(tmp_path / "d", [], [("a_a000_v00", make_clip("a", 0, 320))]))
    [(strip, film)] = choose(known.clips, 1, Budget(10**9), [])
    assert (film.width, film.height, film.frames) == (256, 256, 3)
    assert len(film.png) < strip.size


def test_report_of_thousands_of_assets_is_quick_and_small(tmp_path):
    features = {f"feature_{i}": float(i) for i in range(20)}
    lines = []
    for i in range(13_000):
        outcome = "rejected" if i % 3 else "accepted"
        reason = {"reason": "static", "detail": "0.01"} if i % 3 else {"clips": [f"a{i}_a000_v00"]}
        lines.append(animation_line(f"a{i}", "x.glb", "W", 0, outcome, features=features, **reason))
        lines.append(asset_line(f"a{i}", "x.glb", "done", licence="by", author=f"author {i % 900}"))
    clip = encode_clip(make_clip("a", 0, 128))
    folder = write_dataset(tmp_path / "d", lines)
    write_tar(folder / shard_name(CLIPS, 0), [(f"a{i}_a000_v00", clip) for i in range(0, 600, 3)])
    start = time.monotonic()
    path = write_report(folder)
    assert time.monotonic() - start < 20
    assert path.stat().st_size < 25_000_000
    page = Page(path.read_text("utf-8"))
    assert 50 <= len(page.films()) <= 72
    assert "4 334 clips from 13 000 assets" in page.text


def test_wrong_folder_and_unwritable_page_are_refused(tmp_path, dataset):
    with pytest.raises(InputError, match="is no folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no dataset"):
        write_report(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_report(dataset, tmp_path / "nowhere" / "page.html")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(dataset, dataset)
    assert not list(tmp_path.rglob("*.partial"))


def test_report_runs_where_nothing_but_numpy_is(dataset):
    """As in Blender's own Python."""
    program = """
import sys, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"PIL", "typer", "rich", "torch", "psutil", "click"}:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])
sys.meta_path.insert(0, Absent())
from pathlib import Path
from puppet_master.data_gen.report import write_report
print(write_report(Path(sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(dataset)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(Page((dataset / "report.html").read_text("utf-8")).films()) == 2


def test_command_line_writes_where_it_is_told(dataset, tmp_path):
    command = [sys.executable, "-m", "puppet_master.backend", "data", "report", str(dataset)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "p.html"), "--json"], capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout)["bytes"] == (tmp_path / "p.html").stat().st_size
    done = subprocess.run([*command[:-1], str(tmp_path / "no")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)


def test_markup_escapes_everything_but_markup():
    assert element("b", "<&>", Html("<i>"), None, 3, class_='"x"', hidden=True, title=None) == (
        '<b class="&quot;x&quot;" hidden>&lt;&amp;&gt;<i>3</b>'
    )
    assert element("p", "\ud800") == "<p>?</p>"


def test_numbers_in_words():
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "<1 %", "50 %", ">99 %", "100 %"]
    assert [duration(x) for x in (3.21, 75, 7322)] == ["3.2 s", "1 min 15 s", "2 h 2 min"]


def test_strip_without_points_or_count_is_taken_for_squares(tmp_path):
    write_tar(tmp_path / "r.tar", [("a", {FRAMES: encode_strip(np.zeros((6, 8, 8, 4), np.uint8))})])
    from puppet_master.backend.shards import index_tar

    film = read_film(Strip("a", tmp_path / "r.tar", index_tar(tmp_path / "r.tar")["a"]))
    assert (film.frames, film.width, film.height) == (6, 8, 8)
