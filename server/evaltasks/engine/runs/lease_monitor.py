"""Detect dead owners of task runs without relying on any process's wall clock.

A living owner renews its lease at every heartbeat. The monitor measures, on its own monotonic clock, for how long a
lease has not changed:

* Unchanged for `lease_seconds`: the owner is dead, whatever expiry time the lease names. An owner whose clock was hours
  ahead does not block its task run.
* Unchanged for two heartbeats, and expired by the wall clock: dead as well. This is the usual case after a crash: a
  process that opens the store later resumes the task run almost at once. The wall clock alone never decides, so a clock
  that jumps ahead takes no task run from its owner.
* Time in which no check was made counts for one heartbeat at most: after a computer has slept, or a process was
  suspended, the owner first gets the chance to renew. The same holds after the store could not be written (`reset`).

The task run of a dead owner is taken over only if its lease is still the one that was checked
(`claims.still_claimable`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of an unfinished task run at the time of a check; without an owner no process works on it."""

    seq: int
    owner: str | None
    until_us: int | None


@dataclass(slots=True)
class _Observation:
    lease: Lease
    unchanged_seconds: float


class LeaseMonitor:
    """Decides from repeated checks which owners are dead."""

    def __init__(self, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._expired_seconds = min(2 * heartbeat_seconds, lease_seconds)
        self._check_seconds_max = heartbeat_seconds
        self._observations: dict[int, _Observation] = {}
        self._checked_at: float | None = None

    def reset(self) -> None:
        """Start measuring again at the next check: the store could not be written, so no owner could renew."""
        self._observations = {}

    def find_dead(self, leases: Iterable[Lease], *, now_us: int, monotonic_seconds: float) -> list[Lease]:
        """Check all leases of other owners.

        Args:
            leases: Every lease that another owner has now; those missing are forgotten.
            now_us: The wall clock, in microseconds.
            monotonic_seconds: This process's monotonic clock.

        Returns:
            The leases whose owner is dead.
        """
        elapsed = 0.0 if self._checked_at is None else monotonic_seconds - self._checked_at
        elapsed = min(max(elapsed, 0.0), self._check_seconds_max)
        self._checked_at = monotonic_seconds
        before, self._observations = self._observations, {}
        dead = []
        for lease in leases:
            known = before.get(lease.seq)
            unchanged = known.unchanged_seconds + elapsed if known is not None and known.lease == lease else 0.0
            self._observations[lease.seq] = _Observation(lease, unchanged)
            is_expired = lease.until_us is None or lease.until_us <= now_us
            if unchanged >= (self._expired_seconds if is_expired else self._lease_seconds):
                dead.append(lease)
        return dead
