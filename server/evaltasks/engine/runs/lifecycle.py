"""The life of a task run, as a table.

    PENDING --claim--> RUNNING --complete--> COMPLETED
       |                  |------fail------> FAILED
       |--fail--> FAILED  |-----cancel-----> CANCELLED
       |--cancel--> CANCELLED

`claim` is also how a living process takes over a run whose owner is dead: RUNNING stays RUNNING. An end is final.
What may happen to a run is asked of this table and of nothing else; the documentation's table is made from it.
"""

from __future__ import annotations

from enum import StrEnum

from evaltasks.api.task_runs import TERMINAL_STATUSES, TaskRunStatus


class Step(StrEnum):
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"


NEXT: dict[tuple[TaskRunStatus, Step], TaskRunStatus] = {
    (TaskRunStatus.PENDING, Step.CLAIM): TaskRunStatus.RUNNING,
    (TaskRunStatus.PENDING, Step.FAIL): TaskRunStatus.FAILED,
    (TaskRunStatus.PENDING, Step.CANCEL): TaskRunStatus.CANCELLED,
    (TaskRunStatus.RUNNING, Step.CLAIM): TaskRunStatus.RUNNING,
    (TaskRunStatus.RUNNING, Step.COMPLETE): TaskRunStatus.COMPLETED,
    (TaskRunStatus.RUNNING, Step.FAIL): TaskRunStatus.FAILED,
    (TaskRunStatus.RUNNING, Step.CANCEL): TaskRunStatus.CANCELLED,
}


def after(status: TaskRunStatus, step: Step) -> TaskRunStatus | None:
    """The status that follows, or None when the step is not allowed from here."""
    return NEXT.get((status, step))


__all__ = ["NEXT", "TERMINAL_STATUSES", "Step", "after"]
