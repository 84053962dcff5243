# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling, importing, verifying and removing models, against a hub on loopback with small files and real faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from puppet_master.backend import cli, published, registry
from puppet_master.backend.download import Patience
from puppet_master.backend.errors import (
    AccessError,
    Cancelled,
    InputError,
    LicenceError,
    ModelError,
    NetworkError,
    OutputError,
)
from puppet_master.backend.hub import Hub
from puppet_master.backend.licences import read_accepted
from puppet_master.backend.loader import ModelShelf, load_pipeline
from puppet_master.backend.model_store import import_folder, remove, staging
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.backend.published import HubFile, Licence, PublishedModel, Repository
from puppet_master.backend.pulling import Pull, import_published, pull
from safetensors.torch import load_file, save_file

PARTS, WEIGHTS = Repository("studio/parts"), Repository("lab/weights", is_space=True)
UNET = "ckpts/model.safetensors"
TERMS = "You may look at it.\n"


class Told(list):
    """Hears a pull's progress."""

    def stage(self, name, share):
        self.append((name, share))

    def progress(self, share, detail):
        self.append((detail, share))

    def note(self, text):
        self.append((text, None))


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """The user's models folder, and no login of the machine's."""
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("puppet_master.backend.hub.get_token", lambda: None)
    return tmp_path / "models"


@pytest.fixture(scope="module")
def contents(model_folder, tmp_path_factory):
    """The hub's files: a small model's, the UNet's weights under published names."""
    weights = tmp_path_factory.mktemp("weights") / "model.safetensors"
    unet = load_file(model_folder / "unet" / registry.WEIGHTS)
    save_file({f"model.{name}": value for name, value in unet.items()}, weights)
    names = ["image_encoder/config.json", "image_encoder/model.safetensors", "vae/config.json",
             f"vae/{registry.WEIGHTS}", "scheduler/scheduler_config.json"]  # fmt: skip
    files = {name.replace(".safetensors", ".fp16.safetensors"): (model_folder / name).read_bytes() for name in names}
    return {**files, "LICENSE.md": TERMS.encode(), UNET: weights.read_bytes()}


@pytest.fixture
def offered(hub, no_proxy, contents):
    """The hub offers the model."""
    hub.files.update(contents)
    hub.repositories = {PARTS.name: [name for name in contents if name != UNET], WEIGHTS.name: [UNET]}
    return hub


@pytest.fixture(scope="module")
def model(contents, model_folder):
    config = json.loads((model_folder / "unet" / "config.json").read_text())
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config.items() if not key.startswith("_")
    }  # fmt: skip
    files = [
        HubFile(PARTS, name, name.replace(".fp16", "")) for name in contents if name not in (UNET, "LICENSE.md")
    ]
    return PublishedModel(
        info=replace(registry.read_info(model_folder), name="small"),
        about="a small one",
        files=(*files, HubFile(WEIGHTS, UNET, "weights.safetensors")),
        weights="weights.safetensors",
        arguments=arguments,
        licences=(
            Licence("parts", "Parts", "look, but do not touch", "https://parts.example", PARTS),
            Licence("weights", "Weights", "do not sell them", "https://weights.example"),
        ),
        bytes=1000,
    )


@pytest.fixture
def get(offered, model):
    """Pull the model from the hub; `told` hears of it, `shown` collects the licences that were shown."""

    def run(accept=True, patience=None, mirror=None, offline=False):
        def ask(shown):
            run.shown.append(shown.text)
            return accept

        how = Pull(
            Hub(mirror or offered.url, offline), ask, run.told, patience or Patience(2, 1, timeout=5, first_wait=0.01)
        )
        return pull(model, how)

    run.told, run.shown = Told(), []
    return run


def left(models):
    """What a pull or an import that failed must not leave among the models."""
    return registry.CARD in {path.name for path in models.glob("*/*")}


