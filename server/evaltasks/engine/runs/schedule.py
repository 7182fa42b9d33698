"""Continuous tasks: new spans become task runs by themselves, while a process is alive.

A task remembers the number of the last span it has taken. A task run over everything after it and the new mark are
written in one transaction, so of several processes one makes the task run and no span is taken twice. While a task
run of the task is unfinished, and for a few seconds after it began, new spans gather for the next one.
"""

from __future__ import annotations

from evaltasks.api.task_runs import TriggerTaskRun
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.task_runs import add_task_run


async def make_continuous_runs(services: Services, at_most_every_seconds: float) -> int:
    """A pending task run for every continuous task with new spans; how many were made."""
    now_us = to_us(services.clock.now())
    due_before = {"ran_before_us": now_us - int(at_most_every_seconds * 1_000_000)}
    if not await services.store.read(lambda tx: len(tx.all("tasks.continuous", due_before))):
        return 0

    def work(tx: Transaction) -> int:
        due = tx.all("tasks.continuous", due_before)
        for task in due:
            add_task_run(
                tx,
                run_id=services.new_id("TaskRun"),
                task_id=task["id"],
                options=TriggerTaskRun(),
                now_us=now_us,
                span_seqs=(task["after_seq"], task["upto_seq"]),
            )
            tx.run("tasks.take_spans_upto", {"id": task["id"], "upto_seq": task["upto_seq"]})
        return len(due)

    return await services.store.write(work)
