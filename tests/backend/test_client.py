# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against a real server, and against ports that answer badly or not at all."""

import base64
import socket
import threading

import pytest
from puppet_master.backend import client as client_module
from puppet_master.backend import media, server
from puppet_master.backend.client import BackendClient
from puppet_master.backend.errors import BackendError, InputError, ModelError


@pytest.fixture
def answering():
    """A port whose every connection gets the bytes given and is then closed."""
    servers = []

    def serve(*answers):
        listening = socket.create_server(("127.0.0.1", 0))
        servers.append(listening)

        def run():
            for answer in answers:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return listening.getsockname()[1]

    yield serve
    for listening in servers:
        listening.close()


def test_a_preview_from_submission_to_result(client, make_request):
    preview = client.submit(make_request(seed=3))
    events = list(client.events(preview))
    assert events[0].kind == "status"
    assert events[-1].data["state"] == "done"
    assert client.status(preview)["result"]["seed"] == 3
    assert media.decode_png(client.frame_png(preview, 0)).shape == (20, 30, 3)
    assert client.mp4(preview)[4:8] == b"ftyp"
    assert [status["id"] for status in client.previews()] == [preview]
    assert client.health()["status"] == "ok"


def test_estimates_arrive_while_the_preview_runs(client, pipeline, make_request):
    pipeline.free.clear()
    preview = client.submit(make_request())
    seen = []
    for event in client.events(preview):
        pipeline.free.set()
        seen.append(event)
    strip = next(event.data for event in seen if event.kind == "estimate")
    assert media.decode_png(base64.b64decode(strip["frames_png"])).shape == (20, 120, 3)


def test_estimates_can_be_declined(client, pipeline, make_request):
    events = list(client.events(client.submit(make_request()), estimates=False))
    assert {event.kind for event in events} == {"status"}
    assert pipeline.estimates == 0


def test_cancelling_ends_the_events(client, pipeline, make_request):
    pipeline.free.clear()
    preview = client.submit(make_request())
    states = []
    for event in client.events(preview):
        client.cancel(preview)
        states.append(event.data["state"])
    assert states[-1] == "cancelled"


def test_errors_come_back_as_their_classes(client, pipeline, make_request):
    with pytest.raises(BackendError, match="there is no preview nowhere"):
        client.status("nowhere")
    with pytest.raises(BackendError, match="there is no preview nowhere"):
        list(client.events("nowhere"))
    pipeline.fault = ModelError("vae/config.json is missing")
    status = list(client.events(client.submit(make_request())))[-1].data
    assert status["error"] == {"kind": "model", "message": "vae/config.json is missing"}


def test_a_wrong_token_is_a_backend_error(port):
    with pytest.raises(BackendError, match="wrong or missing token"):
        BackendClient(port, "guess").health()


def test_a_request_too_large_is_refused_before_it_is_sent(client, make_request, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_REQUEST_BYTES", 100)
    with pytest.raises(InputError, match="use a smaller still"):
        client.submit(make_request())


def test_a_server_that_refuses_the_size_is_understood(client, make_request, monkeypatch):
    monkeypatch.setattr(server, "MAX_REQUEST_BYTES", 100)
    with pytest.raises(InputError, match="use a smaller still"):
        client.submit(make_request())


def test_nobody_at_the_port_is_a_backend_error_that_names_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BackendError, match=f"port {port} does not answer"):
        BackendClient(port, "x").health()


def test_the_reason_why_the_process_stopped_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    dead = BackendClient(port, "x", lambda: "the backend stopped: signal SIGKILL; its log: /logs/1")
    with pytest.raises(BackendError, match="SIGKILL; its log"):
        dead.health()
    with pytest.raises(BackendError, match="SIGKILL; its log"):
        list(dead.events("any"))


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"", "does not answer"),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "not answer like a backend"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\noops", "HTTP 502: oops"),
    ],
)
def test_another_program_at_the_port_is_a_backend_error(answering, answer, said):
    with pytest.raises(BackendError, match=said):
        BackendClient(answering(answer), "x").health()


def test_a_broken_event_stream_is_opened_again(answering):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    running = b'event: status\ndata: {"state": "running"}\n\n'
    done = b': keep-alive\n\nevent: status\ndata: {"state": "done"}\n\n'
    client = BackendClient(answering(head + running, head[:30], head + done), "x")
    assert [event.data["state"] for event in client.events("id")] == ["running", "done"]


def test_a_stream_that_keeps_breaking_is_given_up(answering):
    client = BackendClient(answering(*[b""] * 9), "x")
    with pytest.raises(BackendError, match="does not answer"):
        list(client.events("id"))


def test_keep_alives_carry_a_stream_over_a_long_step(client, pipeline, make_request, monkeypatch):
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(client_module, "STREAM_SILENCE_S", 0.5)
    monkeypatch.setattr(client_module, "RECONNECTS", 0)
    pipeline.free.clear()
    preview = client.submit(make_request())
    threading.Timer(1.2, pipeline.free.set).start()
    assert [event.data["state"] for event in client.events(preview, estimates=False)][-1] == "done"
