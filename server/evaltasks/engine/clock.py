"""Conversion between datetimes and the store's unit of time, microseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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
