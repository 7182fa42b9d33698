"""The window of data that a task run evaluates, and whether one asked for is one that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evaltasks.api.task_runs import TaskRun
from evaltasks.api.wire import rfc3339
from evaltasks.insight.task_rules import WINDOW_DAYS_MAX, WINDOW_MAX

# Times travel in milliseconds; what differs by less is the same window.
_SAME = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """None leaves an end to the service. `note` says what was filled in."""

    start: datetime | None
    end: datetime | None
    note: str | None = None


def settled_window(start: datetime | None, end: datetime | None, history: Sequence[TaskRun], now: datetime) -> Window:
    """The window of a project task: what was given, and the last 30 days where nothing else gives a start.

    `history` is the task's runs, newest first. Without a start the service goes on where the last run ended; on the
    first run there is nothing to go on from, and what ended more than 30 days ago is too far back.
    """
    if start is not None:
        return Window(start, end)
    ends = [task_run.data_end_time for task_run in history if task_run.data_end_time is not None]
    last_end = max(ends, default=None)
    until = (end or now).replace(microsecond=0)
    if last_end is not None and last_end < until and until - last_end <= WINDOW_MAX:
        return Window(None, end)
    if last_end is not None and last_end >= until:
        return Window(None, end)
    start = until - WINDOW_MAX
    why = (
        "No window was given and this is the task's first run"
        if last_end is None
        else f"No start was given and the last run's window ended more than {WINDOW_DAYS_MAX} days ago"
    )
    return Window(
        start,
        until,
        f"{why}: the {WINDOW_DAYS_MAX} days {rfc3339(start)} to {rfc3339(until)} (UTC) are evaluated.",
    )


def same_window(task_run: TaskRun, start: datetime | None, end: datetime | None) -> bool:
    """Whether what is asked for is what the task run does already; an end that is missing agrees with any."""
    return _same(task_run.data_start_time, start) and _same(task_run.data_end_time, end)


def _same(there: datetime | None, asked: datetime | None) -> bool:
    return asked is None or there is None or abs(there - asked) < _SAME
