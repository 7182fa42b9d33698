"""Rate limits that a provider reports in the headers of its answers.

OpenAI's headers, which other providers use as well: `x-ratelimit-limit-…`, `x-ratelimit-remaining-…` and
`x-ratelimit-reset-…` for requests and for tokens. The reset is the time until the whole limit is available again, so
what is used up returns within that time: this is a rate, whether the limit is one per second or per day. Tokens are
converted to calls by the number of tokens that calls have used so far.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)?")
_LIMITS = frozenset({"x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"})
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """What is left of a provider's rate limit.

    Attributes:
        calls_left: How many more calls would be accepted now.
        calls_per_second: How many calls become available again per second.
    """

    calls_left: float
    calls_per_second: float


def rate_limit_status_from(headers: Mapping[str, str], tokens_per_call: float | None) -> RateLimitStatus | None:
    """Read the rate limit status from the headers of an answer.

    Args:
        headers: The headers, by lower-case name.
        tokens_per_call: How many tokens a call uses; None when unknown, and then the token limit is ignored.

    Returns:
        The status of requests or of tokens, whichever allows fewer calls. None when the headers report no limit, or
        when nothing of it is used up.
    """
    if _LIMITS.isdisjoint(headers):
        return None
    statuses = list(_reported_statuses(headers, tokens_per_call))
    return min(statuses, key=lambda status: status.calls_left) if statuses else None


def _reported_statuses(headers: Mapping[str, str], tokens_per_call: float | None) -> Iterator[RateLimitStatus]:
    for resource, units_per_call in (("requests", 1.0), ("tokens", tokens_per_call)):
        limit = _number(headers.get(f"x-ratelimit-limit-{resource}"))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{resource}"))
        reset_seconds = parse_duration_seconds(headers.get(f"x-ratelimit-reset-{resource}"))
        if limit is None or remaining is None or not reset_seconds or not units_per_call or remaining >= limit:
            continue
        yield RateLimitStatus(remaining / units_per_call, (limit - remaining) / reset_seconds / units_per_call)


def parse_duration_seconds(text: str | None) -> float | None:
    """Parse a duration such as `6m0s`, `12ms`, `1h2m3.5s` or a plain number of seconds.

    Returns:
        The seconds; None for any other text, such as a date.
    """
    parts = _DURATION_PART.findall(text or "")
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
