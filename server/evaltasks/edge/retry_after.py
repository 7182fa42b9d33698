"""Reads how long an HTTP response asks its sender to wait before the next attempt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds from `retry-after-ms` (which OpenAI sends) or, without a valid one, `Retry-After`.

    Args:
        headers: The response headers. Lookups must ignore case, or the names must be in lower case.
        now: The moment from which an HTTP date in `Retry-After` is counted.

    Returns:
        Zero or more seconds; None if neither header has a valid value.
    """
    milliseconds = _finite_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    return parse_retry_after(headers.get("retry-after"), now)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait in seconds from the value of `Retry-After` (RFC 9110, section 10.2.3).

    Args:
        value: A number of seconds (fractions are accepted) or an HTTP date; None if the header is missing.
        now: The moment from which an HTTP date is counted.

    Returns:
        Zero or more seconds; None if the value is missing, invalid or infinite.
    """
    seconds = _finite_number(value)
    if seconds is None:
        until = parse_http_date(value)
        if until is None:
            return None
        seconds = (until - now).total_seconds()
    return max(0.0, seconds)


def parse_http_date(value: str | None) -> datetime | None:
    """Return the moment of an HTTP date with its timezone (UTC if it has none); None if missing or invalid."""
    try:
        moment = parsedate_to_datetime(value) if value else None
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _finite_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
