# SPDX-License-Identifier: GPL-3.0-or-later
"""A second opinion: a vision-language model looks at a contact sheet and says whether the motion is plausible.

Any endpoint that speaks OpenAI's chat completions will do. Nothing is sent unless a URL is given; the key comes from
an environment variable and is sent to that URL alone (redirects are refused, and so is a key over plain HTTP to
another machine). Verdicts are kept by what was shown and asked, so no picture is paid for twice.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from ...backend.errors import BackendError, InputError, OutputError
from ...backend.png import encode_png

KEY_VARIABLE = "PUPPET_MASTER_JUDGE_KEY"
TRIES = 4  # for one picture
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between tries, doubling
TIMEOUT = 60.0
LONGEST_ANSWER = 200_000  # bytes
LOOPBACK = ("127.0.0.1", "localhost", "::1")
COLUMNS = 4
ENLARGED = 2  # strips are small for such models

PROMPT = (
    "The picture shows frames of one 3D animation in reading order: left to right, top to bottom. Judge the motion "
    "as training material for a model that learns how parts of objects move. It is realistic if the parts move as "
    "they could on such an object, stylised or not: hinged, sliding, bending or deforming plausibly. It is not "
    "realistic if parts fly apart, pass through each other, jump, tear, melt or move at random, if the object cannot "
    "be made out, or if it only moves or turns as a whole. Answer with one JSON object and nothing else: "
    '{"realistic": true or false, "score": a number from 0 (surely not) to 1 (surely), "reason": "one short sentence"}'
)


@dataclass(frozen=True)
class Verdict:
    """What the judge says of an animation."""

    realistic: bool
    score: float
    reason: str


class BadAnswer(ValueError):
    """The model's answer is not the JSON that was asked for."""


class OutOfBudget(Exception):
    """No more calls are allowed."""


class NoVerdict(Exception):
    """All tries failed for this picture; others may still succeed."""


