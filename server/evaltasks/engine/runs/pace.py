"""How fast a provider may be asked: learnt from what it accepts, one pace for each integration and process.

A provider that limits its callers says so by refusing some. What it says besides (`Retry-After`) is about one call, not
about the flow: when everybody waits it out together, everybody comes back together, and most are refused again. So a
refused row waits apart for itself (`rows`), and the flow is steered here, by what is accepted:

* At first there is no limit but the places for calls. A provider that never refuses is never slowed down.
* What is accepted is counted over the calls sent within half a second (more when few are sent); answers to calls that
  were sent before the pace last changed tell nothing about it and are passed over. A few refusals change nothing: a
  provider that refuses one call in ten at random is not full.
* When more than a fifth is refused, it is: nothing more is sent for a moment (at once after five refusals that
  outnumber what was accepted, or ten to fifteen that are more than a fifth), and the pace becomes 1.05 times what was
  accepted. (With 1.15, half as many calls again were refused in the same time.)
* After the first such stop little was seen yet, so the pace grows by half until the limit is met again; from then on
  by a twentieth while next to nothing is refused, and faster again after half seconds without any refusal.
* A provider that accepts nothing at all is asked by single calls, after pauses that double up to half a minute. If it
  was so for longer than a slow limit explains, then once it accepts a call the pace doubles with every call it accepts,
  until it is full again: it was down, or a new minute has begun.
* A provider that tells how many calls are left, and how fast they come back (`Headroom`), is not driven into refusals:
  the pace becomes what comes back as soon as little is left.

Calls are let through in the order they asked, those of refused rows first: what was begun is ended before more is
begun. Whoever waits here holds a worker, never a place for a call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio

from evaltasks.engine.clock import Clock
from evaltasks.engine.providers.headroom import Headroom

_WINDOW_SECONDS = 0.5
_TOO_MANY = 0.2  # the share of refusals that means: full
_FEW = 0.05  # below it the pace may still grow
_AT_ONCE = 5  # so many refusals tell it before the window is over, if they outnumber what was accepted
_FREE_CALLS_MIN = 40  # what a window must hold to count, while there is no limit
_PACED_CALLS_MIN = 10
_SEEKING_CALLS_MIN = 4  # and while the limit is sought: at a slow pace ten calls take long
_MANY_FREE = 15  # and so many if they are too large a share: chance makes a tenth look like a fifth for longer
_MANY_PACED = 10
_COME_BACK = 1.05
_SEEK = 1.5
_CREEP = 1.05
_PAUSE_SECONDS = 0.1
_FIRST_SPAN_SECONDS = 0.25  # what the first answers are taken to stand for: they come at once, out of saved-up calls
_SILENT_SECONDS = 0.25
_SILENT_SECONDS_MAX = 30.0
_OUTAGE_SILENCES = 3  # so many in a row are no slow limit, whose gaps are short
_REOPEN = 2.0
_FREE_RATE = 5000.0  # above it there is no limit worth a timer
# Calls that were missed by this little may follow on one another: timers are no finer.
_LATE_SECONDS = 0.02
_NOW_SECONDS = 0.001
_LOOK_UP_SECONDS = 0.25  # whoever waits for longer looks whether the pace has changed


class Pace:
    """The pace of one provider; `rate` is in calls a second, None without a limit."""

    def __init__(self, clock: Clock, headroom: Callable[[], Headroom | None] = lambda: None) -> None:
        self._clock = clock
        self._headroom = headroom
        self._refused: deque[anyio.Event] = deque()
        self._fresh: deque[anyio.Event] = deque()
        self._is_somebody_up = False
        self.rate: float | None = None
        self._next_at = 0.0
        self._growth = _SEEK
        self._full_at = 0.0  # what was accepted a second when it was full
        self._silences = 0
        self._is_reopening = False
        self._before = (0, 0.0)  # accepted, and in how many seconds, in the window before
        self._accepted_at = clock.monotonic_seconds()
        # The window: calls sent from its beginning on, as far as they were answered.
        self._began_at: float | None = None
        self._last_sent_at = 0.0
        self._num_accepted = self._num_refused = 0

    async def turn(self, *, was_refused: bool = False) -> None:
        """Wait until the next call may be sent."""
        if self.rate is None:
            self.sent(self._clock.monotonic_seconds())
            return
        queue = self._refused if was_refused else self._fresh
        called = anyio.Event()
        queue.append(called)
        self._call_up()
        try:
            await called.wait()
            while (seconds := self.wait_seconds(self._clock.monotonic_seconds())) > _NOW_SECONDS:
                await self._clock.sleep(min(seconds, _LOOK_UP_SECONDS))
            self.sent(self._clock.monotonic_seconds())
        finally:
            if called in queue:
                queue.remove(called)
            else:
                self._is_somebody_up = False
                self._call_up()

    def _call_up(self) -> None:
        queue = self._refused or self._fresh
        if queue and not self._is_somebody_up:
            self._is_somebody_up = True
            queue.popleft().set()

    def wait_seconds(self, now: float) -> float:
        """How long until a call may be sent."""
        return 0.0 if self.rate is None else max(0.0, self._next_at - now)

    def sent(self, now: float) -> None:
        """A call goes out."""
        if self._began_at is None:
            self._began_at = now
        if self.rate is not None:
            self._next_at = max(self._next_at, now - _LATE_SECONDS) + 1 / self.rate

    def accepted(self, sent_at: float) -> None:
        """A call sent at that time was answered, whatever the answer."""
        self._silences = 0
        self._accepted_at = self._clock.monotonic_seconds()
        if self._counts(sent_at):
            self._num_accepted += 1
            self._reopen()
            self._heed_headroom()
            self._look_back()

    def silent_seconds(self) -> float:
        """For how long nothing was accepted."""
        return self._clock.monotonic_seconds() - self._accepted_at

    def refused(self, sent_at: float) -> None:
        """A call sent at that time is to be made later."""
        if not self._counts(sent_at):
            return
        self._num_refused += 1
        if self._silences:
            self._stop()
            return
        outnumber = self._num_refused >= _AT_ONCE and self._num_refused > self._num_accepted
        many = _MANY_FREE if self.rate is None else _MANY_PACED
        if outnumber or (self._num_refused >= many and self._share() > _TOO_MANY):
            self._stop()
        else:
            self._look_back()

    # --- windows ---------------------------------------------------------------------------------------------------

    def _open_window(self) -> None:
        self._began_at = None
        self._last_sent_at = 0.0
        self._num_accepted = self._num_refused = 0

    def _counts(self, sent_at: float) -> bool:
        if self._began_at is None or sent_at < self._began_at:
            return False
        self._last_sent_at = max(self._last_sent_at, sent_at)
        return True

    def _share(self) -> float:
        return self._num_refused / (self._num_accepted + self._num_refused)

    def _span(self) -> float:
        """The seconds over which the calls were sent whose answers are counted."""
        return 0.0 if self._began_at is None else self._last_sent_at - self._began_at

    def _look_back(self) -> None:
        """Change the pace at the end of a window."""
        span = self._span()
        if span < _WINDOW_SECONDS or self._num_accepted + self._num_refused < self._calls_min():
            return
        share = self._share()
        before = (self._num_accepted, span)
        if self.rate is None:
            if share > _TOO_MANY:
                self._stop()
                return
            self._open_window()
        elif share > _TOO_MANY:
            self._is_reopening = False
            self._full_at = max(self._num_accepted / span, self.rate / 2)
            self._set(_COME_BACK * self._full_at, _CREEP)
        elif self._num_refused == 0 or self._growth >= _SEEK or self.rate < self._full_at:
            self._set(self.rate * self._growth, min(_SEEK, self._growth**2))
        else:
            self._set(self.rate * (_CREEP if share < _FEW else 1.0), _CREEP)
        self._before = before

    def _calls_min(self) -> int:
        if self.rate is None:
            return _FREE_CALLS_MIN
        return _SEEKING_CALLS_MIN if self._growth >= _SEEK and not self._num_refused else _PACED_CALLS_MIN

    # --- the pace --------------------------------------------------------------------------------------------------

    def _set(self, rate: float, growth: float) -> None:
        self.rate = rate
        self._growth = growth
        self._open_window()

    def _stop(self) -> None:
        now = self._clock.monotonic_seconds()
        accepted_before, span_before = self._before
        num_accepted = accepted_before + self._num_accepted
        if num_accepted == 0:
            self._silences += 1
            pause = min(_SILENT_SECONDS_MAX, _SILENT_SECONDS * 2.0 ** (self._silences - 1))
            self._set(1 / pause, _SEEK)
            self._is_reopening = self._silences >= _OUTAGE_SILENCES
        else:
            span = span_before + self._span()
            if not span_before:
                shortest = _FIRST_SPAN_SECONDS if self.rate is None else 1 / self.rate
                span = max(span, shortest, now - (self._began_at or now) if self.rate is None else 0.0)
            pause = _PAUSE_SECONDS
            self._is_reopening = False
            self._full_at = num_accepted / span
            self._set(_COME_BACK * self._full_at, _SEEK if self.rate is None else _CREEP)
        self._before = (0, 0.0)
        self._next_at = now + pause

    def _reopen(self) -> None:
        if self.rate is None or not self._is_reopening:
            return
        self.rate = max(self.rate * _REOPEN, 1 / _SILENT_SECONDS)
        self._next_at = min(self._next_at, self._accepted_at + 1 / self.rate)
        if self.rate > _FREE_RATE:
            self.rate, self._is_reopening = None, False

    def _heed_headroom(self) -> None:
        told = self._headroom() if self.rate is None else None
        if told is not None and told.calls_left < told.calls_per_second * _WINDOW_SECONDS:
            self._set(told.calls_per_second, _CREEP)
            self._next_at = self._clock.monotonic_seconds() + 1 / told.calls_per_second


class Paces:
    """The paces of this process, by the id of the integration; all its task runs share them."""

    def __init__(self, clock: Clock, headroom: Callable[[str], Headroom | None]) -> None:
        self._clock = clock
        self._headroom = headroom
        self._paces: dict[str, Pace] = {}

    def of(self, integration_id: str) -> Pace:
        pace = self._paces.get(integration_id)
        if pace is None:
            pace = Pace(self._clock, lambda: self._headroom(integration_id))
            self._paces[integration_id] = pace
        return pace