def test_a_pulled_model_makes_the_same_preview_as_its_origin(get, models, model_folder, still_png):
    folder = get()
    assert folder == models / "small" == registry.find_model("small")
    request = PreviewRequest(still_png, seed=3)
    frames, result = load_pipeline(folder).generate(request)
    expected, _ = load_pipeline(model_folder).generate(request)
    assert (frames == expected).all() and result.model == "small"
    assert [path.name for path in models.iterdir() if path.name not in (".small.lock", "licences.json")] == ["small"]
    assert (folder / "LICENCE-parts.md").read_text().endswith(TERMS)
    shares = [share for _, share in get.told if share is not None]
    assert shares == sorted(shares) and {name for name, _ in get.told} >= {"licences", "loading", "converting"}


def test_licences_are_shown_whole_and_asked_for_once(get):
    get()
    assert TERMS in get.shown[0] and "do not sell them" in get.shown[1]
    assert set(read_accepted()) == {"parts", "weights"}
    remove("small")
    get(accept=False)
    assert len(get.shown) == 2


def test_a_licence_that_changed_is_asked_for_again(get, offered):
    get()
    remove("small")
    offered.files["LICENSE.md"] = b"You may not even look.\n"
    with pytest.raises(LicenceError, match="the licence of Parts was not accepted"):
        get(accept=False)


def test_nothing_is_loaded_without_acceptance(get, offered, models):
    with pytest.raises(LicenceError, match="--accept-licence"):
        get(accept=False)
    assert set(offered.sent) == {"LICENSE.md"} and not left(models)


def test_a_model_that_is_there_is_not_loaded_again(get, offered):
    get()
    before = dict(offered.sent)
    get()
    assert dict(offered.sent) == before and get.told[-1][0] == "model small is there already"


