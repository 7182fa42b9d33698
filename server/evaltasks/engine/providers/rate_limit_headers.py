"""What a provider tells about its limits along with its answers.

OpenAI's headers, which others have taken over: for requests and for tokens `x-ratelimit-limit-…`, `-remaining-…` and
`-reset-…`, the time until all of the limit is there again. So what is gone comes back within the reset: that is a rate,
whether the limit is one by the second or by the day. Tokens are turned into calls by what the calls used so far.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)?")
_LIMITS = frozenset({"x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"})
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """How many more calls would be accepted now, and how many a second come back."""

    calls_left: float
    calls_per_second: float


def rate_limit_status_from(headers: Mapping[str, str], tokens_per_call: float | None) -> RateLimitStatus | None:
    """The scarcer of requests and tokens; None when the headers tell nothing, or nothing is used up."""
    if _LIMITS.isdisjoint(headers):
        return None
    found = list(_reported_statuses(headers, tokens_per_call))
    return min(found, key=lambda one: one.calls_left) if found else None


def _reported_statuses(headers: Mapping[str, str], tokens_per_call: float | None) -> Iterator[RateLimitStatus]:
    for resource, each in (("requests", 1.0), ("tokens", tokens_per_call)):
        limit = _number(headers.get(f"x-ratelimit-limit-{resource}"))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{resource}"))
        reset = seconds_of(headers.get(f"x-ratelimit-reset-{resource}"))
        if limit is None or remaining is None or not reset or not each or remaining >= limit:
            continue
        yield RateLimitStatus(remaining / each, (limit - remaining) / reset / each)


def seconds_of(text: str | None) -> float | None:
    """`6m0s`, `12ms`, `1h2m3.5s`, or a number of seconds; None for anything else (a date, say)."""
    parts = _PART.findall(text or "")
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    if any(not unit for _, unit in parts) and len(parts) > 1:
        return None
    return sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
