"""The lease monitor finds dead owners in time, and no living owner is found dead, whatever the clocks say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaltasks.engine.runs.lease_monitor import Lease, LeaseMonitor

LEASE, HEARTBEAT, SECOND_US = 10.0, 2.5, 1_000_000
looks = st.lists(
    # Seconds until the next check, and by how much the wall clock is changed in between.
    st.tuples(st.floats(0.01, 36_000), st.floats(-1e6, 1e6)),
    min_size=1,
    max_size=60,
)


@given(looks, st.floats(-1e6, 1e6))
def test_owner_that_renews_between_any_two_checks_is_never_dead(
    steps: list[tuple[float, float]], owners_error: float
) -> None:
    monitor, monotonic, wall = LeaseMonitor(LEASE, HEARTBEAT), 0.0, 0.0
    for number, (seconds, jump) in enumerate(steps):
        monotonic, wall = monotonic + seconds, wall + seconds + jump
        lease = Lease(1, "owner", int((wall + owners_error + LEASE) * SECOND_US) + number)
        assert monitor.find_dead([lease], now_us=int(wall * SECOND_US), monotonic_seconds=monotonic) == []


@given(st.floats(-1e9, 1e9), st.floats(0.1, 2.5))
def test_dead_owner_is_found_within_its_lease_whatever_expiry_it_names(until: float, poll: float) -> None:
    monitor, lease = LeaseMonitor(LEASE, HEARTBEAT), Lease(1, "owner", int(until * SECOND_US))
    monotonic = 0.0
    while not monitor.find_dead([lease], now_us=0, monotonic_seconds=monotonic):
        monotonic += poll
    assert monotonic < LEASE + 2 * poll


def test_expired_lease_needs_two_heartbeats_without_renewal() -> None:
    monitor, lease = LeaseMonitor(LEASE, HEARTBEAT), Lease(1, "owner", 0)
    found = [monitor.find_dead([lease], now_us=SECOND_US, monotonic_seconds=float(second)) for second in range(7)]
    assert found == [[], [], [], [], [], [lease], [lease]]


def test_lease_is_expired_from_the_time_it_names() -> None:
    for until_us, is_dead in ((SECOND_US, True), (SECOND_US + 1, False)):
        monitor, lease = LeaseMonitor(LEASE, HEARTBEAT), Lease(1, "owner", until_us)
        for second in range(6):
            dead = monitor.find_dead([lease], now_us=SECOND_US, monotonic_seconds=float(second))
        assert dead == ([lease] if is_dead else [])


def test_time_without_a_check_counts_for_one_heartbeat() -> None:
    monitor, lease = LeaseMonitor(LEASE, HEARTBEAT), Lease(1, "owner", 0)
    for monotonic in (0.0, 1.0, 30_000.0):
        assert monitor.find_dead([lease], now_us=10**15, monotonic_seconds=monotonic) == []


def test_each_lease_is_monitored_separately_and_missing_ones_are_forgotten() -> None:
    monitor, one, two = LeaseMonitor(0.0, HEARTBEAT), Lease(1, "a", 0), Lease(2, "b", 0)
    assert monitor.find_dead([one, two], now_us=1, monotonic_seconds=0.0) == [one, two]
    monitor = LeaseMonitor(2.0, HEARTBEAT)
    monitor.find_dead([one, two], now_us=1, monotonic_seconds=0.0)
    monitor.find_dead([two], now_us=1, monotonic_seconds=1.0)
    assert monitor.find_dead([one, two], now_us=1, monotonic_seconds=2.0) == [two]