def test_a_cut_connection_is_resumed_by_the_next_pull(get, offered, contents, models):
    size = len(contents[UNET])
    offered.faults[UNET] = [("break", size // 2)]
    with pytest.raises(NetworkError, match="pull again to go on from there"):
        get(patience=Patience(0, 0, timeout=5))
    assert not left(models)
    get()
    assert offered.sent[UNET] == size and offered.ranges == [f"bytes={size // 2}-"]
    others = [name for name in contents if name not in (UNET, "LICENSE.md")]
    assert all(offered.sent[name] == len(contents[name]) for name in others)


def test_a_wrong_checksum_is_refused_and_leaves_no_model(get, offered, models):
    offered.checksums[UNET] = "0" * 64
    with pytest.raises(NetworkError, match="came damaged: checksum"):
        get()
    assert offered.asked[UNET] == 2 and not left(models)


def test_a_gated_model_without_a_login_says_how_to_get_in(get, offered):
    offered.token = "secret"
    with pytest.raises(AccessError, match=r"accept the terms on https://huggingface\.co/studio/parts.*hf auth login"):
        get()


def test_the_login_opens_a_gated_model_and_goes_to_the_hub_alone(get, offered, monkeypatch):
    offered.token = "secret"  # the hub's store of bytes refuses to be told it
    monkeypatch.setattr("puppet_master.backend.hub.get_token", lambda: "secret")
    assert get().is_dir()


def test_a_wrong_login_is_told_from_a_missing_one(get, offered, monkeypatch):
    offered.token = "secret"
    monkeypatch.setattr("puppet_master.backend.hub.get_token", lambda: "wrong")
    with pytest.raises(AccessError, match="does not accept your token"):
        get()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [(403, AccessError, "has no access to lab/weights"), (404, NetworkError, "has no lab/weights"),
     (410, NetworkError, "410")],
)  # fmt: skip
def test_refusals_of_the_hub_are_told_apart(get, offered, status, error, message):
    offered.refused[UNET] = status
    with pytest.raises(error, match=message):
        get()


def test_a_repository_that_is_gone_is_named(get, offered):
    del offered.repositories[WEIGHTS.name]
    with pytest.raises(NetworkError, match="has no lab/weights"):
        get()


def test_a_file_that_is_gone_is_named(get, offered):
    offered.repositories[PARTS.name].remove("vae/config.json")
    with pytest.raises(NetworkError, match=r"has no vae/config\.json"):
        get()


def test_no_network_names_the_host_and_the_ways_out(get):
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:1 cannot be reached .*--mirror.*model import"):
        get(mirror="http://127.0.0.1:1")


def test_a_mirror_must_be_a_web_address():
    with pytest.raises(InputError, match="must be a web address"):
        Hub("hub.example.org")


def test_the_environment_names_the_mirror(get, offered, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", offered.url)
    assert Hub().endpoint == offered.url


def test_a_full_disk_is_noticed_ahead(get, offered, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(OutputError, match=r"has 0\.0 GB free, and 0\.1 GB are needed"):
        get()
    assert not offered.sent


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_model(get, models, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("puppet_master.backend.model.DragSpatioTemporalUNet.save_pretrained", full)
    with pytest.raises(OutputError, match="No space left on device"):
        get()
    assert not left(models)


def test_a_stopped_pull_goes_on_later(get, offered):
    patience = Patience(2, 1, timeout=5)
    get.told.progress = lambda share, detail: patience.stop.set()
    with pytest.raises(Cancelled):
        get(patience=patience)
    del get.told.progress
    get()
    assert len(offered.ranges) == 1 and registry.find_model("small").is_dir()


def test_two_programs_do_not_pull_at_once(get):
    with staging("small"), pytest.raises(ModelError, match="another process is working on model small"):
        get()


def test_weights_of_another_architecture_are_refused(get, offered, contents, models):
    offered.files[UNET] = contents["vae/diffusion_pytorch_model.fp16.safetensors"]
    with pytest.raises(ModelError, match="does not fit the configuration"):
        get()
    assert not left(models)


def test_parts_of_another_architecture_are_refused(get, offered, contents, models):
    offered.files["vae/diffusion_pytorch_model.fp16.safetensors"] = contents["image_encoder/model.fp16.safetensors"]
    with pytest.raises(ModelError, match=r"does not fit its config\.json"):
        get()
    assert not left(models)


def fill_cache(folder, contents):
    """What huggingface_hub leaves in its cache."""
    for repository, names in ((PARTS, [name for name in contents if name != UNET]), (WEIGHTS, [UNET])):
        root = folder / f"{repository.kind}s--{repository.name.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text("a" * 40)
        for name in names:
            path = root / "snapshots" / ("a" * 40) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[name])


def test_offline_takes_what_the_hubs_cache_holds(get, offered, contents, tmp_path):
    fill_cache(tmp_path / "cache", contents)
    assert get(offline=True).is_dir() and not offered.sent


def test_offline_names_what_is_missing(get, contents, tmp_path):
    fill_cache(tmp_path / "cache", {name: data for name, data in contents.items() if name != "vae/config.json"})
    with pytest.raises(NetworkError, match=r"lacks 1 of 6 files of small, first studio/parts/vae/config\.json"):
        get(offline=True)


def test_online_does_not_load_what_the_hubs_cache_holds(get, offered, contents, tmp_path):
    fill_cache(tmp_path / "cache", contents)
    get()
    assert set(offered.sent) == {"LICENSE.md"}


def test_published_weights_are_imported_beside_a_download_of_the_other_parts(model, contents, tmp_path, models):
    for name, data in contents.items():
        (tmp_path / "parts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "parts" / name).write_bytes(data)
    folder = import_published(model, tmp_path / "parts" / UNET, tmp_path / "parts", lambda shown: True, "mine")
    assert registry.read_info(folder).name == "mine" and load_pipeline(folder).info.num_drags == 3
    (tmp_path / "parts" / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"lacks vae/config\.json"):
        import_published(model, tmp_path / "parts" / UNET, tmp_path / "parts", lambda shown: True, "other")
    with pytest.raises(ModelError, match="there is no weight file"):
        import_published(model, tmp_path / "none.safetensors", folder, lambda shown: True, "other")
    assert not (models / "other").exists()


def test_a_model_folder_of_our_training_is_imported_under_a_name(model_folder, models, still_png):
    folder = import_folder(model_folder, "mine")
    assert folder == models / "mine" and registry.read_info(folder).name == "mine"
    assert "mine" in {info.name for info in registry.list_models()}
    assert load_pipeline(registry.find_model("mine")).generate(PreviewRequest(still_png))[1].model == "mine"
    with pytest.raises(InputError, match="there is a model mine already"):
        import_folder(model_folder, "mine")


@pytest.mark.parametrize("name", ["tiny", "../up", ".hidden", "a b", ""])
def test_names_that_are_taken_or_none_are_refused(model_folder, name):
    with pytest.raises(InputError, match=r"is the name of an embedded model|is no name for a model"):
        import_folder(model_folder, name) if name else staging(name).__enter__()


def test_an_incomplete_folder_is_not_imported(model_folder, tmp_path, models):
    shutil.copytree(model_folder, tmp_path / "copy")
    (tmp_path / "copy" / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"incomplete: vae/config\.json is missing"):
        import_folder(tmp_path / "copy")
    assert not left(models)


@pytest.fixture
def run(capsys):
    """The command line in this process: exit code, stdout, stderr."""

    def main(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return main


def test_verify_finds_a_changed_byte(run, model_folder, models):
    assert run("model", "import", model_folder, "--name", "mine")[0] == 0
    assert run("model", "verify", "mine")[0] == 0
    path = models / "mine" / "vae" / registry.WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, _, stderr = run("model", "verify", "mine")
    assert code == ModelError.exit_code and f"{registry.WEIGHTS} is corrupt" in stderr


def test_importing_what_is_not_there_says_so(run, tmp_path):
    code, _, stderr = run("model", "import", tmp_path / "nowhere.safetensors")
    assert code == ModelError.exit_code and "there is no" in stderr and "nowhere.safetensors" in stderr


def test_remove_takes_a_users_model_and_no_other(run, model_folder, models):
    run("model", "import", model_folder, "--name", "mine")
    code, stdout, _ = run("model", "remove", "mine", "--json")
    assert code == 0 and json.loads(stdout)["bytes"] > 10_000 and not (models / "mine").exists()
    assert run("model", "remove", "mine")[0] == ModelError.exit_code
    assert "part of the program" in run("model", "remove", "tiny")[2]
    assert registry.find_model("tiny").is_dir()


def test_a_model_that_cannot_be_read_is_listed_with_its_fault(run, model_folder, models):
    run("model", "import", model_folder, "--name", "mine")
    (models / "mine" / registry.CARD).write_text("{")
    code, stdout, _ = run("model", "list", "--json")
    listed = json.loads(stdout)
    assert code == 0 and [item["name"] for item in listed["models"]] == ["tiny"]
    assert listed["unusable"][0]["name"] == "mine" and "is damaged" in listed["unusable"][0]["fault"]


def test_asking_for_a_model_that_was_not_pulled_says_how_to_get_it():
    with pytest.raises(ModelError, match="get it with: puppet-master model pull svd"):
        registry.find_model("svd")
    assert tuple(published.PUBLISHED) == registry.PULLABLE


def test_pull_on_the_command_line_tells_events_and_ends_with_the_folder(
    run, offered, model, models, monkeypatch
):
    reading, writing = os.pipe()  # stays open: nobody cancels
    monkeypatch.setattr("sys.stdin", os.fdopen(reading))
    monkeypatch.setitem(published.PUBLISHED, "small", model)
    code, stdout, stderr = run("model", "pull", "small", "--mirror", offered.url, "--accept-licence", "--events")
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0 and TERMS in stderr
    assert lines[-1] == {"event": "end", "name": "small", "folder": str(models / "small")}
    assert {line["event"] for line in lines} == {"stage", "progress", "end"}
    os.close(writing)


def test_pull_without_a_terminal_or_the_option_accepts_nothing(run, offered, model, monkeypatch):
    monkeypatch.setitem(published.PUBLISHED, "small", model)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, stdout, _ = run("model", "pull", "small", "--mirror", offered.url, "--json")
    assert code == LicenceError.exit_code and json.loads(stdout)["error"]["kind"] == "licence"


def test_pull_from_a_hub_that_is_away_is_one_line_and_exit_code_9(models):
    command = [sys.executable, "-m", "puppet_master.backend", "model", "pull", "svd", "--mirror", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == NetworkError.exit_code
    assert done.stderr.splitlines()[-1].startswith("error: 127.0.0.1:1 cannot be reached")
    assert "Traceback" not in done.stderr


def test_a_device_that_there_is_not_is_told_to_whoever_asks_for_a_preview():
    shelf = ModelShelf("gpu")
    for ask in (shelf.prepare, lambda: shelf.get("tiny")):
        with pytest.raises(InputError, match="cuda:N, not 'gpu'"):
            ask()
