"""Retries: which failed calls are repeated, how often, and after which wait.

`caller` decides whether a retry is *safe*: an `Unreachable` that may have taken effect is never retried, and a gateway
error (502, 503, 504) only for operations that read. This module decides how often and after which wait, and honours
`Retry-After`.
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

# Errors of a gateway whose backend did not answer: the same call may succeed a moment later.
PASSING_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True)
class RetryBudget:
    """Limits of the retries of one call.

    Attributes:
        attempts_max: The number of attempts, including the first.
        first_wait_seconds: The longest wait after the first attempt; it doubles with each attempt.
        wait_seconds_max: The longest wait, unless the service asks for a longer one.
        retry_after_seconds_max: The longest wait that a service may ask for; for a longer one, its response goes to
            the caller at once, with the wait it asked for.
        elapsed_seconds_max: The time of all attempts and waits together; a wait that would end later is not started.
        sleep: Sleeps; replaced in tests.
        jitter: Returns a random share from 0 to 1; replaced in tests.
    """

    attempts_max: int = 4
    first_wait_seconds: float = 0.5
    wait_seconds_max: float = 8.0
    retry_after_seconds_max: float = 60.0
    elapsed_seconds_max: float = 90.0
    sleep: Sleep = field(default=anyio.sleep, repr=False)
    jitter: Callable[[], float] = field(default=random.random, repr=False)

    def wait_seconds(self, attempt: int, failure: BaseException | None) -> float:
        """Return how long to wait after a failed attempt.

        If the service asked for a wait, it is at least that long. Otherwise the wait doubles with each attempt; half of
        it is random, so that clients that failed at the same time do not retry at the same time.

        Args:
            attempt: The number of the attempt; the first is 1.
            failure: What it raised.
        """
        asked_seconds = retry_after_of(failure)
        if asked_seconds is not None:
            return asked_seconds + self.jitter() * min(1.0, self.first_wait_seconds)
        longest: float = min(self.wait_seconds_max, self.first_wait_seconds * 2 ** (attempt - 1))
        return longest * (0.5 + 0.5 * self.jitter())

    async def call(self, attempt: Callable[[], Awaitable[T]], *, name: str, reads: bool) -> T:
        """Run `attempt` until it succeeds or the budget is used up.

        Args:
            attempt: One attempt of the call.
            name: The name of the operation, for the log.
            reads: Whether the operation only reads.

        Raises:
            Exception: What the last attempt raised.
        """

        def worth_repeating(state: RetryCallState) -> bool:
            failure = _failure(state)
            return (retry_after_of(failure) or 0.0) <= self.retry_after_seconds_max and may_repeat(failure, reads)

        def deadline_exceeded(state: RetryCallState) -> bool:
            # Sleeps of tests take no real time, so the requested sleep counts as elapsed too.
            elapsed = max(state.seconds_since_start or 0.0, state.idle_for)
            late = elapsed + state.upcoming_sleep > self.elapsed_seconds_max
            return late or state.attempt_number >= self.attempts_max

        def log_retry(state: RetryCallState) -> None:
            logger.info(
                "%s failed with %s (attempt %d); retrying in %.1f s",
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
    """Whether a retry is safe and may help. A 429 means that nothing was done, whatever the operation."""
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
    """Return how many seconds the service asked to wait; None if it did not."""
    return getattr(failure, "retry_after_seconds", None) if isinstance(failure, Problem) else None


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
