# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP face, spoken to as any program on the machine could: with raw requests over loopback."""

import http.client
import io
import json
import socket

import av
import pytest
from PIL import Image
from puppet_master.backend.wire import MAX_REQUEST_BYTES


@pytest.fixture
def ask(port, token):
    """Send a request; `(status, body)`, the body parsed where it is JSON. A header of None is left out."""

    def send(method, path, body=None, **headers):
        told = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {token}"}
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        for name, value in told.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return answer.status, json.loads(data) if is_json else data

    return send


@pytest.fixture
def submitted(ask, make_request):
    """Ask for a preview over HTTP; its id."""

    def submit(seed=0):
        status, body = ask("POST", "/v1/previews", json.dumps(make_request(seed).to_json()).encode())
        assert status == 202
        assert body["state"] == "queued"
        return body["id"]

    return submit


@pytest.fixture
def finished(ask, until):
    def wait(preview):
        until(lambda: ask("GET", f"/v1/previews/{preview}")[1]["state"] in ("done", "failed", "cancelled"))
        return ask("GET", f"/v1/previews/{preview}")[1]

    return wait


@pytest.mark.parametrize("token_given", [None, "", "Bearer", "Bearer wrong", "Basic the right token", "é"])
@pytest.mark.parametrize("method, path", [("GET", "/v1/health"), ("POST", "/v1/shutdown"), ("GET", "/")])
def test_without_the_right_token_nothing_is_answered(ask, method, path, token_given):
    status, body = ask(method, path, Authorization=token_given)
    assert status == 401
    assert body["error"]["kind"] == "backend"
    assert "token" in body["error"]["message"]


@pytest.mark.parametrize(
    "host",
    [None, "", "example.com", "127.0.0.1", "127.0.0.1:1", "localhost.example.com:{port}", "10.0.0.1:{port}"],
)
def test_a_foreign_host_is_refused_even_with_the_token(ask, port, host):
    status, body = ask("GET", "/v1/health", Host=host and host.format(port=port))
    # Without any Host the HTTP layer itself may answer, before our code.
    assert status in (403, 400) if host is None else status == 403, body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
def test_loopback_names_are_answered(ask, port, host):
    assert ask("GET", "/v1/health", Host=host.format(port=port))[0] == 200


@pytest.mark.parametrize("origin", ["null", "http://localhost", "https://example.com"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_web_pages_are_refused_even_with_the_token(ask, method, origin):
    assert ask(method, "/v1/health", Origin=origin)[0] == 403


def test_a_preview_from_request_to_frames_and_mp4(ask, submitted, finished):
    preview = submitted(seed=7)
    status = finished(preview)
    assert status["state"] == "done"
    assert status["result"]["seed"] == 7
    assert [entry["id"] for entry in ask("GET", "/v1/previews")[1]["previews"]] == [preview]

    code, png = ask("GET", f"/v1/previews/{preview}/frames/2.png")
    assert code == 200
    assert Image.open(io.BytesIO(png)).size == (30, 20)
    code, mp4 = ask("GET", f"/v1/previews/{preview}/preview.mp4")
    with av.open(io.BytesIO(mp4)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 4


def test_a_queued_and_a_running_preview_are_cancelled(pipeline, ask, submitted, finished, until):
    pipeline.free.clear()
    running, queued = submitted(), submitted()
    until(lambda: pipeline.started)
    code, body = ask("DELETE", f"/v1/previews/{queued}")
    assert (code, body["state"]) == (200, "cancelled")
    assert ask("DELETE", f"/v1/previews/{running}")[0] == 200
    assert finished(running)["state"] == "cancelled"


def test_frames_of_an_unfinished_preview_are_a_conflict(pipeline, ask, submitted):
    pipeline.free.clear()
    code, body = ask("GET", f"/v1/previews/{submitted()}/frames/0.png")
    assert code == 409
    assert "no frames" in body["error"]["message"]


@pytest.mark.parametrize(
    "method, path, code",
    [
        ("GET", "/v1/previews/none", 404),
        ("DELETE", "/v1/previews/none", 404),
        ("GET", "/v1/previews/none/events", 404),
        ("GET", "/v1/previews/none/preview.mp4", 404),
        ("GET", "/v1/previews/none/frames/x.png", 422),
        ("GET", "/v2/health", 404),
        ("PUT", "/v1/health", 405),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
def test_wrong_addresses_are_answered_with_json_errors(ask, method, path, code):
    status, body = ask(method, path)
    assert status == code
    assert set(body["error"]) == {"kind", "message"}


@pytest.mark.parametrize(
    "body, said",
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be an object"),
        (b'{"version": 9}', "version is 9"),
        (b'{"version": 1, "still_png": "?"}', "base64"),
        (b'{"version": 1, "still_png": "QUJD", "steps": 0}', "steps = 0"),
        (b'{"version": 1, "still_png": "QUJD", "drags": [{"name": "a", "points": []}]}', "at least two"),
        (b'{"version": 1, "still_png": "QUJD", "guidance": [NaN, 1]}', "must be finite"),
    ],
)
def test_bad_requests_are_refused_with_a_message_that_names_the_fault(ask, body, said):
    status, answer = ask("POST", "/v1/previews", body)
    assert status == 422
    assert answer["error"]["kind"] == "input"
    assert said in answer["error"]["message"]


def test_an_oversize_request_is_refused_by_its_length_alone(ask):
    status, body = ask("POST", "/v1/previews", b"", Content_Length=str(MAX_REQUEST_BYTES + 1))
    assert status == 413
    assert body["error"]["kind"] == "input"
    assert body["error"]["message"] == "the request is larger than 64 MiB; use a smaller still"


def test_an_oversize_request_that_hides_its_length_is_refused(port, token):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        head = f"POST /v1/previews HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(MAX_REQUEST_BYTES // 0x100000 + 2):
                connection.sendall(chunk)
        except OSError:
            pass  # the server may hang up on the rest
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_events_are_a_stream_that_ends_with_the_final_status(pipeline, ask, submitted):
    pipeline.free.set()
    preview = submitted()
    code, body = ask("GET", f"/v1/previews/{preview}/events")
    assert code == 200
    blocks = [block for block in body.decode().split("\n\n") if block and not block.startswith(":")]
    kinds = [block.split("\n")[0] for block in blocks]
    assert set(kinds) <= {"event: status", "event: estimate"}
    assert json.loads(blocks[-1].split("data: ")[1])["state"] == "done"


def test_a_fault_in_a_route_is_answered_and_logged(queue, ask, monkeypatch, caplog, until):
    def broken():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(queue, "statuses", broken)
    status, body = ask("GET", "/v1/previews")
    assert status == 500
    assert body["error"]["kind"] == "error"
    assert "ZeroDivisionError" in body["error"]["message"]
    until(lambda: "Traceback" in caplog.text)  # logged after the answer is sent
