# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's HTTP face: `/v1/` on loopback, for the program that started it and nobody else.

Every program and every web page of this machine's users can reach a loopback port. So each request
must carry the token, name a loopback host (a page that rebinds its own name to 127.0.0.1 does not), and
must not come from a page at all (browsers then send an Origin).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import BackendError, InputError, ModelError, PuppetMasterError
from .jobs import JobQueue, NotFinished, UnknownPreview
from .protocol import PreviewRequest
from .wire import FINAL_STATES, MAX_REQUEST_BYTES, Event, Status

KEEP_ALIVE_S = 5.0
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

log = logging.getLogger(__name__)


class TooLarge(InputError):
    """A request body over `MAX_REQUEST_BYTES`."""

    def __init__(self) -> None:
        super().__init__(f"the request is larger than {MAX_REQUEST_BYTES // 2**20} MiB; use a smaller still")


# The most special class comes first.
HTTP_STATUS: tuple[tuple[type[PuppetMasterError], int], ...] = (
    (TooLarge, 413),
    (UnknownPreview, 404),
    (NotFinished, 409),
    (InputError, 422),
    (ModelError, 422),
    (BackendError, 503),
)


def create_app(
    queue: JobQueue,
    token: str,
    health: Callable[[], dict[str, Any]],
    shut_down: Callable[[], None],
) -> FastAPI:
    """The application.

    Args:
        queue: makes the previews.
        token: what every request must carry as `Authorization: Bearer TOKEN`.
        health: the answer to `/v1/health`.
        shut_down: asks the serving process to end; must return at once.
    """
    # The generated documentation pages load scripts from elsewhere; docs/http-api.md has the text.
    app = FastAPI(title="Puppet Master", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, token=token)
    _answer_errors_as_json(app)
    _add_routes(app, queue, health, shut_down)
    return app


class Guard:
    """Refuses, before anything else looks at it, whatever the parent program would not send."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope), scope)
        if refusal is None:
            await self._app(scope, _limited(receive), send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, headers: Headers, scope: Scope) -> Response | None:
        port = (scope.get("server") or ("", 0))[1]
        if headers.get("host", "") not in {f"{name}:{port}" for name in LOOPBACK_NAMES}:
            return _error_response(403, "backend", f"host {headers.get('host', '')!r} is not this backend")
        if "origin" in headers:
            return _error_response(403, "backend", "requests from web pages are refused")
        given = headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization):
            return _error_response(
                401, "backend", "wrong or missing token; it is in the backend's handshake file"
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
            return _error_response(413, "input", str(TooLarge()))
        return None


def _limited(receive: Receive) -> Receive:
    """A body may come without its length told: count it."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_REQUEST_BYTES:
            raise TooLarge
        return message

    return counted


def _add_routes(
    app: FastAPI, queue: JobQueue, health: Callable[[], dict[str, Any]], shut_down: Callable[[], None]
) -> None:
    # Plain `def` routes run in a thread pool: none of them may block the event loop.
    app.get("/v1/health")(health)

    @app.post("/v1/previews", status_code=202)
    async def create(request: Request) -> Status:
        body = await request.body()
        return await run_in_threadpool(lambda: queue.submit(_parse_request(body)))

    @app.get("/v1/previews")
    def previews() -> dict[str, list[Status]]:
        return {"previews": queue.statuses()}

    @app.get("/v1/previews/{preview}")
    def status(preview: str) -> Status:
        return queue.status(preview)

    @app.delete("/v1/previews/{preview}")
    def cancel(preview: str) -> Status:
        return queue.cancel(preview)

    @app.get("/v1/previews/{preview}/events")
    async def events(preview: str, estimates: bool = True) -> StreamingResponse:
        queue.status(preview)  # an unknown one is refused before the stream begins
        stream = _event_stream(queue, preview, estimates)
        return StreamingResponse(
            stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @app.get("/v1/previews/{preview}/frames/{index}.png")
    def frame(preview: str, index: int) -> Response:
        return Response(queue.frame_png(preview, index), media_type="image/png")

    @app.get("/v1/previews/{preview}/preview.mp4")
    def mp4(preview: str) -> Response:
        return Response(queue.mp4(preview), media_type="video/mp4")

    @app.post("/v1/rest", status_code=202)
    def rest() -> dict[str, str]:
        queue.rest()
        return {"status": "resting after the previews that are queued"}

    @app.post("/v1/shutdown")
    def shutdown() -> dict[str, str]:
        shut_down()
        return {"status": "stopping"}


async def _event_stream(queue: JobQueue, preview: str, estimates: bool) -> AsyncIterator[str]:
    """Server-sent events of a preview until its final status."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(event: Event) -> None:
        # The loop is closed when the backend ends in mid-stream: nobody is left to hear.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.put_nowait, event)

    stop = queue.listen(preview, deliver, estimates)
    try:
        while True:
            try:
                event = await asyncio.wait_for(arrived.get(), KEEP_ALIVE_S)
            except TimeoutError:
                yield ": keep-alive\n\n"
                continue
            yield f"event: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
            if event.kind == "status" and event.data["state"] in FINAL_STATES:
                return
    finally:
        stop()


def _parse_request(body: bytes) -> PreviewRequest:
    try:
        document = json.loads(body)
    # RecursionError: brackets nested thousands deep.
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from error
    return PreviewRequest.from_json(document)


def _answer_errors_as_json(app: FastAPI) -> None:
    @app.exception_handler(PuppetMasterError)
    async def known(_: Request, error: PuppetMasterError) -> JSONResponse:
        status = next((status for kind, status in HTTP_STATUS if isinstance(error, kind)), 500)
        return _error_response(status, error.kind, str(error))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _error_response(error.status_code, "backend", str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error_response(422, "input", f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        # Starlette raises the error again after this answer, so its traceback reaches the log.
        message = f"unexpected fault in the backend: {type(error).__name__}: {error}"
        return _error_response(500, PuppetMasterError.kind, message)


def _error_response(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status)
