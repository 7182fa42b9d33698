"""Rate limit of requests (`--rate-limit`), to test how a client handles 429.

It is not a protection: without it, an engine serves as many requests as it can. Only the command line sets the rate.

The algorithm is GCRA, a leaky bucket: for each caller the limiter keeps the theoretical arrival time, at which all
requests granted so far would be used up at the rate. Each request moves it by one interval. A request that would move
it further ahead than the burst allows is refused, and the excess is the time to wait.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.api.problems import RateLimited
from evaltasks.engine.error_response import send_problem
from evaltasks.engine.keys import CALLER

_CALLERS_MAX = 10_000
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(?:/(\d{1,6}))?")


@dataclass(frozen=True)
class Rate:
    """Requests per second of each caller, and how many of them may come at once after a pause."""

    per_second: float
    burst: int


def rate_from(text: str) -> Rate:
    """Parse `RATE[/BURST]`: `10` is ten per second and ten at once; `0.5/3` is one in two seconds and three at once.

    Raises:
        ValueError: If the text has another form, or a number is zero.
    """
    match = _RATE.fullmatch(text.strip())
    per_second = float(match[1]) if match else 0.0
    burst = int(match[2]) if match and match[2] else max(1, math.ceil(per_second))
    if per_second <= 0 or burst < 1:
        raise ValueError("must be requests per second, optionally with a burst: 10, 0.5 or 10/20")
    return Rate(per_second, burst)


class RequestRateLimit:
    """ASGI middleware that answers 429 with `Retry-After`, by key, or by client address if the engine has no keys."""

    def __init__(self, app: ASGIApp, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._now = now
        self._rate = rate
        self._interval_seconds = 1 / rate.per_second
        self._ahead_seconds_max = (rate.burst - 1) * self._interval_seconds
        self._used_up_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            early_seconds = self.early_seconds(scope.get(CALLER) or (client[0] if client else ""))
            if early_seconds > 0:
                problem = RateLimited(
                    f"Rate limit exceeded (--rate-limit {self._rate.per_second:g} requests per second).",
                    retry_after_seconds=math.ceil(early_seconds),
                )
                await send_problem(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def early_seconds(self, caller: str) -> float:
        """Return how many seconds too early a request of this caller is; 0 if it is granted, which counts it."""
        now = self._now()
        used_up_at = max(now, self._used_up_at.get(caller, now))
        early = used_up_at - now - self._ahead_seconds_max
        # Sums of intervals are not exact: a nanosecond is not a reason to refuse.
        if early > 1e-9:
            return early
        if len(self._used_up_at) >= _CALLERS_MAX:
            self._used_up_at = {name: moment for name, moment in self._used_up_at.items() if moment > now}
        self._used_up_at[caller] = used_up_at + self._interval_seconds
        return 0.0
