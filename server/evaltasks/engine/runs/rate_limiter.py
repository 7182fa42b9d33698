"""Adaptive rate limiting of calls to a provider: one limiter for each integration and process.

The limit is learned from what the provider accepts. `Retry-After` is not used for it: it is about one call, and when
all calls wait the same time, they return together and most are refused again. A refused row therefore waits on its own
(`row_processor`), and the rate of all calls is controlled here:

* At first there is no limit but the number of call slots. A provider that never refuses a call is never slowed down.
* Accepted and refused calls are counted in windows of half a second (longer when few calls are sent). Answers to calls
  that were sent before the rate last changed say nothing about the new rate and are ignored. A few refusals change
  nothing: a provider that refuses one call in ten at random is not at its limit.
* When more than a fifth is refused, the provider is at its limit: nothing is sent for a moment (after five refusals if
  most calls are refused, or after ten that are more than a fifth), and the rate becomes 1.05 times what was
  accepted. (With 1.15, half as many calls again were refused in the same time.) A refusal arrives sooner than an
  answer: calls that are older than refusals usually take count as accepted. If the answers of the pause show that
  fewer were refused after all, the rate stays as it was.
* After the first such pause little is known, so the rate grows by half in each window until the limit is met again;
  from then on by a twentieth, a tenth, a fifth and so on, until it is met again. A rate that was set too low by chance
  is corrected within seconds.
* A provider that accepts nothing at all is probed by single calls, after pauses that double up to half a minute. As
  soon as it accepts a call, the rate grows by half with every accepted call, until the limit is met again.
* A provider that reports how many calls are left, and how fast they are replenished (`RateLimitStatus`), is not driven
  into refusals: the rate becomes that of the replenishment as soon as few are left.

Calls are granted in the order of their requests, retries of refused rows first: started rows are finished before new
ones are started. A row that waits here occupies a worker, but no call slot.

`docs/decisions/0013-adaptive-rate.md` gives the source of every constant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable

import anyio

from evaltasks.edge.clock import Clock
from evaltasks.engine.providers.rate_limit_headers import RateLimitStatus

# --- windows: when there is enough evidence ---
_WINDOW_SECONDS = 0.5
_WINDOW_CALLS_MIN_UNLIMITED = 40  # a window with fewer answers goes on, while there is no limit
_WINDOW_CALLS_MIN_LIMITED = 10  # the same under a limit
_REFUSED_SHARE_MAX = 0.2  # a larger share of refusals means that the provider is at its limit
_REFUSED_SHARE_CLEAR = 0.5  # a larger share needs no more evidence than `_REFUSALS_MIN_CLEAR`
_REFUSALS_MIN_CLEAR = 5
_REFUSALS_MIN = 10  # refusals that end a window early: by chance a tenth looks like a fifth for a while
_REFUSAL_AGE_FACTOR = 1.5  # a call older than this times the usual time of a refusal was not refused
_REFUSAL_SECONDS_WEIGHT = 0.2  # weight of the newest sample in the moving average of that time
# --- how the rate changes ---
_PROBE_FACTOR = 1.05  # the new rate as a multiple of what was accepted; growth in the next window, then squared
_GROWTH_FACTOR_MAX = 1.5  # growth in a window while the limit is sought, and with each accepted call after an outage
_PAUSE_SECONDS = 0.1  # how long nothing is sent when the limit is met
_FIRST_WINDOW_SECONDS_MIN = 0.25  # the first calls use up saved permits; their number is taken for this time at least
_RATE_UNLIMITED = 5000.0  # calls per second; a higher limit is not worth a timer
# --- a provider that accepts nothing ---
_SILENT_PAUSE_SECONDS = 0.25  # the first pause between two probes; doubled with each
_SILENT_PAUSE_SECONDS_MAX = 30.0
# --- timers ---
_TIMER_LATENESS_SECONDS = 0.02  # calls that a timer delayed by this little may follow at once
_RECHECK_SECONDS = 0.25  # a longer wait is interrupted to see whether the rate has changed


class AdaptiveRateLimiter:
    """Limits the calls to one provider.

    The caller acquires a permit for each call (`acquire`, or `wait_seconds` and `record_sent`) and reports its result
    with `record_accepted`, `record_refused` or `record_unsent`, each with the time at which the call was sent.

    Attributes:
        rate: The current limit in calls per second; None if there is no limit.
    """

    def __init__(self, clock: Clock, rate_limit_status: Callable[[], RateLimitStatus | None] = lambda: None) -> None:
        """Create a limiter without a limit.

        Args:
            clock: The time of calls and the timer of waits.
            rate_limit_status: Returns what the provider last reported about its limit, None if it reports nothing.
        """
        self._clock = clock
        self._rate_limit_status = rate_limit_status
        self._waiting_retries: deque[anyio.Event] = deque()
        self._waiting_new: deque[anyio.Event] = deque()
        self._is_waiter_active = False
        self.rate: float | None = None
        self._next_at = 0.0
        self._growth_factor = _GROWTH_FACTOR_MAX
        self._was_limit_met = False
        self._num_refused_probes = 0
        self._is_reopening = False
        self._is_paused = False
        self._rate_before_pause: float | None = None
        self._accepted_at = clock.monotonic_seconds()
        # The previous window: calls not refused, and the seconds in which its calls were sent.
        self._previous_window = (0, 0.0)
        self._refusal_seconds: float | None = None  # moving average of the time until a refusal arrives
        # The current window: the times of the calls sent since it was opened.
        self._sent_at: list[float] = []
        self._last_answered = 0.0
        self._num_unsent = self._num_accepted = self._num_refused = 0

    # --- permits ---------------------------------------------------------------------------------------------------

    async def acquire(self, *, is_retry: bool = False) -> None:
        """Wait until the next call may be sent, and record it as sent.

        Args:
            is_retry: Whether the call repeats a refused one; retries go first.
        """
        if self.rate is None:
            self.record_sent(self._clock.monotonic_seconds())
            return
        queue = self._waiting_retries if is_retry else self._waiting_new
        is_next = anyio.Event()
        queue.append(is_next)
        self._wake_next()
        try:
            await is_next.wait()
            while (seconds := self.wait_seconds(self._clock.monotonic_seconds())) > 0:
                await self._clock.sleep(min(seconds, _RECHECK_SECONDS))
            self.record_sent(self._clock.monotonic_seconds())
        finally:
            if is_next in queue:
                queue.remove(is_next)
            else:
                self._is_waiter_active = False
                self._wake_next()

    def _wake_next(self) -> None:
        queue = self._waiting_retries or self._waiting_new
        if queue and not self._is_waiter_active:
            self._is_waiter_active = True
            queue.popleft().set()

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a call may be sent."""
        if self._is_paused and now >= self._next_at:
            self._recover(now)
        return 0.0 if self.rate is None else max(0.0, self._next_at - now)

    # --- results of calls ------------------------------------------------------------------------------------------

    def record_sent(self, now: float) -> None:
        """Record that a call is sent now."""
        self._sent_at.append(now)
        if self.rate is not None:
            self._next_at = max(self._next_at, now - _TIMER_LATENESS_SECONDS) + 1 / self.rate

    def record_unsent(self, sent_at: float) -> None:
        """Record that the provider was not called after all."""
        if self._is_in_window(sent_at):
            self._num_unsent += 1

    def record_accepted(self, sent_at: float) -> None:
        """Record that the provider answered a call, whatever the answer."""
        self._num_refused_probes = 0
        self._accepted_at = self._clock.monotonic_seconds()
        if not self._is_in_window(sent_at):
            return
        self._num_accepted += 1
        self._last_answered = max(self._last_answered, sent_at)
        if not self._is_paused:
            self._reopen()
            self._end_window()
            self._apply_rate_limit_headers()

    def record_refused(self, sent_at: float) -> None:
        """Record that the provider refused a call for now."""
        if not self._is_in_window(sent_at):
            return
        self._num_refused += 1
        self._last_answered = max(self._last_answered, sent_at)
        seconds, average = self._clock.monotonic_seconds() - sent_at, self._refusal_seconds
        self._refusal_seconds = seconds if average is None else average + (seconds - average) * _REFUSAL_SECONDS_WEIGHT
        if self._is_paused:
            return
        share = self._refused_share()
        if (
            self._num_refused_probes
            or (self._num_refused >= _REFUSALS_MIN_CLEAR and share > _REFUSED_SHARE_CLEAR)
            or (self._num_refused >= _REFUSALS_MIN and share > _REFUSED_SHARE_MAX)
        ):
            self._pause()
        else:
            self._end_window()

    def seconds_since_accepted(self) -> float:
        """Return the seconds since the provider last accepted a call."""
        return self._clock.monotonic_seconds() - self._accepted_at

    # --- windows ---------------------------------------------------------------------------------------------------

    def _open_window(self) -> None:
        self._sent_at.clear()
        self._last_answered = 0.0
        self._num_unsent = self._num_accepted = self._num_refused = 0

    def _is_in_window(self, sent_at: float) -> bool:
        return bool(self._sent_at) and sent_at >= self._sent_at[0]

    def _not_refused(self) -> tuple[int, float]:
        """Return the calls that were not refused, and the seconds in which they and the refused ones were sent.

        A refusal arrives at once and an answer takes its time: a call that would have been refused by now was not.
        """
        if not self._sent_at:
            return 0, 0.0
        num_answered, last_at = self._num_accepted + self._num_refused, self._last_answered
        if self._refusal_seconds is not None:
            due_at = self._clock.monotonic_seconds() - self._refusal_seconds * _REFUSAL_AGE_FACTOR
            num_due = bisect_right(self._sent_at, due_at) - self._num_unsent
            if num_due > num_answered:
                num_answered, last_at = num_due, max(last_at, min(due_at, self._sent_at[-1]))
        return num_answered - self._num_refused, last_at - self._sent_at[0]

    def _refused_share(self) -> float:
        num_not_refused, _ = self._not_refused()
        return self._num_refused / max(1, num_not_refused + self._num_refused)

    def _end_window(self) -> None:
        """Change the rate if the window is long enough."""
        num_answered = self._num_accepted + self._num_refused
        if self._last_answered - self._sent_at[0] < _WINDOW_SECONDS or num_answered < self._window_calls_min():
            return
        num_not_refused, seconds = self._not_refused()
        if self._refused_share() > _REFUSED_SHARE_MAX:
            if self._num_refused < _REFUSALS_MIN_CLEAR:
                # This may be chance: the window stays open for more calls.
                return
            if self.rate is None:
                self._pause()
                return
            self._is_reopening = False
            self._set_rate(max(_PROBE_FACTOR * num_not_refused / seconds, self.rate / 2), _PROBE_FACTOR)
        elif self.rate is None:
            self._open_window()
        else:
            self._set_rate(self.rate * self._growth_factor, min(_GROWTH_FACTOR_MAX, self._growth_factor**2))
        self._previous_window = (num_not_refused, seconds)

    def _window_calls_min(self) -> int:
        return _WINDOW_CALLS_MIN_UNLIMITED if self.rate is None else _WINDOW_CALLS_MIN_LIMITED

    # --- the rate --------------------------------------------------------------------------------------------------

    def _set_rate(self, rate: float, growth_factor: float) -> None:
        self.rate = min(rate, _RATE_UNLIMITED)
        self._growth_factor = growth_factor
        self._open_window()

    def _pause(self) -> None:
        """Send nothing for a moment; answers that arrive in the meantime still count."""
        self._is_paused = True
        self._rate_before_pause = self.rate
        if self.rate is None:
            self.rate = 1 / _PAUSE_SECONDS  # any limit makes calls wait for their permit
        pause = 0.0 if self._num_refused_probes else _PAUSE_SECONDS
        self._next_at = self._clock.monotonic_seconds() + pause

    def _recover(self, now: float) -> None:
        """End the pause with the rate that the provider accepted, or with a probe if it accepted nothing."""
        self._is_paused = False
        if self._refused_share() <= _REFUSED_SHARE_MAX:
            # A false alarm: the refusals arrived first, and the other calls have been answered since.
            self.rate = self._rate_before_pause
            return
        num_previous, previous_seconds = self._previous_window
        num_not_refused, seconds = self._not_refused()
        if not self._was_limit_met:
            seconds = max(seconds, _FIRST_WINDOW_SECONDS_MIN, self._refusal_seconds or 0.0)
        self._previous_window = (0, 0.0)
        if num_not_refused + num_previous == 0:
            self._num_refused_probes += 1
            pause = min(_SILENT_PAUSE_SECONDS_MAX, _SILENT_PAUSE_SECONDS * 2.0 ** (self._num_refused_probes - 1))
            self._set_rate(1 / pause, _GROWTH_FACTOR_MAX)
            self._is_reopening = True
            self._next_at = now + pause
            return
        self._is_reopening = False
        seconds = max(seconds + previous_seconds, _PAUSE_SECONDS)
        growth_factor = _PROBE_FACTOR if self._was_limit_met else _GROWTH_FACTOR_MAX
        self._was_limit_met = True
        self._set_rate(_PROBE_FACTOR * (num_not_refused + num_previous) / seconds, growth_factor)
        self._next_at = now

    def _reopen(self) -> None:
        """Grow fast after an outage."""
        if self.rate is None or not self._is_reopening:
            return
        self.rate = max(self.rate * _GROWTH_FACTOR_MAX, 1 / _SILENT_PAUSE_SECONDS)
        self._next_at = min(self._next_at, self._accepted_at + 1 / self.rate)
        if self.rate > _RATE_UNLIMITED:
            self.rate, self._is_reopening = None, False

    def _apply_rate_limit_headers(self) -> None:
        status = self._rate_limit_status() if self.rate is None else None
        if status is not None and status.calls_left < status.calls_per_second * _WINDOW_SECONDS:
            self._set_rate(status.calls_per_second, _PROBE_FACTOR)
            self._next_at = self._clock.monotonic_seconds() + 1 / status.calls_per_second


class RateLimiters:
    """The rate limiters of this process by the id of the integration; all its task runs share them."""

    def __init__(self, clock: Clock, rate_limit_status: Callable[[str], RateLimitStatus | None]) -> None:
        """Create the registry.

        Args:
            clock: The clock of every limiter.
            rate_limit_status: Returns what the provider of an integration last reported about its limit.
        """
        self._clock = clock
        self._rate_limit_status = rate_limit_status
        self._limiters: dict[str, AdaptiveRateLimiter] = {}

    def for_integration(self, integration_id: str) -> AdaptiveRateLimiter:
        """Return the limiter of an integration."""
        limiter = self._limiters.get(integration_id)
        if limiter is None:
            limiter = AdaptiveRateLimiter(self._clock, lambda: self._rate_limit_status(integration_id))
            self._limiters[integration_id] = limiter
        return limiter
