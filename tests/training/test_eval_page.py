# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an evaluation: whole, from one file, with the worst and the best first, whatever the clips are called."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from puppet_master.backend.errors import OutputError
from puppet_master.training import eval_page
from puppet_master.training import report as report_module
from puppet_master.training.candidates import Candidate
from puppet_master.training.eval_charts import scatter
from puppet_master.training.eval_films import MOST_FRAMES, Films
from puppet_master.training.eval_page import EXTREMES, group
from puppet_master.training.report import EvaluationOrder, evaluate_models
from sliding_squares import FRAMES, Mover, sliding_clip

NASTY = "a <script>alert(1)</script> & b"


class Balanced(HTMLParser):
    """Collects tags and ids; open and closed tags must match."""

    VOID = ("meta", "input", "br", "hr", "img", "link")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for key, value in attributes if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The text of the page on three clips and two models, with checks."""
    folder = tmp_path_factory.mktemp("clips")
    moves = [sliding_clip(step=(6, 0)), sliding_clip(step=(3, 4), pin=True), sliding_clip(step=(0, 0))]
    for index, clip in enumerate(moves):
        np.savez(folder / f"clip-{index}.npz", frames=clip.frames, drags=clip.drags)
    known = {"tiny": Mover(), "lazy": Mover(share=0.5)}
    candidates = tuple(Candidate.parse(name) for name in known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_module, "load_model", lambda model, device: known[model])
        patch.setattr(report_module, "DEFAULT_TRACKER", "dis")
        evaluate_models(EvaluationOrder(folder, candidates, out=folder / "out", checks=True))
    return (folder / "out" / "report.html").read_text()


def test_the_page_is_whole_and_loads_nothing(page):
    found = parse(page)
    assert len(found.ids) == len(set(found.ids))
    outside = [value for _, attributes in found.tags for key, value in attributes.items() if key in ("src", "href")]
    assert all(value.startswith("#") and value[1:] in found.ids for value in outside)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r"url\((?!(&quot;)?data:)", page)


def test_the_page_has_every_clip_every_model_and_the_baselines(page):
    cards = [attributes for tag, attributes in parse(page).tags if tag == "article"]
    assert len(cards) == 3
    for card in cards:
        assert card["style"].count("data:image/webp") == 3  # the real frames and two models', each once
    labels = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert labels[:6] == ["real", "frozen still", "tiny", "lazy", "difference, tiny", "difference, lazy"]
    assert page.count("<b>1.00</b>") >= 1 and "Checks" in page
    assert "motion gap closed: <b>100%</b>" in page


def test_strips_hold_the_frames_in_order(page):
    style = next(attributes for tag, attributes in parse(page).tags if tag == "article")["style"]
    data = re.search(r"--real:url\(data:image/webp;base64,([^)]*)\)", style)[1]
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert strip.shape == (256 * FRAMES, 256, 3)
    assert f"--n:{FRAMES}" in style and "--ratio:256/256" in style


def a_report(gains):
    rows = [
        {"clip": str(i), "psnr_moving": None if gain is None else 10.0 + gain, "psnr_moving_still": 10.0}
        for i, gain in enumerate(gains)
    ]
    return {"models": [{"per_clip": rows}]}


def test_the_worst_and_the_best_come_first_and_no_clip_twice():
    gains = [3.0, -2.0, None, 1.0, *np.linspace(4, 9, 60)]
    groups = group(a_report(gains))
    assert groups.worst[:3] == [1, 3, 0]
    assert groups.best[:2] == [63, 62]
    shown = [*groups.worst, *groups.best, *groups.others]
    assert len(shown) == len(set(shown)) == eval_page.MOST_FILMS
    assert len(groups.worst) == len(groups.best) == EXTREMES


@pytest.mark.parametrize("count", [1, 2, EXTREMES, EXTREMES + 3])
def test_few_clips_are_shown_once_each(count):
    groups = group(a_report(list(range(count))))
    assert groups.worst[0] == 0 and (count == 1 or groups.best[0] == count - 1)
    assert sorted([*groups.worst, *groups.best, *groups.others]) == list(range(count))


def test_clips_where_nothing_moves_are_among_the_others():
    groups = group(a_report([None, None]))
    assert (groups.worst, groups.best, groups.others) == ([], [], [0, 1])


def test_names_cannot_break_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "load_model", lambda model, device: Mover())
    monkeypatch.setattr(report_module, "DEFAULT_TRACKER", "still")
    clip = sliding_clip()
    np.savez(tmp_path / f"{NASTY.replace('/', '_')}.npz", frames=clip.frames, drags=clip.drags)
    evaluate_models(EvaluationOrder(tmp_path, (Candidate(NASTY, "tiny"),), out=tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text()
    assert parse(page) and "<script>alert" not in page
    assert [tag for tag, _ in parse(page).tags].count("script") == 1


def test_the_page_stays_within_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(eval_page, "FILM_BYTES", 60_000)
    cards = {index: (f"card {index}", 25_000) for index in range(5)}
    assert list(eval_page._affordable(cards, [3, 1, 0, 2])) == [3, 1]


def test_long_and_large_clips_are_shown_small():
    frames = np.zeros((100, 300, 600, 3), np.uint8)
    films = Films(frames, {"model": frames}, np.full((1, 100, 2), 0.5, np.float32))
    assert films.count == MOST_FRAMES
    assert "--ratio:256/128" in films.style
    assert films.size < 50_000


def test_clips_without_drags_have_films_without_drawings():
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    films = Films(frames, {"model": frames}, np.zeros((0, 4, 2), np.float32))
    assert "--dots:none" in films.style
    assert not any("<svg" in film for film in films.players())


def test_a_chart_places_the_frozen_still_across_and_the_model_upwards():
    rows = [
        {"clip": "low", "psnr_still": 10.0, "psnr": 10.0},
        {"clip": "high", "psnr_still": 10.0, "psnr": 20.0},
        {"clip": "none", "psnr_still": None, "psnr": None},
    ]
    chart = scatter("PSNR", "psnr", [{"per_clip": rows}], more_is_better=True)
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    assert len(places) == 2
    assert places[0][0] == places[1][0] and places[1][1] < places[0][1]
    assert scatter("PSNR", "psnr", [{"per_clip": rows[2:]}], more_is_better=True) is None


def test_a_page_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        eval_page.write_whole(tmp_path / "report.html", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
