"""The clock that engine and tools take as an argument, so that tests can control time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """Wall time for records, monotonic time for time limits, and sleeping."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds of a clock that never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Return seconds of a clock that never goes backwards."""
        # Not the event loop's clock: worker threads cannot read it.
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        await anyio.sleep(seconds)
