# SPDX-License-Identifier: GPL-3.0-or-later
"""Job files of every kind, sweeps and names: what previews a batch stands for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from puppet_master.backend.batch.job_file import read_jobs
from puppet_master.backend.batch.naming import TEMPLATE
from puppet_master.backend.batch.plan import lay_out, prepare, task_range
from puppet_master.backend.errors import InputError, PuppetMasterError
from puppet_master.backend.media import encode_png

DRAGS = {"version": 1, "drags": [{"name": "a", "points": [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.6, "y": 0.5}]}]}


@pytest.fixture
def folder(tmp_path):
    """A still, a scene and two drag files."""
    (tmp_path / "still.png").write_bytes(encode_png(np.full((40, 80, 3), 90, np.uint8)))
    (tmp_path / "shot.blend").write_bytes(b"BLENDER and more")
    (tmp_path / "in.json").write_text(json.dumps(DRAGS))
    (tmp_path / "out.json").write_text(json.dumps(DRAGS))
    return tmp_path


def plan_of(folder, text, name="jobs.json", template=TEMPLATE):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return lay_out(read_jobs(str(path)), template)


def test_a_table_says_the_same_as_json(folder):
    table = "still, drags, seed, guidance, outputs, name\nstill.png, in.json|out.json, 0:2, 1:3, mp4|gif, take\n\n"
    job = {
        "still": "still.png", "drags": ["in.json", "out.json"], "seed": [0, 1], "guidance": "1:3",
        "outputs": ["mp4", "gif"], "name": "take",
    }  # fmt: skip
    plans = [
        plan_of(folder, table, "jobs.csv"), plan_of(folder, [job]), plan_of(folder, json.dumps(job), "jobs.jsonl"),
    ]  # fmt: skip
    names = ["take_in_seed0", "take_in_seed1", "take_out_seed0", "take_out_seed1"]
    assert [[made.name for made in plan] for plan in plans] == [names] * 3
    tasks = [[prepare(made).task for made in plan] for plan in plans]
    assert tasks[0] == tasks[1] == tasks[2]
    assert tasks[0][3]["guidance"] == (1.0, 3.0) and tasks[0][3]["seed"] == 1
    assert tasks[0][0]["drags"]["drags"][0]["name"] == "a"


def test_a_pattern_names_scenes(folder, monkeypatch):
    (folder / "sub").mkdir()
    (folder / "sub" / "other.blend").write_bytes(b"BLENDER")
    monkeypatch.chdir(folder)
    assert [made.name for made in lay_out(read_jobs("**/*.blend"), TEMPLATE)] == ["shot", "other"]
    with pytest.raises(InputError, match=r"no \.blend scene is called no\*\.blend"):
        read_jobs("no*.blend")


def test_defaults_and_presets_hold_where_a_job_is_silent(folder):
    document = {
        "version": 1,
        "defaults": {"still": "still.png", "steps": 20, "seed": 7},
        "presets": {"draft": {"steps": 5, "frames": 7}},
        "jobs": [{"name": "a"}, {"name": "b", "preset": "draft"}, {"name": "c", "preset": "draft", "steps": 9},
                 {"name": "d", "preset": "fine"}],
    }  # fmt: skip
    plan = plan_of(folder, document)
    tasks = [prepare(made).task for made in plan[:3]]
    assert [(task["steps"], task["frames"], task["seed"]) for task in tasks] == [(20, None, 7), (5, 7, 7), (9, 7, 7)]
    assert "there is no preset 'fine'" in plan[3].fault and "normal" in plan[3].fault


def test_a_preset_is_a_quality_or_one_of_the_file_that_may_name_a_quality(folder):
    document = {
        "version": 1,
        "defaults": {"still": "still.png"},
        "presets": {"wedge": {"seed": "0:2", "preset": "draft"}, "final": {"steps": 9}},
        "jobs": [{"name": "a", "preset": "normal"}, {"name": "b", "preset": "wedge"}, {"name": "c", "preset": "final"},
                 {"name": "d", "guidance_interval": "0.1:0.8", "feature_reuse": 2}],
    }  # fmt: skip
    tasks = [prepare(made).task for made in plan_of(folder, document)]
    assert [(task["preset"], task["steps"], task["seed"]) for task in tasks] == [
        ("normal", None, 0), ("draft", None, 0), ("draft", None, 1), (None, 9, 0), (None, None, 0)
    ]  # fmt: skip
    assert tasks[4]["guidance_interval"] == (0.1, 0.8) and tasks[4]["feature_reuse"] == 2


def test_choices_that_are_swept_are_in_the_name_and_no_others(folder):
    job = {"scene": "shot.blend", "camera": "A B|C", "frame": "10|20", "steps": [5, 9], "guidance": ["1", "1:3"]}
    names = [made.name for made in plan_of(folder, [job])]
    assert len(names) == 16 and len(set(names)) == 16
    assert names[0] == "shot_A-B_f10_g1_steps5" and names[-1] == "shot_C_f20_g1-3_steps9"


@pytest.mark.parametrize(
    "template, name",
    [
        ("{shot}/{seed:04}_{drags}", "sh 010/0003_in"), ("{source}.{model}.{job}-{index}", "still.tiny.1-0"),
        ("{name}_{guidance}{steps}{frame}{camera}", "still_"),
    ],
)  # fmt: skip
def test_a_template_names_previews(folder, template, name):
    job = {"still": "still.png", "drags": "in.json", "seed": 3, "shot": "sh 010"}
    assert plan_of(folder, [job], template=template)[0].name == name.replace(" ", "-")


@pytest.mark.parametrize("template, words", [("{sed}", "there is no {sed}"), ("{seed", "expected '}'")])
def test_a_template_that_cannot_be_read_is_refused_at_once(folder, template, words):
    with pytest.raises(InputError, match=words):
        plan_of(folder, [{"still": "still.png"}], template=template)


@pytest.mark.parametrize("template", ["../{name}", "/{name}", "{frame}", ".{name}", "a//{name}", "nul", "{name:d}"])
def test_a_name_that_no_disk_takes_is_the_job_s_fault(folder, template):
    (made,) = plan_of(folder, [{"still": "still.png"}], template=template)
    assert made.fault and not made.name


@pytest.mark.parametrize(
    "job, words",
    [
        ({"still": "still.png", "seed": "x"}, "seed = 'x': input should be a valid integer"),
        ({"still": "still.png", "seed": "5:2"}, "stands for 0 values"),
        ({"still": "still.png", "seed": "a:b"}, "'a:b' must be FIRST:END"),
        ({"still": "still.png", "seed": "0:" + "9" * 30}, "values; give FIRST:END"),
        ({"still": "still.png", "seed": "0:10000", "steps": "1:1000"}, "stands for 9990000 previews"),
        ({"still": "still.png", "preset": ["draft"]}, "there is no preset ['draft']"),
        ({"still": "still.png", "drags": 5}, "drags = 5: 5 is neither a drag file's name nor its content"),
        ({"still": "still\0.png"}, "is no name of a file"),
        ({"still": "still.png", "drags": ["in.json", "\0"]}, "is no name of a file"),
        ({"still": "still.png", "steps": 0}, "steps = 0: input should be greater"),
        ({"still": "still.png", "guidance": "a"}, "guidance must be a number or FIRST:LAST"),
        ({"still": "still.png", "size": "64x64"}, 'belong to a "scene"'),
        ({"still": "still.png", "outputs": ["mov"]}, "outputs = 'mov'"),
        ({"still": "still.png", "scene": "shot.blend"}, "either"), ({"still": "shot.blend"}, 'give it as "scene"'),
        ({"scene": "shot.blend", "size": "wide"}, "size must be WIDTHxHEIGHT"),
        ({"still": "still.png", "fit": "squash"}, "fit = 'squash'"),
        ({"still": "still.png", "background": "white"}, "background must be a colour"),
    ],
)
def test_a_job_that_cannot_be_read_says_which_field_and_why(folder, job, words):
    (made,) = plan_of(folder, [job])
    assert words in made.fault


@pytest.mark.parametrize(
    "choices, words",
    [
        ({"still": "nowhere.png"}, "cannot read the still"),
        ({"drags": "nowhere.json"}, "cannot read drag file"),
        ({"drags": {"version": 2, "drags": []}}, "version"),
        ({"model": "huge"}, "there is no model 'huge'"),
        ({"guidance": "1:-5"}, "guidance = -5 lies outside 1 to 100"),
        ({"guidance": "nan"}, "guidance is nan"),
        ({"drags": [{"points": [{"t": 0, "x": 3, "y": 0}, {"t": 1, "x": 0, "y": 0}]}]}, "outside"),
        ({"drags": {"version": 1, "drags": [{**DRAGS["drags"][0], "name": f"d{n}"} for n in range(9)]}}, "remove 1"),
    ],
)
def test_what_a_preview_lacks_is_found_before_anything_starts(folder, choices, words):
    (made,) = plan_of(folder, [{"still": "still.png", **choices}])
    with pytest.raises(PuppetMasterError, match=words):
        prepare(made)


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.json", "{", "is not JSON"), ("b.json", "{}", "must hold a list of jobs"), ("c.json", "[]", "holds no jobs"),
        ("d.json", '{"version": 2, "jobs": []}', "reads version 1"), ("e.txt", "", "give jobs as"),
        ("f.json", '{"version": 1, "jobs": [], "job": 1}', "unknown key 'job'"), ("g.json", "[" * 9999, "is not JSON"),
        ("h.csv", "still\n" + "x" * 200_000, "is not a table"),
    ],
)  # fmt: skip
def test_a_job_file_that_cannot_be_read_as_a_whole_is_refused(folder, name, text, words):
    with pytest.raises(InputError, match=words):
        plan_of(folder, text, name)


@pytest.mark.parametrize("letter", [";", "\t"])
def test_a_table_may_be_parted_by_other_letters_and_come_from_windows(folder, letter):
    rows = ["still;drags;name", "still.png;in.json;a, b", "still.png;;c"]
    (folder / "jobs.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).replace(";", letter).encode())
    plan = lay_out(read_jobs(str(folder / "jobs.csv")), TEMPLATE)
    found = [(made.fault, made.name, made.choices["drags"]) for made in plan]
    assert found == [(None, "a-b", "in"), (None, "c", "none")]


def test_a_file_with_a_pattern_s_letters_in_its_name_is_that_file(folder):
    place = folder / "[show] 1"
    place.mkdir()
    (folder / "shot.blend").rename(place / "sh[0].blend")
    (place / "jobs.json").write_text('[{"scene": "sh[0].blend"}]')
    assert [made.name for made in lay_out(read_jobs(str(place / "jobs.json")), TEMPLATE)] == ["sh-0"]
    (made,) = lay_out(read_jobs(str(place / "sh[0].blend")), TEMPLATE)
    assert made.source == str(place / "sh[0].blend")


def test_a_name_is_measured_in_bytes_as_disks_do(folder):
    plan = plan_of(folder, [{"still": "still.png", "name": "扉" * count} for count in (66, 67)])
    assert [made.name for made in plan] == ["扉" * 66, ""] and "200 bytes at most" in plan[1].fault


def test_a_line_may_hold_any_letter_that_json_allows(folder):
    (made,) = plan_of(folder, '{"still": "still.png", "shot": "a\u2028b\x85c"}\n', "jobs.jsonl")
    assert made.shot == "a\u2028b\x85c"


def test_one_torn_line_is_one_bad_job(folder):
    plan = plan_of(folder, '{"still": "still.png"}\n{"still": \n{"still": "still.png", "name": "b"}\n', "jobs.jsonl")
    assert [bool(made.fault) for made in plan] == [False, True, False]
    assert plan[1].job.where == "jobs.jsonl, line 2" and "not JSON" in plan[1].fault
    table = plan_of(folder, "still,seed\nstill.png,1\nstill.png\n", "jobs.csv")
    assert [bool(made.fault) for made in table] == [False, True]


def test_a_preview_s_digest_follows_its_inputs_contents_and_not_their_places(folder):
    first = prepare(plan_of(folder, [{"still": "still.png", "drags": "in.json"}])[0]).digest
    (folder / "copy.png").write_bytes((folder / "still.png").read_bytes())
    assert prepare(plan_of(folder, [{"still": "copy.png", "drags": "out.json"}])[0]).digest == first
    (folder / "copy.png").write_bytes(encode_png(np.full((40, 80, 3), 91, np.uint8)))
    assert prepare(plan_of(folder, [{"still": "copy.png", "drags": "out.json"}])[0]).digest != first


@pytest.mark.parametrize(
    "change",
    [{"seed": 3}, {"fps": 12}, {"outputs": "gif"}, {"background": "#000000"}, {"frames": 6}, {"guidance": 2},
     {"steps": 4}, {"fit": "crop"}, {"drags": DRAGS}],
)  # fmt: skip
def test_every_choice_is_part_of_the_digest(folder, change):
    job = {"still": "still.png"}
    plain, changed = (prepare(plan_of(folder, [one])[0]).digest for one in (job, {**job, **change}))
    assert plain != changed


@pytest.mark.parametrize("change", [{"camera": "B"}, {"frame": 4}, {"size": "64x64"}])
def test_what_a_scene_s_still_shows_is_part_of_the_digest(folder, change):
    job = {"scene": "shot.blend"}
    plain, changed = (prepare(plan_of(folder, [one])[0]) for one in (job, {**job, **change}))
    assert plain.digest != changed.digest and plain.still["key"] != changed.still["key"]


@pytest.mark.parametrize("tasks, count", [(1, 10), (3, 10), (8, 5), (4, 200)])
def test_the_shares_of_all_tasks_are_the_whole_plan(tasks, count):
    shares = [range(*task_range(task, tasks, count)) for task in range(1, tasks + 1)]
    assert [index for share in shares for index in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
