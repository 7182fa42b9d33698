"""Bounds of one process's executor."""

from __future__ import annotations

from dataclasses import dataclass, replace

_HEARTBEATS_PER_LEASE = 4


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    in_flight_max: int = 20  # judge calls at once, over all task runs of this process
    task_runs_max: int = 8  # task runs worked on at once
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 2.5
    poll_seconds: float = 1.0  # how soon work of other processes is noticed
    row_retry_seconds_max: float = 300.0  # how long a row is tried again, and a provider that accepts nothing at all
    retry_seconds: float = 0.5  # the first pause before a row is tried again; doubled up to retry_seconds_max
    retry_seconds_max: float = 30.0
    waiting_rows_max: int = 200  # rows that wait apart; beyond it a waiting row holds its worker
    rows_per_fetch: int = 200
    same_failures_max: int = 50  # the first rows of an evaluator may fail so often, all for one reason
    gather_seconds: float = 0.025  # outcomes of a flood are gathered for so long before they are committed
    continuous_seconds: float = 5.0  # a continuous task makes a task run at most this often
    quiet_seconds: float = 60.0  # a continuous task takes a trace or session to which no span came for so long

    def with_lease(self, lease_seconds: float) -> ExecutorLimits:
        """Return these limits with this lease and the heartbeat that fits it.

        Args:
            lease_seconds: How long a task run stays reserved for a process that does not renew it.
        """
        return replace(self, lease_seconds=lease_seconds, heartbeat_seconds=lease_seconds / _HEARTBEATS_PER_LEASE)
