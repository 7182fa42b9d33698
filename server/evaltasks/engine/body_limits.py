"""Time limit of a request body, and memory limit of all bodies together.

Without a time limit, a client that sends a byte now and then keeps its request open for ever. Only the time spent
waiting for the client counts, and every byte received extends the limit: a large body over a slow line passes, a
stalled one does not. Each route limits the size of one body (`request_body`).
"""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaltasks.api.problems import BadRequest, Unavailable

GRACE_SECONDS = 10.0
BYTES_PER_SECOND_MIN = 16 * 1024
BUFFERED_BYTES_MAX = 512 * 2**20
_RETRY_SECONDS = 1


class TooSlow(BadRequest):
    """408: the body was not received in time."""

    status = 408
    title = "Request Timeout"


class BodyLimits:
    """ASGI middleware that enforces both limits.

    Its errors are raised by `receive`, so that each route answers in its own protocol.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        grace_seconds: float = GRACE_SECONDS,
        bytes_per_second_min: int = BYTES_PER_SECOND_MIN,
        buffered_bytes_max: int = BUFFERED_BYTES_MAX,
    ) -> None:
        self._app = app
        self._grace_seconds = grace_seconds
        self._bytes_per_second_min = bytes_per_second_min
        self._buffered_bytes_max = buffered_bytes_max
        self._buffered_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_bytes = 0
        waited_seconds = 0.0
        is_complete = False

        async def bounded() -> Message:
            nonlocal received_bytes, waited_seconds, is_complete
            if is_complete:
                return await receive()
            started = anyio.current_time()
            message: Message | None = None
            allowed_seconds = self._grace_seconds + received_bytes / self._bytes_per_second_min
            with anyio.move_on_after(allowed_seconds - waited_seconds):
                message = await receive()
            if message is None:
                raise TooSlow("The request body was not received in time; the connection is closed.")
            waited_seconds += anyio.current_time() - started
            size = len(message.get("body", b""))
            received_bytes += size
            self._buffered_bytes += size
            is_complete = not message.get("more_body", False)
            if self._buffered_bytes > self._buffered_bytes_max:
                raise Unavailable(
                    "The engine has no memory left for request bodies; send the request again later.",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._buffered_bytes -= received_bytes
