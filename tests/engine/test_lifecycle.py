"""The lifecycle table of task runs, and its copy in the documentation."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from evaltasks.api.task_runs import TERMINAL_STATUSES, TaskRunStatus
from evaltasks.engine.runs.lifecycle import NEXT, Step, after

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"


@pytest.mark.parametrize(("status", "step"), list(itertools.product(sorted(TERMINAL_STATUSES), Step)))
def test_final_status_has_no_next_step(status: TaskRunStatus, step: Step) -> None:
    assert after(status, step) is None


@pytest.mark.parametrize("status", [TaskRunStatus.PENDING, TaskRunStatus.RUNNING])
def test_unfinished_task_run_can_always_be_cancelled(status: TaskRunStatus) -> None:
    assert after(status, Step.CANCEL) is TaskRunStatus.CANCELLED


def test_only_a_running_task_run_can_complete() -> None:
    assert [status for status in TaskRunStatus if after(status, Step.COMPLETE)] == [TaskRunStatus.RUNNING]


def test_documentation_has_the_lifecycle_table() -> None:
    rows = [
        line
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| pending", "| running"))
    ]
    shown = {}
    for row in rows:
        cells = [cell.strip().split(" ")[0] for cell in row.strip("|").split("|")]
        for step, cell in zip(Step, cells[1:], strict=True):
            if cell != "–":
                shown[TaskRunStatus(cells[0].upper()), step] = TaskRunStatus(cell.upper())
    assert shown == NEXT
