"""The statuses of a task run and the steps between them, as a table.

    PENDING --claim--> RUNNING --complete--> COMPLETED
       |                  |------fail------> FAILED
       |--fail--> FAILED  |-----cancel-----> CANCELLED
       |--cancel--> CANCELLED

`claim` is also how a living process takes over a task run whose owner is dead: RUNNING stays RUNNING. The three end
statuses are final. No other code decides which steps are allowed; the table in the documentation is made from this one.
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
    """Return the status after a step, or None if the step is not allowed."""
    return NEXT.get((status, step))


__all__ = ["NEXT", "TERMINAL_STATUSES", "Step", "after"]
