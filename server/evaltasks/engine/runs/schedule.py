"""Continuous tasks: new spans become task runs by themselves, while a process is alive.

A task remembers the number of the last span it has taken. A task run over everything after it and the new mark are
written in one transaction, so of several processes one makes the task run and no span is taken twice. While a task
run of the task is unfinished, and for a few seconds after it began, new spans gather for the next one.

A task over traces or sessions takes only spans that came some time ago. Its task run evaluates a trace or session when
none of its spans is newer than those taken: it has been quiet. One that is not is found again by its later spans.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.task_runs import TriggerTaskRun
from evaltasks.api.tasks import Task
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.fault_injection import FaultInjection
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.store.groups import quiet_upto_seq
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.task_runs import add_task_run
from evaltasks.engine.store.tasks import continuous_rows, find_task, take_spans_upto, version_for

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Due:
    """A continuous task and the spans it is to take: after the first number, up to the second."""

    task_id: str
    after_seq: int
    upto_seq: int


async def make_continuous_runs(services: Services, limits: ExecutorLimits) -> int:
    """A pending task run for every continuous task with spans to take; how many were made."""
    now_us, fault_injection = to_us(services.clock.now()), services.fault_injection
    if not await services.store.read(lambda tx: len(_due(tx, now_us, limits, fault_injection))):
        return 0

    def work(tx: Transaction) -> int:
        due = _due(tx, now_us, limits, fault_injection)
        for one in due:
            add_task_run(
                tx,
                run_id=services.new_id("TaskRun"),
                task_id=one.task_id,
                options=TriggerTaskRun(),
                now_us=now_us,
                span_seqs=(one.after_seq, one.upto_seq),
            )
            take_spans_upto(tx, one.task_id, one.upto_seq)
        return len(due)

    return await services.store.write(work)


def _due(tx: Transaction, now_us: int, limits: ExecutorLimits, fault_injection: FaultInjection) -> list[_Due]:
    ran_before_us = now_us - int(limits.continuous_seconds * _SECOND_US)
    quiet_since_us = now_us - int(limits.quiet_seconds * _SECOND_US)
    found = []
    for row in continuous_rows(tx, ran_before_us=ran_before_us, now_us=now_us):
        task = find_task(tx, row["id"])
        assert task is not None
        indexed_upto_us = fault_injection.evaluation_index(task.name, now_us).upto_us
        bounds = [indexed_upto_us, None if _takes_spans(tx, task) else quiet_since_us]
        came_before_us = min((bound for bound in bounds if bound is not None), default=None)
        upto_seq = row["upto_seq"] if came_before_us is None else _upto(tx, row, now_us, came_before_us)
        if upto_seq is not None:
            found.append(_Due(task.id, row["after_seq"], upto_seq))
    return found


def _takes_spans(tx: Transaction, task: Task) -> bool:
    """False for a task over traces or sessions. The evaluators of a task share one granularity."""
    versions = (version_for(tx, one.evaluator_id, one.evaluator_version_id) for one in task.evaluators)
    return all(version is None or version.granularity is DataGranularity.SPAN for version in versions)


def _upto(tx: Transaction, row: Row, now_us: int, came_before_us: int) -> int | None:
    """The newest span to take when only those that came some time ago are."""
    return quiet_upto_seq(
        tx, project_id=row["project_id"], after_seq=row["after_seq"], quiet_since_us=came_before_us, now_us=now_us
    )
