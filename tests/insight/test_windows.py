from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evaltasks.api.task_runs import TaskRun
from evaltasks.insight.windows import default_window, same_window

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def ran(start: datetime | None, end: datetime | None) -> TaskRun:
    return TaskRun.model_validate(
        {"id": "r", "task_id": "t", "status": "COMPLETED", "created_at": NOW,
         "data_start_time": start, "data_end_time": end}
    )  # fmt: skip


def test_what_was_given_is_not_touched() -> None:
    window = default_window(NOW - DAY, None, [], NOW)
    assert (window.start, window.end, window.note) == (NOW - DAY, None, None)


def test_a_first_run_without_a_window_takes_the_last_30_days_and_says_so() -> None:
    window = default_window(None, None, [], NOW)
    assert (window.start, window.end) == (NOW - 30 * DAY, NOW)
    assert window.note is not None
    assert "first run" in window.note


def test_a_first_run_with_an_end_alone_starts_30_days_before_it() -> None:
    assert default_window(None, NOW - DAY, [], NOW).start == NOW - 31 * DAY


def test_a_later_run_goes_on_where_the_last_one_ended() -> None:
    window = default_window(None, None, [ran(NOW - 3 * DAY, NOW - 2 * DAY)], NOW)
    assert (window.start, window.note) == (None, None)


def test_a_last_run_long_ago_is_too_far_back_to_go_on_from() -> None:
    window = default_window(None, None, [ran(NOW - 90 * DAY, NOW - 60 * DAY)], NOW)
    assert window.start == NOW - 30 * DAY
    assert "more than 30 days ago" in (window.note or "")


def test_an_end_that_was_not_given_agrees_with_any() -> None:
    task_run = ran(NOW - DAY, NOW)
    assert same_window(task_run, None, None)
    assert same_window(task_run, NOW - DAY, None)
    assert not same_window(task_run, NOW - 2 * DAY, NOW)