def contact_sheet(frames: NDArray[np.uint8]) -> bytes:
    """A PNG of frames `[N, H, W, 4]` on white, in reading order."""
    alpha = frames[..., 3:].astype(np.uint16)
    flat = ((frames[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    flat = np.repeat(np.repeat(flat, ENLARGED, axis=1), ENLARGED, axis=2)
    count, height, width, _ = flat.shape
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 255, np.uint8)
    for index, frame in enumerate(flat):
        top, left = index // columns * (height + 2), index % columns * (width + 2)
        sheet[top : top + height, left : left + width] = frame
    return encode_png(sheet)


def parse_verdict(text: str) -> Verdict:
    """Read the model's answer: one JSON object of exactly the fields asked for, fenced as code or not.

    Raises:
        BadAnswer: anything else.
    """
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    try:
        data = json.loads(fenced[1] if fenced else text)
    except ValueError as error:
        raise BadAnswer(f"no JSON: {text[:80]!r}") from error
    if not isinstance(data, dict) or set(data) != {"realistic", "score", "reason"}:
        raise BadAnswer(f"not the fields realistic, score and reason: {text[:80]!r}")
    realistic, score, reason = data["realistic"], data["score"], data["reason"]
    if not isinstance(realistic, bool):
        raise BadAnswer(f"realistic is {realistic!r}, not true or false")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise BadAnswer(f"score is {score!r}, not a number from 0 to 1")
    if not isinstance(reason, str) or not reason.strip():
        raise BadAnswer(f"reason is {reason!r}, not a sentence")
    return Verdict(realistic, float(score), " ".join(reason.split()))


class Verdicts:
    """Verdicts on disk, one JSON line each, by what was shown and asked."""

    def __init__(self, path: Path) -> None:
        """Read what is there; lines that are torn are passed over."""
        self._path = path
        self._known: dict[str, Verdict] = {}
        try:
            lines = path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise InputError(f"cannot read verdicts {path}: {error.strerror}; remove the file") from error
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = parse_verdict(json.dumps(entry["verdict"]))
            except (ValueError, KeyError, TypeError):  # torn by a kill: the picture is judged again
                continue

    def get(self, key: str) -> Verdict | None:
        """The verdict kept under a key."""
        return self._known.get(key)

    def add(self, key: str, verdict: Verdict, **about: Any) -> None:
        """Keep a verdict.

        Raises:
            OutputError: it cannot be written.
        """
        self._known[key] = verdict
        line = json.dumps({"key": key, "verdict": asdict(verdict), **about}, ensure_ascii=False)
        try:
            with self._path.open("a+b") as stream:
                stream.seek(0, 2)
                if stream.tell():
                    stream.seek(-1, 2)
                    line = line if stream.read(1) == b"\n" else "\n" + line
                stream.write(line.encode() + b"\n")
                stream.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}; make room") from error


class Judge:
    """Asks a vision-language model.

    Attributes:
        calls: requests sent so far.
    """

    def __init__(
        self,
        url: str,
        model: str,
        budget: int,
        verdicts: Verdicts,
        key: str = "",
        timeout: float = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            url: the endpoint's base, such as https://HOST/v1.
            model: the model's name there.
            budget: requests that may be sent, tries included.
            verdicts: what is known already.
            key: sent as a bearer token; empty: none.
            timeout: seconds that one request may take.
            sleep: waits between tries.

        Raises:
            InputError: the URL cannot be used.
        """
        self._url, self._model, self._budget = _endpoint(url, bool(key)), model, budget
        self._verdicts, self._key, self._timeout, self._sleep = verdicts, key, timeout, sleep
        self._open = _opener(self._url)
        self.calls = 0

    def judge(self, picture: bytes, **about: Any) -> Verdict:
        """The verdict on a PNG, from memory where it was asked before.

        Args:
            picture: the contact sheet.
            about: JSON values kept beside the verdict.

        Raises:
            OutOfBudget: no call is left.
            NoVerdict: the endpoint did not answer usefully, however often it was asked.
            BackendError: it refuses the request: key, model name or URL are wrong.
            OutputError: the verdict cannot be kept.
        """
        key = hashlib.sha256(b"\0".join((PROMPT.encode(), self._model.encode(), picture))).hexdigest()
        known = self._verdicts.get(key)
        if known is None:
            known = self._ask(picture)
            self._verdicts.add(key, known, model=self._model, **about)
        return known

    def _ask(self, picture: bytes) -> Verdict:
        fault, wait = "", FIRST_WAIT
        for attempt in range(TRIES):
            if self.calls >= self._budget:
                raise OutOfBudget
            self.calls += 1
            pause = 0.0
            try:
                return parse_verdict(self._send(picture))
            except BadAnswer as error:
                fault = str(error)  # asked again at once: a model may answer otherwise
            except urllib.error.HTTPError as error:
                fault = f"HTTP {error.code}"
                if error.code not in (408, 409, 425, 429) and error.code < 500:
                    raise BackendError(
                        f"the judge at {self._url} refuses the request: {fault}, {_words(error)}; "
                        f"check --judge-url, --judge-model and {KEY_VARIABLE}"
                    ) from error
                pause = _retry_after(error.headers) or wait
            except (OSError, http.client.HTTPException) as error:
                fault, pause = str(getattr(error, "reason", error)) or type(error).__name__, wait
            if pause and attempt + 1 < TRIES:
                self._sleep(min(pause, LONGEST_WAIT))
                wait *= 2
        raise NoVerdict(fault)

    def _send(self, picture: bytes) -> str:
        """One request; gives the model's words."""
        image = "data:image/png;base64," + base64.b64encode(picture).decode()
        content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": image}}]
        messages = [{"role": "user", "content": content}]
        body = {"model": self._model, "messages": messages, "temperature": 0, "max_tokens": 300}
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        with self._open(request, timeout=self._timeout) as response:
            answer = response.read(LONGEST_ANSWER)
        try:
            words = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise BadAnswer(f"no chat completion: {answer[:80]!r}") from error
        if not isinstance(words, str):
            raise BadAnswer("an answer without words")
        return words


def _endpoint(url: str, has_key: bool) -> str:
    """The address to post to.

    Raises:
        InputError: it is none, or a key would travel in the open.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--judge-url cannot be {url!r}; give an address such as https://HOST/v1")
    if parts.username or parts.password:
        raise InputError(f"--judge-url must not hold a password; set {KEY_VARIABLE}")
    if has_key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise InputError(f"--judge-url {url} would send the key unencrypted; use https")
    base = url.rstrip("/")
    return base if base.endswith("/chat/completions") else base + "/chat/completions"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key and the picture to another place than the one given."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Refuse: the redirect comes back as an error."""
        return None


def _opener(url: str) -> Callable[..., Any]:
    handlers: list[Any] = [_NoRedirects()]
    if urlsplit(url).hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers).open


def _words(error: urllib.error.HTTPError) -> str:
    """What a refusal says, shortened to a line."""
    try:
        text = error.read(2000).decode("utf-8", "replace")
    except OSError:
        text = ""
    return " ".join(text.split())[:200] or error.reason


def _retry_after(headers: Message) -> float | None:
    """Seconds that the endpoint asks to wait, given as a number or a date."""
    value = headers.get("Retry-After")
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
