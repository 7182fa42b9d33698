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


def test_default_window_keeps_a_requested_start() -> None:
    window = default_window(NOW - DAY, None, [], NOW)
    assert (window.start, window.end, window.note) == (NOW - DAY, None, None)


def test_default_window_of_a_first_run_is_the_last_30_days_with_a_note() -> None:
    window = default_window(None, None, [], NOW)
    assert (window.start, window.end) == (NOW - 30 * DAY, NOW)
    assert window.note is not None
    assert "first run" in window.note


def test_default_window_of_a_first_run_starts_30_days_before_its_end() -> None:
    assert default_window(None, NOW - DAY, [], NOW).start == NOW - 31 * DAY


def test_default_window_of_a_later_run_leaves_the_start_to_the_service() -> None:
    window = default_window(None, None, [ran(NOW - 3 * DAY, NOW - 2 * DAY)], NOW)
    assert (window.start, window.note) == (None, None)


def test_default_window_is_30_days_if_the_last_run_was_long_ago() -> None:
    window = default_window(None, None, [ran(NOW - 90 * DAY, NOW - 60 * DAY)], NOW)
    assert window.start == NOW - 30 * DAY
    assert "more than 30 days ago" in (window.note or "")


def test_same_window_matches_any_missing_time() -> None:
    task_run = ran(NOW - DAY, NOW)
    assert same_window(task_run, None, None)
    assert same_window(task_run, NOW - DAY, None)
    assert not same_window(task_run, NOW - 2 * DAY, NOW)


def test_default_window_at_the_age_at_which_the_last_run_is_too_old() -> None:
    at_limit = default_window(None, None, [ran(None, NOW - 30 * DAY)], NOW)
    beyond = default_window(None, None, [ran(None, NOW - 30 * DAY - timedelta(seconds=1))], NOW)
    assert (at_limit.start, at_limit.note) == (None, None)
    assert beyond.start == NOW - 30 * DAY


def test_default_window_leaves_an_end_before_the_last_run_to_the_service() -> None:
    for last_end in (NOW, NOW + DAY):
        window = default_window(None, NOW, [ran(None, last_end)], NOW)
        assert (window.start, window.end, window.note) == (None, NOW, None)


def test_default_window_continues_from_the_latest_end_of_all_runs() -> None:
    history = [ran(None, NOW - 60 * DAY), ran(None, None), ran(None, NOW - DAY)]
    assert default_window(None, None, history, NOW).start is None


def test_same_window_ignores_differences_below_a_second() -> None:
    task_run = ran(NOW - DAY, NOW)
    almost, second = timedelta(milliseconds=999), timedelta(seconds=1)
    assert same_window(task_run, NOW - DAY + almost, NOW - almost)
    assert not same_window(task_run, NOW - DAY, NOW - second)
    assert not same_window(task_run, NOW - DAY + second, NOW)
