"""Tells whether the owner of a task run still lives, without trusting anybody's wall clock.

A living owner renews its lease every heartbeat. Who watches counts, on its own monotonic clock, for how long a lease
has stood unchanged:

* unchanged for `lease_seconds`: the owner is dead, whatever time the lease names. An owner whose clock was hours ahead
  is not waited for.
* unchanged for `confirm_seconds` (two heartbeats), and over by the wall clock: dead too. This is the usual case after
  a crash: a process that opens the store later goes on almost at once. The wall clock alone never decides, so a
  clock that jumps ahead takes nothing from anybody.
* Time in which no one looked counts for one heartbeat at most: after a computer has slept, or a process was
  stopped, the owner first gets the chance to renew. The same after the store could not be written (`reset`).

What is found dead is taken over only if the lease still stands as it was seen (`task_runs.still_claimable`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """Of an unfinished task run, as it was seen; without an owner no one works on it."""

    seq: int
    owner: str | None
    until_us: int | None


@dataclass(slots=True)
class _Seen:
    lease: Lease
    unchanged_seconds: float


class Watch:
    def __init__(self, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._confirm_seconds = min(2 * heartbeat_seconds, lease_seconds)
        self._look_seconds_max = heartbeat_seconds
        self._seen: dict[int, _Seen] = {}
        self._looked_at: float | None = None

    def reset(self) -> None:
        """Count from the next look on: the store was not to be written, so no owner could renew."""
        self._seen = {}

    def look(self, leases: Iterable[Lease], *, now_us: int, monotonic_seconds: float) -> list[Lease]:
        """Take note of all leases that others hold; those whose owner is dead."""
        since = 0.0 if self._looked_at is None else monotonic_seconds - self._looked_at
        since = min(max(since, 0.0), self._look_seconds_max)
        self._looked_at = monotonic_seconds
        before, self._seen = self._seen, {}
        dead = []
        for lease in leases:
            known = before.get(lease.seq)
            unchanged = known.unchanged_seconds + since if known is not None and known.lease == lease else 0.0
            self._seen[lease.seq] = _Seen(lease, unchanged)
            is_over = lease.until_us is None or lease.until_us <= now_us
            if unchanged >= (self._confirm_seconds if is_over else self._lease_seconds):
                dead.append(lease)
        return dead
