# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations: presets, overrides, and errors that name key, value and what would be right."""

from __future__ import annotations

import subprocess
import sys

import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.errors import InputError
from puppet_master.training.commands import check_processes
from puppet_master.training.config import load_config, preset_names, preset_text
from puppet_master.training.stages import STAGES
from rendered_clips import write_dataset


@pytest.fixture
def clips(tmp_path):
    return write_dataset(tmp_path / "clips", 1)


@pytest.fixture
def load(tmp_path, clips):
    """Load the preset `debug` with overrides."""

    def loaded(*overrides):
        return load_config("debug", [f'data.clips=["{clips}"]', f"out={tmp_path / 'out'}", *overrides])

    return loaded


def test_the_presets_are_whole(tmp_path, clips):
    assert preset_names() == ["ablation", "debug", "svd", "tiny", "video"]
    given = [f'data.clips=["{clips}"]']
    assert load_config("tiny", given).section("publish").source == "motion"
    assert load_config("video", given).section("diffusion").log_sigma == [4.0, 0.4]
    assert load_config("debug", given).section("publish").source == "distill"
    (tmp_path / "svd" / "unet").mkdir(parents=True)
    for name in ("config.json", "unet/config.json"):
        (tmp_path / "svd" / name).write_text("{}")
    svd = [*given, f"latents.vae={tmp_path / 'svd'}", f"diffusion.init={tmp_path / 'svd'}"]
    assert load_config("svd", svd).section("diffusion").log_sigma == [0.7, 1.6]


def test_values_are_overridden(load):
    config = load("diffusion.lr=1e-4", "seed=3", "publish.name=other", "data.workers=2")
    assert (config.section("diffusion").lr, config.seed) == (1e-4, 3)
    assert (config.section("publish").name, config.data.workers) == ("other", 2)


def test_a_file_may_start_from_a_preset(tmp_path, clips):
    path = tmp_path / "mine.toml"
    path.write_text(f'preset = "debug"\n[data]\nclips = ["{clips}"]\n[diffusion]\nlr = 0.5\n')
    config = load_config(str(path))
    assert config.section("diffusion").lr == 0.5
    assert config.section("diffusion").batch == 4 and config.data.lanes == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("diffusion.lrr=1", "there is no key diffusion.lrr; did you mean lr?"),
        ("diffusion.unet.num_drag=1", "there is no key diffusion.unet.num_drag; did you mean num_drags?"),
        ("zzz=1", "there is no key zzz; known are stages, out"),
        ("diffusion.lr=fast", "diffusion.lr = 'fast': input should be a valid number"),
        ("diffusion.batch=2.5", "diffusion.batch = 2.5: input should be a valid integer"),
        ('diffusion.batch="4"', "diffusion.batch = '4': input should be a valid integer"),
        ("diffusion.lr=-1", "diffusion.lr = -1: input should be greater than 0"),
        ("diffusion.mixture.drop_condition=1.5", "drop_condition = 1.5: input should be less than or equal to 1"),
        ("diffusion.accumulate=3", "batch 4 is no multiple of accumulate 3"),
        ("diffusion.precision=fp8", "diffusion.precision = 'fp8': input should be 'fp32' or 'bf16'"),
        ("diffusion.unet.block_out_channels=[32, 40]", "must be multiples of 32"),
        ("diffusion.unet.num_attention_heads=[1]", "must have one entry per level"),
        ("diffusion.unet.norm_num_groups=5", "norm_num_groups 5 does not divide 32 channels"),
        ("diffusion.encoder.patch_size=7", "image_size 16 is no multiple of patch_size 7"),
        ("diffusion.encoder.image_size=24", "diffusion.encoder.image_size = 24 is not latents.still_size = 16"),
        ("diffusion.mixture.frames=9", "mixture.frames 9 is more than num_frames 6"),
        ("vae.size=36", "size 36 is no multiple of 8"),
        ("latents.size=36", "latents.size = 36 is no multiple of 8"),
        ("distill.mixture.drop_condition=0.1", "the student is sampled without guidance"),
        ("distill.sigma_min=100.0", "sigma_min 100.0 must be below sigma_max 80.0"),
        ("stages=['vea']", "there is no stage 'vea'; known are vae, latents"),
        ("stages=['diffusion']", "needs what stage latents makes, and there is no"),
        ("data.clips=[]", "data.clips is empty; give dataset folders"),
        ("data.clips=['nowhere']", "data.clips = 'nowhere' is no folder; give a folder made by"),
        ("diffusion.init=nowhere", "diffusion.init = 'nowhere' is no folder"),
        ("publish.source=nowhere", "publish.source = 'nowhere' is no folder"),
        ("nonsense", "--set nonsense is not KEY=VALUE"),
        ("out.more=1", "--set out.more=1: out is a value, not a section"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(load, override, message):
    with pytest.raises(InputError) as caught:
        load(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("a = [", "is no TOML"), ('preset = "x"', "there is no preset 'x'")])
def test_files_that_are_none_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(str(path))
    with pytest.raises(InputError, match=r"cannot read the configuration .*no\.toml: No such file"):
        load_config(str(tmp_path / "no.toml"))


@pytest.mark.parametrize(
    ("override", "world", "message"),
    [
        ("data.lanes=3", 2, "data.lanes = 3 cannot be shared out to 2 readers"),
        ("data.workers=3", 1, "data.lanes = 4 cannot be shared out to 3 readers"),
        ("diffusion.batch=6", 4, "diffusion.batch = 6 cannot be shared out to 4 processes"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(load, override, world, message):
    with pytest.raises(InputError, match=message):
        check_processes(load(override), world)


def test_the_command_checks_without_running(tmp_path, clips, capsys):
    given = ["train", "debug", "--set", f'data.clips=["{clips}"]', "--set", f"out={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--check"])
    assert ended.value.code == 0
    assert "vae, latents, diffusion, distill, publish" in capsys.readouterr().out
    assert main([*given, "--set", "vae.lr=0"]) == 4
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        main(["train", "preset", "tiny"])
    assert capsys.readouterr().out == preset_text("tiny")


def test_checking_needs_no_torch(tmp_path):
    script = (
        "import sys; from puppet_master.training.config import load_config\n"
        "try: load_config('debug', ['data.clips=[\"nowhere\"]'])\n"
        "except Exception as error: print(error)\n"
        "print([name for name in ('torch', 'diffusers', 'webdataset') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert "nowhere" in done.stdout and done.stdout.endswith("[]\n"), done.stderr


def test_every_stage_can_be_configured_without_a_word():
    for kind in STAGES.values():
        kind.settings()
