"""Progress notifications with rising values, which are also sent at intervals if nothing changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evaltasks.edge.clock import Clock

# Hosts time out without notifications, so unchanged progress is sent again after this time.
REPEAT_SECONDS = 10.0
# The protocol requires every value to be higher than the last, so a repeated one is raised by this.
INCREMENT = 0.001

Send = Callable[[float, float | None, str | None], Awaitable[None]]


class MonotonicProgress:
    """Sends progress if it changed. `send` is the SDK's function, which does nothing without a progress token."""

    def __init__(self, send: Send, time: Clock) -> None:
        self._send = send
        self._time = time
        self._last: float | None = None
        self._sent_at = 0.0

    async def report(self, done: float, total: float | None, message: str) -> None:
        """Send the progress, unless it decreased, or is unchanged and was sent a moment ago."""
        now = self._time.monotonic_seconds()
        value = done
        if self._last is not None and done <= self._last:
            if now - self._sent_at < REPEAT_SECONDS:
                return
            value = self._last + INCREMENT
            if total is not None and value > total:
                return
        self._last, self._sent_at = value, now
        await self._send(value, total, message)


class SilentProgress:
    """Sends no progress."""

    async def report(self, done: float, total: float | None, message: str) -> None:
        del done, total, message
