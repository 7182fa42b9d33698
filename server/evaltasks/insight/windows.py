"""Choose the data window of a task run, and compare a requested window with that of a run in progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evaltasks.api.task_runs import TaskRun
from evaltasks.api.wire import rfc3339
from evaltasks.insight.task_rules import WINDOW_DAYS_MAX, WINDOW_MAX

# Times are sent in milliseconds, and services round them; a smaller difference is the same time.
_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A data window. The service chooses a time that is None; `note` reports what was filled in here."""

    start: datetime | None
    end: datetime | None
    note: str | None = None


def default_window(start: datetime | None, end: datetime | None, history: Sequence[TaskRun], now: datetime) -> Window:
    """Return the window of a project task's run, with the last 30 days where there is no other start.

    Without a start, the service continues where the last run ended. On the first run there is no such time, and a
    window that starts where one ended more than 30 days ago is too long.

    Args:
        start: The requested start, if any.
        end: The requested end, if any.
        history: The task's runs, newest first.
        now: The current time.
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
        "No window is set and this is the task's first run"
        if last_end is None
        else f"No start is set and the last run's window ended more than {WINDOW_DAYS_MAX} days ago"
    )
    return Window(
        start,
        until,
        f"{why}: the {WINDOW_DAYS_MAX} days {rfc3339(start)} to {rfc3339(until)} (UTC) are evaluated.",
    )


def same_window(task_run: TaskRun, start: datetime | None, end: datetime | None) -> bool:
    """Return whether a requested window is that of the task run. A time that is None matches every time."""
    return _same(task_run.data_start_time, start) and _same(task_run.data_end_time, end)


def _same(time: datetime | None, requested: datetime | None) -> bool:
    return requested is None or time is None or abs(time - requested) < _TOLERANCE
