"""Progress notifications: values only rise, a standstill still shows life, and no one who did not ask hears any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evaltasks.edge.clock import Clock

# A host that hears nothing for long gives a call up; a standstill is therefore reported again after this time.
ALIVE_SECONDS = 10.0
# The protocol wants every value higher than the last, so a repeated one is raised by a trifle.
TRIFLE = 0.001

Send = Callable[[float, float | None, str | None], Awaitable[None]]


class MonotonicProgress:
    """Passes a report on when it is news. `send` is the SDK's own, silent when the client sent no token."""

    def __init__(self, send: Send, time: Clock) -> None:
        self._send = send
        self._time = time
        self._last: float | None = None
        self._sent_at = 0.0

    async def report(self, done: float, total: float | None, message: str) -> None:
        """Send, or stay silent when the value fell, or when it stands still and was said a moment ago."""
        now = self._time.monotonic_seconds()
        value = done
        if self._last is not None and done <= self._last:
            if now - self._sent_at < ALIVE_SECONDS:
                return
            value = self._last + TRIFLE
            if total is not None and value > total:
                return
        self._last, self._sent_at = value, now
        await self._send(value, total, message)


class SilentProgress:
    """For work no one watches."""

    async def report(self, done: float, total: float | None, message: str) -> None:
        del done, total, message
