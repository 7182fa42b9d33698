"""The request log: one line per request, for the operator of a shared engine.

    GET /v2/tasks 200 3.1 ms, 0 bytes in, 512 out, key 1f0c2e9d, request 8a1b…

A line contains neither headers, nor the body, nor the query, because those may contain secrets and user content. The
path is shown as it was sent, percent-encoded; other characters are escaped, so that a request cannot inject log lines.
The response header `x-request-id` has the id of the request.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaltasks.engine.keys import CALLER

logger = logging.getLogger("evaltasks.requests")

REQUEST_ID = "x-request-id"
_PATH_CHARACTERS_MAX = 200
_METHOD_CHARACTERS_MAX = 16


class RequestLog:
    """ASGI middleware that logs requests; it wraps the middleware that refuses some, so that those are logged too."""

    def __init__(self, app: ASGIApp, now: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._now()
        request_id = secrets.token_hex(8)
        bytes_in = bytes_out = 0
        status: int | None = None

        async def counting_in() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def counting_out(message: Message) -> None:
            nonlocal bytes_out, status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counting_in, counting_out)
        finally:
            logger.info(
                "%s %s %s %.1f ms, %d bytes in, %d out, key %s, request %s",
                _plain(scope["method"], _METHOD_CHARACTERS_MAX),
                _plain(_path(scope), _PATH_CHARACTERS_MAX),
                # The connection was closed, or the app failed, before there was a response.
                "unanswered" if status is None else status,
                (self._now() - started) * 1000,
                bytes_in,
                bytes_out,
                scope.get(CALLER, "not asked"),
                request_id,
            )


def _path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    # Some servers leave the query in it.
    return raw.partition(b"?")[0].decode("latin-1") if raw is not None else quote(scope["path"])


def _plain(text: str, characters_max: int) -> str:
    shown = "".join(character if "!" <= character <= "~" else f"\\x{ord(character):02x}" for character in text)
    return shown if len(shown) <= characters_max else f"{shown[:characters_max]}…"
