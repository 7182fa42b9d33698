"""Works off task runs in the task group that the engine owns."""

from __future__ import annotations

from dataclasses import dataclass

from evaltasks.engine.call import Services


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """Bounds of one process's executor."""

    in_flight_max: int = 20  # judge calls at once, over all task runs of this process
    task_runs_max: int = 8  # task runs worked on at once
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 2.5
    poll_seconds: float = 1.0  # how soon work of other processes is noticed
    row_patience_seconds: float = 300.0  # how long a row is tried again while the provider asks to wait
    retry_seconds: float = 0.5  # the first pause before a row is tried again; doubled up to retry_seconds_max
    retry_seconds_max: float = 30.0
    waiting_rows_max: int = 100  # rows that wait apart; beyond it a waiting row holds its worker
    rows_per_fetch: int = 200


class Executor:
    def __init__(self, services: Services, limits: ExecutorLimits) -> None:
        self._services = services
        self._limits = limits

    async def work(self) -> None:
        while True:
            await self._services.bell.wait(self._limits.poll_seconds)
