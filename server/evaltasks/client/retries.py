"""When a call is repeated, and how long is waited before.

Whether a repeat is *safe* is decided where the failure is named (`caller`): an `Unreachable` that may have taken
effect is never repeated, and a gateway error (502, 503, 504) is repeated only for operations that read. What is left
here is patience: how often, how long, and to obey a service that says when to come back.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState

from evaltasks.api.problems import Problem, RateLimited, ServerError
from evaltasks.client.errors import Unreachable

logger = logging.getLogger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

# What a gateway answers when the service behind it did not: the same call may well succeed in a moment.
PASSING_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True)
class RetryBudget:
    """Bounds on repeating one call.

    `elapsed_seconds_max` bounds attempts and waits together: a wait that would end later is not started. A service
    that asks for more than `retry_after_seconds_max` is not waited for; its answer goes to the caller at once,
    with the time it named. `sleep` and `jitter` (a share of 0 to 1) come in by argument for tests.
    """

    attempts_max: int = 4
    first_wait_seconds: float = 0.5
    wait_seconds_max: float = 8.0
    retry_after_seconds_max: float = 60.0
    elapsed_seconds_max: float = 90.0
    sleep: Sleep = field(default=anyio.sleep, repr=False)
    jitter: Callable[[], float] = field(default=random.random, repr=False)

    def wait_seconds(self, attempt: int, failure: BaseException | None) -> float:
        """How long to wait after the failed `attempt` (the first is 1).

        What the service asked for is a floor. Otherwise the wait doubles; half of it is chance, so that many
        clients that failed together do not come back together.
        """
        asked_seconds = retry_after_of(failure)
        if asked_seconds is not None:
            return asked_seconds + self.jitter() * min(1.0, self.first_wait_seconds)
        longest: float = min(self.wait_seconds_max, self.first_wait_seconds * 2 ** (attempt - 1))
        return longest * (0.5 + 0.5 * self.jitter())

    async def call(self, attempt: Callable[[], Awaitable[T]], *, name: str, reads: bool) -> T:
        """Run `attempt` until it succeeds; the last failure is raised as it is."""

        def worth_repeating(state: RetryCallState) -> bool:
            failure = _failure(state)
            return (retry_after_of(failure) or 0.0) <= self.retry_after_seconds_max and may_repeat(failure, reads)

        def deadline_exceeded(state: RetryCallState) -> bool:
            # Hand-turned sleeps take no real time: what was asked to be slept counts as elapsed too.
            elapsed = max(state.seconds_since_start or 0.0, state.idle_for)
            late = elapsed + state.upcoming_sleep > self.elapsed_seconds_max
            return late or state.attempt_number >= self.attempts_max

        def log_retry(state: RetryCallState) -> None:
            logger.info(
                "%s failed with %s (attempt %d); again in %.1f s",
                name, type(_failure(state)).__name__, state.attempt_number, state.upcoming_sleep,
            )  # fmt: skip

        retrying = AsyncRetrying(
            sleep=self.sleep,
            retry=worth_repeating,
            wait=lambda state: self.wait_seconds(state.attempt_number, _failure(state)),
            stop=deadline_exceeded,
            before_sleep=log_retry,
            reraise=True,
        )
        return await retrying(attempt)


def may_repeat(failure: BaseException | None, reads: bool) -> bool:
    """Whether repeating the call can do no harm and may help. 429 means that nothing was done, whatever the call."""
    match failure:
        case Unreachable():
            return not failure.may_have_taken_effect
        case RateLimited():
            return True
        case ServerError():
            return reads and failure.status in PASSING_STATUSES
        case _:
            return False


def retry_after_of(failure: BaseException | None) -> float | None:
    """How long the service asked to wait, when it did."""
    return getattr(failure, "retry_after_seconds", None) if isinstance(failure, Problem) else None


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
