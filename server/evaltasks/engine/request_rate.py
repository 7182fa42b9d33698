"""Answers 429 on request: for whoever wants to see how their client takes it.

Not a protection: an engine serves what it can. The rate is told where the engine is started and nowhere else.

How it counts: for each caller the moment at which everything granted so far would be used up at the asked rate. A
request moves it on by one share; one that would move it further ahead than the burst allows is refused, and what is
too far is the time to come back in.
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
    """So many requests a second for each caller, and so many at once after a pause."""

    per_second: float
    burst: int


def rate_from(text: str) -> Rate:
    """`10` is ten a second and ten at once, `0.5/3` one in two seconds and three at once. Raises ValueError."""
    found = _RATE.fullmatch(text.strip())
    per_second = float(found[1]) if found else 0.0
    burst = int(found[2]) if found and found[2] else max(1, math.ceil(per_second))
    if per_second <= 0 or burst < 1:
        raise ValueError("must be requests a second, or that and how many at once: 10, 0.5 or 10/20")
    return Rate(per_second, burst)


class RequestRateLimit:
    """ASGI middleware: 429 with `Retry-After`, by key, or by address where no key is asked for."""

    def __init__(self, app: ASGIApp, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._now = now
        self._share_seconds = 1 / rate.per_second
        self._ahead_seconds_max = (rate.burst - 1) * self._share_seconds
        self._used_up_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            early_seconds = self.early_seconds(scope.get(CALLER) or (client[0] if client else ""))
            if early_seconds > 0:
                problem = RateLimited(
                    "More requests came than this engine was told to answer (--rate-limit).",
                    retry_after_seconds=math.ceil(early_seconds),
                )
                await send_problem(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def early_seconds(self, caller: str) -> float:
        """How much too early a request of this caller comes now; 0 for one that is granted, which counts it."""
        now = self._now()
        used_up_at = max(now, self._used_up_at.get(caller, now))
        early = used_up_at - now - self._ahead_seconds_max
        # Sums of shares are not exact: a nanosecond is no reason to refuse.
        if early > 1e-9:
            return early
        if len(self._used_up_at) >= _CALLERS_MAX:
            self._used_up_at = {name: moment for name, moment in self._used_up_at.items() if moment > now}
        self._used_up_at[caller] = used_up_at + self._share_seconds
        return 0.0
