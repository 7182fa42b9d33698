"""Time comes in by argument, so that a test can turn it by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Wall time for records, monotonic time for bounds, and sleeping."""

    def now(self) -> datetime: ...

    def monotonic_seconds(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        # The event loop's own clock, which worker threads may not ask for.
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC: the one unit of time in the store."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def from_us_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)


def moved_us(before_us: int, now_us: int) -> int:
    """The new `updated_us` of a record that changes: now, but at least one second after the last change.

    A published client caches rows by id and `updated_at` cut to whole seconds; two changes inside one second would
    make it show stale rows.
    """
    return max(now_us, before_us + 1_000_000)
