# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for whoever is asked for help: what it says, and what it keeps to itself."""

import getpass
import socket
from pathlib import Path

import bpy
import pytest
from puppet_master.addon import backend_link, backend_state, models, preferences, report


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("index_url=https://ann:s3cret@mirror.studio/simple", "index_url=https://(hidden)@mirror.studio/simple"),
        ("Authorization: Bearer abcDEF123456.xyz", "Authorization: Bearer (hidden)"),
        ('{"token": "abc", "port": 5}', '{"token": "(hidden)", "port": 5}'),
        ("HF_TOKEN=hf_abcdefghijkl done", "HF_TOKEN=(hidden) done"),
        ("got hf_abcdefghijkl", "got (hidden)"),
        ("password: hunter2", "password: (hidden)"),
        ("models: 25 steps", "models: 25 steps"),
    ],
)
def test_what_reads_like_a_secret_is_hidden(text, harmless):
    assert report.without_secrets(text) == harmless


def test_names_of_the_user_and_the_machine_are_hidden(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "annabel")
    monkeypatch.setattr(socket, "gethostname", lambda: "render07")
    text = f"{Path.home()}/x /mnt/annabel/y render07 annabelle"
    assert report.without_secrets(text) == "~/x /mnt/(hidden)/y (hidden) annabelle"


def test_it_says_how_things_stand_and_ends_with_the_log(scene):
    backend_link.connect(preferences.backend_settings(), lambda: False)
    token = backend_link._process.handshake.token
    own = bpy.context.preferences.addons["puppet_master"].preferences
    own.index_url = "https://ann:s3cret@mirror.studio/simple"
    own.hub_mirror = "https://ann:s3cret@models.studio"
    text = report.report(backend_state.refresh())
    assert f"Blender {bpy.app.version_string}" in text
    assert "state: Ready" in text
    assert "memory_mode=auto" in text and "models.studio" in text
    assert "listening on http://127.0.0.1" in text
    assert token not in text
    assert "s3cret" not in text
    own.show_log = True
    assert any("listening on" in line for line in backend_state.refresh().log)


def test_models_are_measured_on_a_thread(scene, embedded_model):
    bpy.ops.puppet_master.measure_models()
    tiny = next(model for model in models.measured() if model.name == "tiny")
    assert tiny.size == sum(path.stat().st_size for path in embedded_model.rglob("*") if path.is_file())
    assert len(tiny.hash) == 64
    assert tiny.fault == ""
