"""How fast a provider may be asked: learnt from what it accepts, one pace for each integration and process.

A provider that limits its callers says so by refusing some. What it says besides (`Retry-After`) is about one call, not
about the flow: when everybody waits it out together, everybody comes back together, and most are refused again. So a
refused row waits apart for itself (`rows`), and the flow is steered here, by what is accepted:

* At first there is no limit but the places for calls. A provider that never refuses is never slowed down.
* What is accepted is counted over the calls sent within half a second (more when few are sent); answers to calls that
  were sent before the pace last changed tell nothing about it and are passed over. A few refusals change nothing: a
  provider that refuses one call in ten at random is not full.
* When more than a fifth is refused, it is: nothing more is sent for a moment (at once after five refusals if most calls
  are refused, or ten to fifteen that are more than a fifth), and the pace becomes 1.05 times what was accepted. (With
  1.15, half as many calls again were refused in the same time.) A refusal comes sooner than an answer: calls that are
  older than refusals get count as accepted, and if the moment's answers show that too little was refused after all,
  nothing changes.
* After the first such stop little was seen yet, so the pace grows by half until the limit is met again; from then on
  by a twentieth, a tenth, a fifth and so on, until it is met again. A pace that was set too low by bad luck is left
  behind within seconds.
* A provider that accepts nothing at all is asked by single calls, after pauses that double up to half a minute. If it
  was so for longer than a slow limit explains, then once it accepts a call the pace doubles with every call it accepts,
  until it is full again: it was down, or a new minute has started.
* A provider that says how many calls are left, and how fast they come back (`RateLimitStatus`), is not driven into
  refusals: the pace becomes what comes back as soon as little is left.

Calls are let through in the order they asked, those of refused rows first: what was started is ended before more is
started. Whoever waits here holds a worker, never a place for a call.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable

import anyio

from evaltasks.edge.clock import Clock
from evaltasks.engine.providers.rate_limit_headers import RateLimitStatus

_WINDOW_SECONDS = 0.5
_REFUSED_SHARE_MAX = 0.2  # the share of refusals that means: full
_REFUSED_SHARE_CLEAR = 0.5
_REFUSAL_TIME_FACTOR = 1.5  # a call that is older than refusals get, times this, was not refused
_NEWEST_SHARE = 0.2
_REFUSALS_MIN_CLEAR = 5  # so many refusals tell it before the window is over, if most calls are refused
_WINDOW_CALLS_MIN_UNLIMITED = 40  # what a window must hold to count, while there is no limit
_WINDOW_CALLS_MIN_LIMITED = 10
_WINDOW_CALLS_MIN_SEEKING = 4  # and while the limit is sought: at a slow pace ten calls take long
_REFUSALS_MIN_UNLIMITED = (
    15  # and so many if they are too large a share: chance makes a tenth look like a fifth for longer
)
_REFUSALS_MIN_LIMITED = 10
_RECOVERY_FACTOR = 1.05
_SEEK_FACTOR = 1.5
_PROBE_FACTOR = 1.05
_PAUSE_SECONDS = 0.1
_FIRST_WINDOW_SECONDS_MIN = (
    0.25  # what the first answers are taken to stand for: they come at once, out of saved-up calls
)
_SILENT_SECONDS = 0.25
_SILENT_SECONDS_MAX = 30.0
_OUTAGE_SILENCES_MIN = 3  # so many in a row are no slow limit, whose gaps are short
_REOPEN_FACTOR = 2.0
_RATE_UNLIMITED = 5000.0  # above it there is no limit worth a timer
# Calls that were missed by this little may follow on one another: timers are no finer.
_TIMER_LATENESS_SECONDS = 0.02
_WAIT_SECONDS_MIN = 0.001
_RECHECK_SECONDS = 0.25  # whoever waits for longer looks whether the pace has changed


class AdaptiveRateLimiter:
    """The pace of one provider; `rate` is in calls a second, None without a limit."""

    def __init__(self, clock: Clock, rate_limit_status: Callable[[], RateLimitStatus | None] = lambda: None) -> None:
        self._clock = clock
        self._rate_limit_status = rate_limit_status
        self._refused: deque[anyio.Event] = deque()
        self._fresh: deque[anyio.Event] = deque()
        self._is_waiter_active = False
        self.rate: float | None = None
        self._next_at = 0.0
        self._growth = _SEEK_FACTOR
        self._was_met = False
        self._silences = 0
        self._is_reopening = False
        self._is_stopped = False
        self._rate_before: float | None = None
        self._accepted_at = clock.monotonic_seconds()
        # The window before: calls not refused, and in how many seconds they were sent.
        self._before = (0, 0.0)
        self._refusal_seconds: float | None = None  # how long a refusal takes to come
        # The window: the calls sent from its beginning on.
        self._sent_at: list[float] = []
        self._last_answered = 0.0
        self._num_unsent = self._num_accepted = self._num_refused = 0

    # --- asking for a turn -----------------------------------------------------------------------------------------

    async def turn(self, *, was_refused: bool = False) -> None:
        """Wait until the next call may be sent."""
        if self.rate is None:
            self.sent(self._clock.monotonic_seconds())
            return
        queue = self._refused if was_refused else self._fresh
        called = anyio.Event()
        queue.append(called)
        self._wake_next()
        try:
            await called.wait()
            while (seconds := self.wait_seconds(self._clock.monotonic_seconds())) > _WAIT_SECONDS_MIN:
                await self._clock.sleep(min(seconds, _RECHECK_SECONDS))
            self.sent(self._clock.monotonic_seconds())
        finally:
            if called in queue:
                queue.remove(called)
            else:
                self._is_waiter_active = False
                self._wake_next()

    def _wake_next(self) -> None:
        queue = self._refused or self._fresh
        if queue and not self._is_waiter_active:
            self._is_waiter_active = True
            queue.popleft().set()

    def wait_seconds(self, now: float) -> float:
        """How long until a call may be sent."""
        if self._is_stopped and now >= self._next_at:
            self._recover(now)
        return 0.0 if self.rate is None else max(0.0, self._next_at - now)

    # --- what became of the calls ----------------------------------------------------------------------------------

    def sent(self, now: float) -> None:
        """A call goes out."""
        self._sent_at.append(now)
        if self.rate is not None:
            self._next_at = max(self._next_at, now - _TIMER_LATENESS_SECONDS) + 1 / self.rate

    def unsent(self, sent_at: float) -> None:
        """No one was asked after all."""
        if self._counts(sent_at):
            self._num_unsent += 1

    def accepted(self, sent_at: float) -> None:
        """A call sent at that time was answered, whatever the answer."""
        self._silences = 0
        self._accepted_at = self._clock.monotonic_seconds()
        if not self._counts(sent_at):
            return
        self._num_accepted += 1
        self._last_answered = max(self._last_answered, sent_at)
        if not self._is_stopped:
            self._reopen()
            self._end_window()
            self._apply_rate_limit_headers()

    def refused(self, sent_at: float) -> None:
        """A call sent at that time is to be made later."""
        if not self._counts(sent_at):
            return
        self._num_refused += 1
        self._last_answered = max(self._last_answered, sent_at)
        took, known = self._clock.monotonic_seconds() - sent_at, self._refusal_seconds
        self._refusal_seconds = took if known is None else known + (took - known) * _NEWEST_SHARE
        if self._is_stopped:
            return
        share = self._share()
        many = _REFUSALS_MIN_UNLIMITED if self.rate is None else _REFUSALS_MIN_LIMITED
        if (
            self._silences
            or (self._num_refused >= _REFUSALS_MIN_CLEAR and share > _REFUSED_SHARE_CLEAR)
            or (self._num_refused >= many and share > _REFUSED_SHARE_MAX)
        ):
            self._stop()
        else:
            self._end_window()

    def silent_seconds(self) -> float:
        """For how long nothing was accepted."""
        return self._clock.monotonic_seconds() - self._accepted_at

    # --- windows ---------------------------------------------------------------------------------------------------

    def _open_window(self) -> None:
        self._sent_at.clear()
        self._last_answered = 0.0
        self._num_unsent = self._num_accepted = self._num_refused = 0

    def _counts(self, sent_at: float) -> bool:
        return bool(self._sent_at) and sent_at >= self._sent_at[0]

    def _not_refused(self) -> tuple[int, float]:
        """Calls that were not refused, and the seconds in which they and the refused ones were sent.

        A refusal comes at once and an answer takes its time: what would have been refused by now, was not.
        """
        if not self._sent_at:
            return 0, 0.0
        num, last_at = self._num_accepted + self._num_refused, self._last_answered
        if self._refusal_seconds is not None:
            due_at = self._clock.monotonic_seconds() - self._refusal_seconds * _REFUSAL_TIME_FACTOR
            num_due = bisect_right(self._sent_at, due_at) - self._num_unsent
            if num_due > num:
                num, last_at = num_due, max(last_at, min(due_at, self._sent_at[-1]))
        return num - self._num_refused, last_at - self._sent_at[0]

    def _share(self) -> float:
        num, _ = self._not_refused()
        return self._num_refused / max(1, num + self._num_refused)

    def _end_window(self) -> None:
        """Change the pace at the end of a window."""
        num_answered = self._num_accepted + self._num_refused
        if self._last_answered - self._sent_at[0] < _WINDOW_SECONDS or num_answered < self._calls_min():
            return
        num, seconds = self._not_refused()
        if self._share() > _REFUSED_SHARE_MAX:
            if self._num_refused < _REFUSALS_MIN_CLEAR:
                # Chance may be all there is to it: the window stays open for more calls.
                return
            if self.rate is None:
                self._stop()
                return
            self._is_reopening = False
            self._set(max(_RECOVERY_FACTOR * num / seconds, self.rate / 2), _PROBE_FACTOR)
        elif self.rate is None:
            self._open_window()
        else:
            self._set(self.rate * self._growth, min(_SEEK_FACTOR, self._growth**2))
        self._before = (num, seconds)

    def _calls_min(self) -> int:
        if self.rate is None:
            return _WINDOW_CALLS_MIN_UNLIMITED
        return (
            _WINDOW_CALLS_MIN_SEEKING
            if self._growth >= _SEEK_FACTOR and not self._num_refused
            else _WINDOW_CALLS_MIN_LIMITED
        )

    # --- the pace --------------------------------------------------------------------------------------------------

    def _set(self, rate: float, growth: float) -> None:
        self.rate = min(rate, _RATE_UNLIMITED)
        self._growth = growth
        self._open_window()

    def _stop(self) -> None:
        """Send nothing for a moment; what is answered meanwhile still counts."""
        self._is_stopped = True
        self._rate_before = self.rate
        if self.rate is None:
            self.rate = 1 / _PAUSE_SECONDS  # a limit, so that calls ask for their turn
        pause = 0.0 if self._silences else _PAUSE_SECONDS
        self._next_at = self._clock.monotonic_seconds() + pause

    def _recover(self, now: float) -> None:
        self._is_stopped = False
        if self._share() <= _REFUSED_SHARE_MAX:
            # A false alarm: the refusals of that moment came first, and the rest was answered since.
            self.rate = self._rate_before
            return
        num_before, seconds_before = self._before
        num, seconds = self._not_refused()
        if not self._was_met:
            seconds = max(seconds, _FIRST_WINDOW_SECONDS_MIN, self._refusal_seconds or 0.0)
        self._before = (0, 0.0)
        if num + num_before == 0:
            self._silences += 1
            pause = min(_SILENT_SECONDS_MAX, _SILENT_SECONDS * 2.0 ** (self._silences - 1))
            self._set(1 / pause, _SEEK_FACTOR)
            self._is_reopening = self._silences >= _OUTAGE_SILENCES_MIN
            self._next_at = now + pause
            return
        self._is_reopening = False
        seconds = max(seconds + seconds_before, _PAUSE_SECONDS)
        growth = _PROBE_FACTOR if self._was_met else _SEEK_FACTOR
        self._was_met = True
        self._set(_RECOVERY_FACTOR * (num + num_before) / seconds, growth)
        self._next_at = now

    def _reopen(self) -> None:
        if self.rate is None or not self._is_reopening:
            return
        self.rate = max(self.rate * _REOPEN_FACTOR, 1 / _SILENT_SECONDS)
        self._next_at = min(self._next_at, self._accepted_at + 1 / self.rate)
        if self.rate > _RATE_UNLIMITED:
            self.rate, self._is_reopening = None, False

    def _apply_rate_limit_headers(self) -> None:
        rate_limit_status = self._rate_limit_status() if self.rate is None else None
        if (
            rate_limit_status is not None
            and rate_limit_status.calls_left < rate_limit_status.calls_per_second * _WINDOW_SECONDS
        ):
            self._set(rate_limit_status.calls_per_second, _PROBE_FACTOR)
            self._next_at = self._clock.monotonic_seconds() + 1 / rate_limit_status.calls_per_second


class RateLimiters:
    """The paces of this process, by the id of the integration; all its task runs share them."""

    def __init__(self, clock: Clock, rate_limit_status: Callable[[str], RateLimitStatus | None]) -> None:
        self._clock = clock
        self._rate_limit_status = rate_limit_status
        self._limiters: dict[str, AdaptiveRateLimiter] = {}

    def of(self, integration_id: str) -> AdaptiveRateLimiter:
        limiter = self._limiters.get(integration_id)
        if limiter is None:
            limiter = AdaptiveRateLimiter(self._clock, lambda: self._rate_limit_status(integration_id))
            self._limiters[integration_id] = limiter
        return limiter
