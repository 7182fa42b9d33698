"""Make task runs of continuous tasks for new spans, while a process is alive.

A task stores the number of the last span that it covers. A task run over all later spans and the new number are written
in one transaction, so that only one of several processes makes the task run and no span is covered twice. While a task
run of the task is unfinished, and for a few seconds after it started, new spans are collected for the next one.

A task over traces or sessions covers only spans that arrived some time ago. Its task run evaluates a trace or session
if none of its spans is newer than the covered ones, which means that no span arrived lately. Any other trace or
session is found again by its later spans.
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
    """A continuous task and the spans that its next task run covers: after `after_seq`, up to `upto_seq`."""

    task_id: str
    after_seq: int
    upto_seq: int


async def make_continuous_runs(services: Services, limits: ExecutorLimits) -> int:
    """Make a pending task run for every continuous task with new spans; return how many were made."""
    now_us, fault_injection = to_us(services.clock.now()), services.fault_injection
    if not await services.store.read(lambda tx: len(_find_due(tx, now_us, limits, fault_injection))):
        return 0

    def write_runs(tx: Transaction) -> int:
        due = _find_due(tx, now_us, limits, fault_injection)
        for task in due:
            add_task_run(
                tx,
                run_id=services.new_id("TaskRun"),
                task_id=task.task_id,
                options=TriggerTaskRun(),
                now_us=now_us,
                span_seqs=(task.after_seq, task.upto_seq),
            )
            take_spans_upto(tx, task.task_id, task.upto_seq)
        return len(due)

    return await services.store.write(write_runs)


def _find_due(tx: Transaction, now_us: int, limits: ExecutorLimits, fault_injection: FaultInjection) -> list[_Due]:
    ran_before_us = now_us - int(limits.continuous_seconds * _SECOND_US)
    quiet_since_us = now_us - int(limits.quiet_seconds * _SECOND_US)
    due = []
    for row in continuous_rows(tx, ran_before_us=ran_before_us, now_us=now_us):
        task = find_task(tx, row["id"])
        assert task is not None
        indexed_upto_us = fault_injection.evaluation_index(task.name, now_us).upto_us
        bounds = [indexed_upto_us, None if _evaluates_spans(tx, task) else quiet_since_us]
        arrived_before_us = min((bound for bound in bounds if bound is not None), default=None)
        upto_seq = row["upto_seq"] if arrived_before_us is None else _quiet_upto_seq(tx, row, now_us, arrived_before_us)
        if upto_seq is not None:
            due.append(_Due(task.id, row["after_seq"], upto_seq))
    return due


def _evaluates_spans(tx: Transaction, task: Task) -> bool:
    """Return False for a task over traces or sessions. The evaluators of a task have one granularity."""
    versions = (version_for(tx, attached.evaluator_id, attached.evaluator_version_id) for attached in task.evaluators)
    return all(version is None or version.granularity is DataGranularity.SPAN for version in versions)


def _quiet_upto_seq(tx: Transaction, row: Row, now_us: int, arrived_before_us: int) -> int | None:
    """Return the number of the newest span that arrived before a time; None if there is no such new span."""
    return quiet_upto_seq(
        tx, project_id=row["project_id"], after_seq=row["after_seq"], quiet_since_us=arrived_before_us, now_us=now_us
    )
