# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge against a real HTTP server: good and bad answers, limits, refusals, a dead endpoint, a budget, memory."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from puppet_master.backend.errors import BackendError, InputError
from puppet_master.data_gen.filter.judge import (
    TRIES,
    BadAnswer,
    Judge,
    NoVerdict,
    OutOfBudget,
    Verdict,
    Verdicts,
    contact_sheet,
    parse_verdict,
)

GOOD = '{"realistic": true, "score": 0.9, "reason": "The door swings on its hinge."}'


class Endpoint(ThreadingHTTPServer):
    """Answers with what `answers` holds, one after another; the last one again and again."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def say(self, *words):
        self.answers = [(200, {}, json.dumps({"choices": [{"message": {"content": word}}]})) for word in words]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        answers = self.server.answers
        status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == "silence":
            time.sleep(1.0)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def endpoint():
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def ask(endpoint, tmp_path, waits):
    """A judge with some of its arguments replaced."""

    def make(**changed):
        known = {
            "url": endpoint.url, "model": "vlm", "budget": 100, "verdicts": Verdicts(tmp_path / "verdicts.jsonl"),
            "key": "secret", "timeout": 10.0, "sleep": waits.append,
        }  # fmt: skip
        return Judge(**{**known, **changed})

    return make


PICTURE = contact_sheet(np.zeros((3, 8, 8, 4), np.uint8))


def test_it_sends_the_picture_and_reads_the_verdict(endpoint, ask):
    endpoint.say(GOOD)
    assert ask().judge(PICTURE) == Verdict(True, 0.9, "The door swings on its hinge.")
    path, headers, body = endpoint.requests[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert body["model"] == "vlm"
    text, image = body["messages"][0]["content"]
    assert "JSON" in text["text"]
    prefix, data = image["image_url"]["url"].split(",")
    assert prefix == "data:image/png;base64" and base64.b64decode(data) == PICTURE


def test_without_a_key_no_header_is_sent(endpoint, ask):
    endpoint.say(GOOD)
    ask(key="").judge(PICTURE)
    assert "Authorization" not in endpoint.requests[0][1]


def test_what_was_judged_is_not_asked_again(endpoint, ask, tmp_path):
    endpoint.say(GOOD)
    first = ask().judge(PICTURE, asset="a")
    again = ask(verdicts=Verdicts(tmp_path / "verdicts.jsonl"))
    assert again.judge(PICTURE) == first and again.calls == 0 and len(endpoint.requests) == 1
    other = ask(model="another", verdicts=Verdicts(tmp_path / "verdicts.jsonl"))
    other.judge(PICTURE)
    assert len(endpoint.requests) == 2  # another judge has its own opinion
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert lines[0]["asset"] == "a" and lines[0]["verdict"]["realistic"] is True
    assert "secret" not in (tmp_path / "verdicts.jsonl").read_text()


def test_a_torn_memory_is_gone_on_with(endpoint, ask, tmp_path):
    endpoint.say(GOOD)
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"key": "abc", "verd')
    ask(verdicts=Verdicts(path)).judge(PICTURE)
    judge = ask(verdicts=Verdicts(path))
    judge.judge(PICTURE)
    assert judge.calls == 0


@pytest.mark.parametrize(
    "words",
    [
        "It looks fine to me.",
        '{"realistic": "yes", "score": 0.5, "reason": "x"}',
        '{"realistic": true, "score": 1.5, "reason": "x"}',
        '{"realistic": true, "score": true, "reason": "x"}',
        '{"realistic": true, "score": NaN, "reason": "x"}',
        '{"realistic": true, "score": 0.5, "reason": " "}',
        '{"realistic": true, "score": 0.5}',
        '{"realistic": true, "score": 0.5, "reason": "x", "more": 1}',
        "[true]",
        "Sure! " + GOOD,
        "",
    ],
)
def test_answers_that_are_not_the_json_asked_for_are_no_verdicts(words):
    with pytest.raises(BadAnswer):
        parse_verdict(words)


def test_a_code_fence_is_forgiven():
    assert parse_verdict(f"```json\n{GOOD}\n```").score == 0.9


def test_a_bad_answer_is_asked_again(endpoint, ask, waits):
    endpoint.say("Hm.", '{"realistic": 1}', GOOD)
    judge = ask()
    assert judge.judge(PICTURE).realistic and judge.calls == 3 and waits == []


def test_bad_answers_only_are_no_verdict(endpoint, ask, tmp_path):
    endpoint.say("Hm.")
    judge = ask()
    with pytest.raises(NoVerdict, match="no JSON"):
        judge.judge(PICTURE)
    assert judge.calls == TRIES and not (tmp_path / "verdicts.jsonl").exists()


@pytest.mark.parametrize("text", ["<html>", "{}", '{"choices": []}', '{"choices": [{"message": {"content": null}}]}'])
def test_what_is_no_chat_completion_is_no_verdict(endpoint, ask, text):
    endpoint.answers = [(200, {}, text)]
    with pytest.raises(NoVerdict):
        ask().judge(PICTURE)


def test_it_waits_as_long_as_it_is_told(endpoint, ask, waits):
    good = (200, {}, json.dumps({"choices": [{"message": {"content": GOOD}}]}))
    later = formatdate(time.time() + 20, usegmt=True)
    endpoint.answers = [(429, {"Retry-After": "7"}, ""), (503, {"Retry-After": later}, ""), (500, {}, ""), good]
    judge = ask()
    assert judge.judge(PICTURE).realistic and judge.calls == 4
    assert waits[0] == 7 and 15 < waits[1] <= 20 and waits[2] == 4  # its own waits have doubled meanwhile


def test_it_never_waits_for_hours(endpoint, ask, waits):
    endpoint.answers = [(429, {"Retry-After": "86400"}, "")]
    with pytest.raises(NoVerdict, match="HTTP 429"):
        ask().judge(PICTURE)
    assert waits == [60.0] * (TRIES - 1)


def test_a_server_that_keeps_failing_is_no_verdict(endpoint, ask, waits):
    endpoint.answers = [(500, {}, "oops")]
    with pytest.raises(NoVerdict, match="HTTP 500"):
        ask().judge(PICTURE)
    assert waits == [1, 2, 4]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_ends_it_and_says_what_to_check(endpoint, ask, status):
    endpoint.answers = [(status, {}, '{"error": "no such model"}')]
    judge = ask()
    with pytest.raises(BackendError, match=f"HTTP {status}.*no such model.*check --judge-url") as caught:
        judge.judge(PICTURE)
    assert judge.calls == 1 and "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_redirects_are_not_followed(endpoint, ask):
    endpoint.answers = [(302, {"Location": endpoint.url + "/elsewhere"}, "")]
    with pytest.raises(BackendError, match="HTTP 302"):
        ask().judge(PICTURE)
    assert len(endpoint.requests) == 1


def test_silence_is_no_verdict(endpoint, ask, waits):
    endpoint.answers = [("silence", {}, "")]
    with pytest.raises(NoVerdict):
        ask(timeout=0.1).judge(PICTURE)
    assert len(waits) == TRIES - 1


def test_an_endpoint_that_is_not_there_is_no_verdict(ask):
    with pytest.raises(NoVerdict, match="refused"):
        ask(url="http://127.0.0.1:9/v1").judge(PICTURE)


def test_the_budget_counts_every_request(endpoint, ask):
    endpoint.say("Hm.", GOOD, GOOD)
    judge = ask(budget=3)
    judge.judge(PICTURE)
    judge.judge(contact_sheet(np.ones((1, 8, 8, 4), np.uint8)))
    with pytest.raises(OutOfBudget):
        judge.judge(contact_sheet(np.full((1, 8, 8, 4), 9, np.uint8)))
    assert judge.calls == 3 == len(endpoint.requests)
    assert judge.judge(PICTURE).realistic  # remembered ones cost nothing


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/v1", "cannot be 'ftp"),
        ("host/v1", "cannot be 'host"),
        ("https://user:word@host/v1", "must not hold a password"),
        ("http://example.org/v1", "unencrypted; use https"),
    ],
)
def test_addresses_that_cannot_or_should_not_be_used_are_refused(ask, url, message):
    with pytest.raises(InputError, match=message):
        ask(url=url)


def test_a_full_address_is_taken_as_it_is(endpoint, ask):
    endpoint.say(GOOD)
    ask(url=endpoint.url + "/chat/completions/").judge(PICTURE)
    assert endpoint.requests[0][0] == "/v1/chat/completions"


def test_the_contact_sheet_shows_the_frames_on_white_in_reading_order():
    frames = np.zeros((5, 10, 12, 4), np.uint8)
    frames[..., 3] = 255
    frames[0, ..., 0] = 200
    frames[4, ..., 2] = 200
    frames[1, ..., 3] = 0
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(frames))))
    assert sheet.shape == (2 * 22, 4 * 26, 3)
    assert sheet[5, 5].tolist() == [200, 0, 0] and sheet[27, 5].tolist() == [0, 0, 200]
    assert sheet[5, 31].tolist() == [255, 255, 255] and sheet[40, 90].tolist() == [255, 255, 255]
