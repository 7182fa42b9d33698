"""How long an HTTP response asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.edge.retry_after import parse_http_date, parse_retry_after, retry_after_seconds

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0), ("1.5", 1.5), (" 3 ", 3.0), ("-5", 0.0), ("soon", None), ("", None), (None, None),
        ("inf", None), ("nan", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Foo 2015", None),
        ("Thu, 01 Jan 2026 12:00:20 GMT", 20.0), ("Thu, 01 Jan 2026 12:00:20 -0000", 20.0),
        ("Thu, 01 Jan 2026 13:00:20 +0100", 20.0),
    ],
)  # fmt: skip
def test_parse_retry_after_reads_seconds_and_dates_and_ignores_the_rest(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5), ({"retry-after": "9"}, 9.0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0), ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "-5", "retry-after": "9"}, 0.0),
    ],
)  # fmt: skip
def test_retry_after_seconds_prefers_milliseconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds


@given(value=st.text(max_size=40))
def test_parse_retry_after_never_raises_and_is_never_negative(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


def test_parse_http_date_assumes_utc() -> None:
    assert parse_http_date("Thu, 01 Jan 2026 12:00:00 -0000") == NOW
