"""Limits of one process's executor."""

from __future__ import annotations

from dataclasses import dataclass, replace

_HEARTBEATS_PER_LEASE = 4


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    in_flight_max: int = 20  # concurrent judge calls of all task runs of this process
    task_runs_max: int = 8  # task runs that are processed at once
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 2.5
    poll_seconds: float = 1.0  # how soon work of other processes is noticed
    row_retry_seconds_max: float = 300.0  # of a row, and of a provider that accepts no call
    retry_seconds: float = 0.5  # first pause before a retry of a row; doubled up to retry_seconds_max
    retry_seconds_max: float = 30.0
    backing_off_rows_max: int = 200  # rows that wait without a worker; further ones block theirs
    rows_per_fetch: int = 200
    same_failures_max: int = 50  # so many first failures for one reason stop a task run
    gather_seconds: float = 0.025  # many outcomes are collected for so long before a commit
    continuous_seconds: float = 5.0  # shortest time between task runs of a continuous task
    quiet_seconds: float = 60.0  # without a new span until a trace or session is evaluated

    def with_lease(self, lease_seconds: float) -> ExecutorLimits:
        """Return these limits with this lease and the heartbeat that fits it.

        Args:
            lease_seconds: How long a task run stays reserved for a process that does not renew it.
        """
        return replace(self, lease_seconds=lease_seconds, heartbeat_seconds=lease_seconds / _HEARTBEATS_PER_LEASE)
