"""How long the body of a request may take, and how much of all bodies is held at once.

A client that sends a byte now and then would otherwise keep its request open for ever. Only the time that is spent
waiting for the client counts, and what it did send buys more of it: a large body over a slow line comes through, one
that does not come does not. How large one body may be is a matter of its route (`request_body`).
"""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaltasks.api.problems import BadRequest, Unavailable

GRACE_SECONDS = 10.0
BYTES_PER_SECOND_MIN = 16 * 1024
BYTES_IN_HAND_MAX = 512 * 2**20
_RETRY_SECONDS = 1


class TooSlow(BadRequest):
    """The body did not come in time."""

    status = 408
    title = "Request Timeout"


class BodyLimits:
    """ASGI middleware. What it finds is raised out of `receive`, so that each route answers in its own protocol."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        grace_seconds: float = GRACE_SECONDS,
        bytes_per_second_min: int = BYTES_PER_SECOND_MIN,
        bytes_in_hand_max: int = BYTES_IN_HAND_MAX,
    ) -> None:
        self._app = app
        self._grace_seconds = grace_seconds
        self._bytes_per_second_min = bytes_per_second_min
        self._bytes_in_hand_max = bytes_in_hand_max
        self._bytes_in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken_bytes = 0
        waited_seconds = 0.0
        is_whole = False

        async def bounded() -> Message:
            nonlocal taken_bytes, waited_seconds, is_whole
            if is_whole:
                return await receive()
            began = anyio.current_time()
            message: Message | None = None
            allowed_seconds = self._grace_seconds + taken_bytes / self._bytes_per_second_min
            with anyio.move_on_after(allowed_seconds - waited_seconds):
                message = await receive()
            if message is None:
                raise TooSlow("The body of the request did not come in time; the connection is closed.")
            waited_seconds += anyio.current_time() - began
            size = len(message.get("body", b""))
            taken_bytes += size
            self._bytes_in_hand += size
            is_whole = not message.get("more_body", False)
            if self._bytes_in_hand > self._bytes_in_hand_max:
                raise Unavailable(
                    "The engine holds as many bodies of requests as it can; send this one again.",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._bytes_in_hand -= taken_bytes
