"""The adaptive rate limiter sends calls as fast as the provider accepts them, and hardly faster."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaltasks.engine.providers.rate_limit_headers import (
    RateLimitStatus,
    parse_duration_seconds,
    rate_limit_status_from,
)
from evaltasks.engine.runs.rate_limiter import AdaptiveRateLimiter, RateLimiters
from tests.support.engines import ManualClock


class VirtualClock(ManualClock):
    seconds = 0.0

    def monotonic_seconds(self) -> float:
        return self.seconds


@dataclass
class Provider:
    """Accepts `rate` calls a second from a token bucket of `burst`, and refuses a share of `at_random` as well."""

    rate: float | None = None
    burst: float = 20
    at_random: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    closed_until: float = 0.0
    _saved: float | None = None
    _saved_at: float = 0.0

    def admits(self, now: float) -> bool:
        if now < self.closed_until or self.dice.random() < self.at_random:
            return False
        if self.rate is None:
            return True
        saved = self.burst if self._saved is None else self._saved
        self._saved = min(self.burst, saved + (now - self._saved_at) * self.rate)
        self._saved_at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


@dataclass
class Played:
    seconds: float
    refused: int
    rows: int
    rate: float | None

    @property
    def share(self) -> float:
        return self.refused / (self.refused + self.rows)


def play(
    provider: Provider,
    rows: int,
    *,
    places: int = 50,
    latency: float = 0.05,
    refused_after: float | None = None,
    retry_after: float = 1.0,
    limiter: AdaptiveRateLimiter | None = None,
) -> Played:
    """Judge rows in virtual time, as `RowProcessor` does: call slots, rows that back off, retries first."""
    clock = VirtualClock()
    limiter = limiter or AdaptiveRateLimiter(clock)
    limiter._clock = clock  # a limiter with a history continues in this time
    dice = random.Random("play")
    events: list[tuple[float, int, str, float]] = []
    count = 0

    def at(seconds: float, what: str, sent_at: float = 0.0) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (seconds, count, what, sent_at))

    fresh, back, busy, done, refused, look_at = rows, 0, 0, 0, 0, -1.0
    while done < rows:
        now = clock.seconds
        while busy < places and (fresh or back):
            seconds = limiter.wait_seconds(now)
            if seconds > 0.001:
                if not now < look_at <= now + seconds:
                    look_at = now + min(seconds, 0.25)
                    at(look_at, "look")
                break
            if back:
                back -= 1
            else:
                fresh -= 1
            busy += 1
            limiter.record_sent(now)
            # Calls that are sent at the same moment do not reach the provider at the same moment.
            reached = now + 0.0005 * busy * dice.random()
            if provider.admits(reached):
                at(reached + latency, "accepted", now)
            else:
                at(reached + (latency if refused_after is None else refused_after), "refused", now)
        clock.seconds, _, what, sent_at = heapq.heappop(events)
        if what == "accepted":
            busy, done = busy - 1, done + 1
            limiter.record_accepted(sent_at)
        elif what == "refused":
            busy, refused = busy - 1, refused + 1
            limiter.record_refused(sent_at)
            at(clock.seconds + retry_after * (1 + 0.1 * dice.random()), "back")
        elif what == "back":
            back += 1
    return Played(clock.seconds, refused, rows, limiter.rate)


def test_provider_that_refuses_nothing_is_called_with_all_call_slots() -> None:
    played = play(Provider(), 2000)
    assert (played.rate, played.refused) == (None, 0)
    assert played.seconds < 2000 * 0.05 / 50 * 1.3


@pytest.mark.parametrize("places", [20, 50, 100])
def test_limit_of_200_per_second_takes_near_ideal_time_with_few_refusals(places: int) -> None:
    played = play(Provider(rate=200), 2000, places=places)
    assert played.seconds <= 1.4 * 2000 / 200
    assert played.share <= 0.2


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([2.0, 10.0, 40.0, 150.0, 300.0]),
    seconds_saved=st.floats(0.1, 1.0),
    latency=st.sampled_from([0.02, 0.1, 0.6]),
    places=st.sampled_from([10, 30, 60]),
    retry_after=st.sampled_from([0.2, 1.0, 3.0]),
)
def test_law_limit_is_used_and_few_calls_are_refused(
    rate: float, seconds_saved: float, latency: float, places: int, retry_after: float
) -> None:
    """No row is lost, the time is within 1.4 of the ideal, and a fifth is refused (besides the first moment)."""
    rows = int(20 * rate) + places
    played = play(
        Provider(rate=rate, burst=max(5.0, rate * seconds_saved)),
        rows,
        places=places,
        latency=latency,
        retry_after=retry_after,
    )
    ideal = max(rows / rate, rows * latency / places)
    assert played.seconds <= 1.4 * ideal + 2 * retry_after
    assert played.refused <= played.rows / 4 + 2 * places + 10


@pytest.mark.parametrize("seed", range(5))
def test_random_refusals_do_not_slow_other_calls(seed: int) -> None:
    played = play(Provider(at_random=0.1, dice=random.Random(seed)), 2000)
    # Two seconds for the calls; a row that is refused five times waits for its Retry-After each time.
    assert played.seconds < 2.0 + 5 * 1.1
    assert played.rate is None or played.rate > 800


@pytest.mark.parametrize("seed", range(5))
def test_refusals_that_arrive_before_answers_are_not_overestimated(seed: int) -> None:
    provider = Provider(at_random=0.1, dice=random.Random(seed))
    played = play(provider, 500, latency=3.0, refused_after=0.02)
    # 50 call slots and three seconds a call are about 17 calls a second; refused calls are additional.
    assert played.rate is None or played.rate > 50
    assert played.seconds < 500 * 3.0 / 50 + 2 * 3.0


def test_too_low_rate_is_corrected_despite_random_refusals() -> None:
    limiter = AdaptiveRateLimiter(VirtualClock())
    for _ in range(20):
        limiter.record_sent(0.0)
        limiter.record_refused(0.0)
    limiter.wait_seconds(1.0)
    assert limiter.rate is not None and limiter.rate <= 10
    played = play(Provider(at_random=0.1), 2000, limiter=limiter)
    assert played.seconds < 20


def test_provider_outage_is_probed_by_single_calls_and_recovery_is_fast() -> None:
    played = play(Provider(closed_until=10.0), 2000)
    assert played.seconds < 10 + 8 + 4
    assert played.refused < 2 * 50 + 10


def _send(limiter: AdaptiveRateLimiter, clock: VirtualClock, accepted: int, refused: int) -> None:
    sent_at = clock.seconds
    for _ in range(accepted + refused):
        limiter.record_sent(sent_at)
    clock.seconds += 0.05
    for _ in range(accepted):
        limiter.record_accepted(sent_at)
    for _ in range(refused):
        limiter.record_refused(sent_at)


def test_few_refusals_set_no_limit_and_many_pause_calls_at_once() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _send(limiter, clock, accepted=16, refused=4)
    assert limiter.rate is None
    _send(limiter, clock, accepted=2, refused=15)
    assert limiter.rate is not None
    assert limiter.wait_seconds(clock.seconds) > 0


@pytest.mark.parametrize(
    ("accepted", "refused", "is_paused"),
    [
        # Five refusals, if more than half of the calls were refused.
        (0, 4, False),
        (0, 5, True),
        (5, 5, False),
        (4, 5, True),
        # Ten refusals, if more than a fifth were refused.
        (35, 9, False),
        (40, 10, False),
        (39, 10, True),
    ],
)
def test_provider_is_at_its_limit_from_enough_refusals(accepted: int, refused: int, is_paused: bool) -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _send(limiter, clock, accepted, refused)
    assert limiter.wait_seconds(clock.seconds) == (pytest.approx(0.1) if is_paused else 0.0)


def test_pause_ends_with_the_rate_that_was_accepted() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _send(limiter, clock, accepted=4, refused=5)
    clock.seconds += 0.125
    assert limiter.wait_seconds(clock.seconds) == 0.0
    # Four calls, which may have used up saved permits, count as those of a quarter of a second.
    assert limiter.rate == pytest.approx(1.05 * 4 / 0.25)


def test_first_pause_counts_the_calls_as_those_of_the_time_until_a_refusal() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    for _ in range(9):
        limiter.record_sent(0.0)
    clock.seconds = 1.0
    for _ in range(4):
        limiter.record_accepted(0.0)
    for _ in range(5):
        limiter.record_refused(0.0)
    assert limiter.wait_seconds(1.5) == 0.0
    assert limiter.rate == pytest.approx(1.05 * 4 / 1.0)


def test_rate_after_the_first_pause_counts_the_previous_window() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _window(limiter, clock, accepted=40, refused=0, seconds=0.5)
    _send(limiter, clock, accepted=40, refused=11)
    assert limiter.wait_seconds(clock.seconds + 0.125) == 0.0
    assert limiter.rate == pytest.approx(1.05 * (40 + 40) / (0.5 + 0.25))


def test_calls_that_were_not_sent_do_not_count_as_accepted() -> None:
    limiter = AdaptiveRateLimiter(VirtualClock())
    for _ in range(20):
        limiter.record_sent(0.0)
    for _ in range(15):
        limiter.record_unsent(0.0)
    for _ in range(5):
        limiter.record_refused(0.0)
    assert limiter.wait_seconds(0.0) > 0


def test_seconds_since_accepted_starts_with_the_limiter_and_with_each_accepted_call() -> None:
    clock = VirtualClock()
    clock.seconds = 2.0
    limiter = AdaptiveRateLimiter(clock)
    clock.seconds = 5.0
    assert limiter.seconds_since_accepted() == 3.0
    limiter.record_refused(4.0)
    assert limiter.seconds_since_accepted() == 3.0
    limiter.record_accepted(4.0)
    clock.seconds = 9.0
    assert limiter.seconds_since_accepted() == 4.0


@pytest.mark.parametrize(("accepted", "is_false_alarm"), [(20, True), (19, False)])
def test_pause_is_a_false_alarm_if_at_most_a_fifth_was_refused_after_all(accepted: int, is_false_alarm: bool) -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    for _ in range(5 + accepted):
        limiter.record_sent(0.0)
    clock.seconds = 0.0625
    for _ in range(5):
        limiter.record_refused(0.0)
    assert limiter.wait_seconds(clock.seconds) > 0
    for _ in range(accepted):
        limiter.record_accepted(0.0)
    limiter.wait_seconds(1.0)
    assert (limiter.rate is None) is is_false_alarm


def _limited(clock: VirtualClock) -> AdaptiveRateLimiter:
    """Return a limiter of 40 calls per second, with an empty window."""
    limiter = AdaptiveRateLimiter(clock, lambda: RateLimitStatus(calls_left=0.0, calls_per_second=40.0))
    _send(limiter, clock, accepted=1, refused=0)
    assert limiter.rate == 40.0
    return limiter


def _window(limiter: AdaptiveRateLimiter, clock: VirtualClock, accepted: int, refused: int, seconds: float) -> None:
    """Send all calls but the last at once, and the last one `seconds` later; the refused ones are the last."""
    clock.seconds = started_at = float(int(clock.seconds) + 1)
    sent_at = [started_at] * (accepted + refused - 1) + [started_at + seconds]
    for at in sent_at:
        limiter.record_sent(at)
    for place, at in enumerate(sent_at):
        clock.seconds = at
        if place < accepted:
            limiter.record_accepted(at)
        else:
            limiter.record_refused(at)


def test_rate_grows_by_a_twentieth_then_twice_as_much_up_to_a_half() -> None:
    clock = VirtualClock()
    limiter = _limited(clock)
    rates = [40.0]
    for _ in range(6):
        _window(limiter, clock, accepted=10, refused=0, seconds=0.5)
        assert limiter.rate is not None
        rates.append(limiter.rate)
    growth = [after / before for before, after in itertools.pairwise(rates)]
    assert growth == pytest.approx([1.05, 1.05**2, 1.05**4, 1.05**8, 1.5, 1.5])


@pytest.mark.parametrize(
    ("accepted", "refused", "seconds", "rate"),
    [
        (10, 0, 0.25, 40.0),  # a shorter window goes on
        (9, 0, 0.5, 40.0),  # one with fewer answers, too
        (10, 0, 0.5, 40.0 * 1.05),
        (16, 4, 0.5, 40.0 * 1.05),  # a fifth
        (15, 4, 0.5, 40.0),  # more, but few: it may be chance
        (12, 5, 0.5, 1.05 * 12 / 0.5),
        (6, 6, 0.5, 40.0 / 2),  # at most halved
    ],
)
def test_window_changes_the_rate_by_what_was_accepted(accepted: int, refused: int, seconds: float, rate: float) -> None:
    clock = VirtualClock()
    limiter = _limited(clock)
    _window(limiter, clock, accepted, refused, seconds)
    assert limiter.rate == pytest.approx(rate)


def test_provider_that_accepts_nothing_is_probed_after_doubled_pauses_up_to_30_seconds() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _send(limiter, clock, accepted=0, refused=5)
    clock.seconds += 0.25
    pauses = []
    for _ in range(9):
        pauses.append(limiter.wait_seconds(clock.seconds))
        clock.seconds += pauses[-1]
        assert limiter.wait_seconds(clock.seconds) == 0.0
        limiter.record_sent(clock.seconds)
        limiter.record_refused(clock.seconds)
    assert pauses == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30])


def test_rate_grows_by_half_with_each_accepted_call_after_an_outage() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    for _ in range(5):
        limiter.record_sent(0.0)
        limiter.record_refused(0.0)
    clock.seconds = 0.25
    clock.seconds += limiter.wait_seconds(clock.seconds)
    rates = []
    for _ in range(4):
        limiter.record_sent(clock.seconds)
        limiter.record_accepted(clock.seconds)
        assert limiter.rate is not None
        rates.append(limiter.rate)
        assert limiter.wait_seconds(clock.seconds) == pytest.approx(1 / limiter.rate)
    assert rates == [6.0, 9.0, 13.5, 20.25]
    num_accepted = len(rates)
    while limiter.rate is not None:
        assert limiter.rate <= 5000
        limiter.record_sent(clock.seconds)
        limiter.record_accepted(clock.seconds)
        num_accepted += 1
    assert 4 * 1.5 ** (num_accepted - 1) <= 5000 < 4 * 1.5**num_accepted


def test_answers_to_calls_sent_before_the_pause_are_ignored() -> None:
    clock = VirtualClock()
    limiter = AdaptiveRateLimiter(clock)
    _send(limiter, clock, accepted=5, refused=10)
    before = limiter.rate
    for _ in range(30):
        limiter.record_refused(0.0)
    assert limiter.rate == before


def test_provider_that_reports_its_limit_is_limited_before_it_refuses() -> None:
    clock = VirtualClock()
    left = 100.0
    limiter = AdaptiveRateLimiter(clock, lambda: RateLimitStatus(calls_left=left, calls_per_second=40.0))
    _send(limiter, clock, accepted=10, refused=0)
    assert limiter.rate is None
    left = 20.0  # enough for half a second
    _send(limiter, clock, accepted=1, refused=0)
    assert limiter.rate is None
    left = 19.0
    _send(limiter, clock, accepted=1, refused=0)
    assert limiter.rate == 40.0
    assert limiter.wait_seconds(clock.seconds) == pytest.approx(1 / 40)


def test_rate_limiter_is_shared_by_integration() -> None:
    limiters = RateLimiters(VirtualClock(), lambda _: None)
    assert limiters.for_integration("a") is limiters.for_integration("a")
    assert limiters.for_integration("a") is not limiters.for_integration("b")


async def test_retries_go_before_new_calls_and_a_cancelled_wait_lets_the_next_go() -> None:
    clock = ManualClock()
    limiter = AdaptiveRateLimiter(clock)
    for _ in range(5):
        limiter.record_sent(0.0)
        limiter.record_refused(0.0)
    went: list[str] = []

    async def go(name: str, is_retry: bool) -> None:
        await limiter.acquire(is_retry=is_retry)
        went.append(name)
        limiter.record_accepted(clock.monotonic_seconds())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            quitter = anyio.CancelScope()

            async def quit_later() -> None:
                with quitter:
                    await go("quitter", False)

            tasks.start_soon(quit_later)
            await clock.until_sleeping(1)
            tasks.start_soon(go, "fresh", False)
            tasks.start_soon(go, "refused", True)
            await anyio.lowlevel.checkpoint()
            assert went == []
            quitter.cancel()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
                await clock.turn(0.25)
    assert went == ["refused", "fresh"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12ms", 0.012), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("30", 30.0), ("2d", 172800.0)]
    + [(text, None) for text in (None, "", "soon", "2026-01-01T00:00:00Z", "-1s", "1 2", "12 ms")],
)
def test_reset_time_is_read_from_the_header(text: str | None, seconds: float | None) -> None:
    assert parse_duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("headers", "rate_limit_status"),
    [
        ({}, None),
        ({"limit-requests": "5000", "remaining-requests": "5000", "reset-requests": "0s"}, None),
        (
            {"limit-requests": "6000", "remaining-requests": "5900", "reset-requests": "1s"},
            RateLimitStatus(calls_left=5900, calls_per_second=100),
        ),
        # Tokens, at 500 a call, are scarcer here than requests.
        (
            {"limit-requests": "6000", "remaining-requests": "5900", "reset-requests": "1s"}
            | {"limit-tokens": "100000", "remaining-tokens": "10000", "reset-tokens": "9s"},
            RateLimitStatus(calls_left=20, calls_per_second=20),
        ),
        ({"limit-requests": "many", "remaining-requests": "x", "reset-requests": "1s"}, None),
        # Nothing is used up, although there is a reset.
        ({"limit-requests": "5000", "remaining-requests": "5000", "reset-requests": "1s"}, None),
        ({"limit-requests": "5000", "remaining-requests": "4999", "reset-requests": "1s"}, RateLimitStatus(4999, 1)),
        # Only tokens are reported.
        ({"limit-tokens": "100000", "remaining-tokens": "10000", "reset-tokens": "9s"}, RateLimitStatus(20, 20)),
    ],
)
def test_rate_limit_status_is_read_from_the_scarcer_of_requests_and_tokens(
    headers: Any, rate_limit_status: RateLimitStatus | None
) -> None:
    named = {f"x-ratelimit-{name}": value for name, value in headers.items()}
    assert rate_limit_status_from(named, tokens_per_call=500) == rate_limit_status
