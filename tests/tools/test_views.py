"""Tasks and task runs as agents see them: the figures and words at the boundaries of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evaltasks.api.task_runs import TaskRun
from evaltasks.api.tasks import Task
from evaltasks.tools.views import (
    age,
    chained_line,
    chained_view,
    progress_sentence,
    rows_per_second,
    seconds_left,
    span_words,
    task_line,
    task_run_line,
    task_run_view,
    task_view,
    unexplained,
)

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


def run(status: str = "RUNNING", successes: int = 0, **fields: Any) -> TaskRun:
    """Return a task run that was triggered, and has started, 100 s before NOW."""
    started = NOW - timedelta(seconds=100)
    common = {"id": "r", "task_id": "t", "created_at": started, "run_started_at": started}
    return TaskRun.model_validate({**common, "status": status, "num_successes": successes, **fields})


def task(**fields: Any) -> Task:
    common = {"id": "tsk_1", "name": "Relevance", "type": "TEMPLATE_EVALUATION", "created_at": NOW, "updated_at": NOW}
    return Task.model_validate({**common, **fields})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.4, "0 s"), (40, "40 s"), (60, "60 s"), (119, "119 s"), (120, "2 min"), (150, "2 min"),
        (180, "3 min"), (7_199, "120 min"), (7_200, "2 h"), (5 * 3_600, "5 h"), (172_799, "48 h"), (172_800, "2 d"),
        (12 * 86_400, "12 d"),
    ],
)  # fmt: skip
def test_span_words_use_the_largest_unit_that_fits_twice(seconds: float, words: str) -> None:
    assert span_words(seconds) == words


def test_age_is_never_negative_and_missing_without_a_time() -> None:
    assert age(NOW, NOW - timedelta(hours=3)) == "3 h"
    assert age(NOW, NOW + timedelta(seconds=5)) == "0 s"
    assert age(NOW, None) is None


@pytest.mark.parametrize(
    ("task_run", "rate", "left"),
    [
        (run(successes=50, num_selected=100), 0.5, 100),
        (run(successes=50, num_selected=50), 0.5, 0),
        (run(successes=60, num_selected=50), 0.6, 0),
        (run(successes=50), 0.5, None),  # the total is unknown
        (run(num_selected=100), None, None),  # nothing is done yet
        (run(successes=50, num_selected=100, run_started_at=None), None, None),
        (run(successes=50, num_selected=100, run_started_at=NOW - timedelta(seconds=0.5)), 100, 0.5),
        (run(successes=50, num_selected=100, run_started_at=NOW - timedelta(seconds=0.499)), None, None),
        (run("COMPLETED", 50, num_selected=50, run_finished_at=NOW - timedelta(seconds=90)), 5, None),
    ],
)
def test_rate_and_remaining_seconds(task_run: TaskRun, rate: float | None, left: float | None) -> None:
    assert rows_per_second(task_run, NOW) == rate
    assert seconds_left(task_run, NOW) == left


@pytest.mark.parametrize(
    ("task_run", "sentence"),
    [
        (run("PENDING"), "waiting to start"),
        (run(), "started, no row done yet"),
        (run(num_selected=0), "started, no row done yet"),
        (run(num_selected=9), "started, 0 of 9 rows"),
        (run(successes=1, num_errors=1), "2 rows, 1 error"),
        (
            run(successes=8, num_errors=1, num_skipped=1, num_selected=10),
            "10 of 10 rows, 1 error, 1 skipped, about 0 s left",
        ),
        (run("CANCELLED", 1, num_errors=2), "3 rows, 2 errors, cancelled"),
        (run("FAILED"), "0 rows, failed"),
    ],
)
def test_progress_sentence_names_errors_and_skipped_rows(task_run: TaskRun, sentence: str) -> None:
    assert progress_sentence(task_run, NOW) == sentence


@pytest.mark.parametrize(
    ("task_run", "words"),
    [
        (run("FAILED"), "It failed without a reason."),
        (run("FAILED", failure_reason="no key"), None),
        (run("RUNNING", num_selected=9), None),
        (run("CANCELLED", 1, num_selected=9), None),
        (run("COMPLETED", 8, num_selected=9), "1 of 9 rows have no outcome."),
        (run("COMPLETED", 7, num_errors=1, num_skipped=1, num_selected=9), None),
        (run("COMPLETED", 9), None),
        (run("COMPLETED", num_selected=0), "It completed without any row"),
        (run("COMPLETED"), "It completed without any row"),
        (run("COMPLETED", failure_reason="the window is empty"), None),
    ],
)
def test_unexplained_says_what_counts_and_reason_leave_open(task_run: TaskRun, words: str | None) -> None:
    found = unexplained(task_run)
    assert found is None if words is None else found is not None and found.startswith(words)


@pytest.mark.parametrize(
    ("task_run", "line"),
    [
        (run("COMPLETED", 9, num_selected=9), "r of Relevance: completed, 9 of 9 rows; triggered 100 s ago"),
        (run("RUNNING", 1, num_errors=1), "r of Relevance: running, 2 rows, 1 error; triggered 100 s ago"),
        (
            run("FAILED", num_errors=2, num_skipped=1, failure_reason="No key."),
            "r of Relevance: failed, 3 rows, 2 errors, 1 skipped; triggered 100 s ago. No key.",
        ),
    ],
)
def test_task_run_line_has_counts_age_and_reason(task_run: TaskRun, line: str) -> None:
    assert task_run_line(task_run_view(task_run, {("task", "t"): "Relevance"}, NOW)) == line


def test_task_run_line_without_a_name_shows_the_id_alone() -> None:
    assert task_run_line(task_run_view(run(), {}, NOW)) == "r: running, 0 rows; triggered 100 s ago"


@pytest.mark.parametrize(
    ("task_run", "line"),
    [
        (run("COMPLETED", 9, num_selected=9), "r of Relevance: completed, 9 of 9 rows"),
        (run("RUNNING", 1, num_errors=1), "r of Relevance: running, 2 rows, 1 error"),
        (run("FAILED", num_errors=2, failure_reason="No key."), "r of Relevance: failed, 2 rows, 2 errors. No key."),
    ],
)
def test_chained_line_has_counts_and_reason(task_run: TaskRun, line: str) -> None:
    assert chained_line(chained_view(task_run, {("task", "t"): "Relevance"})) == line


def test_task_run_view_rounds_its_figures() -> None:
    view = task_run_view(run(successes=33, num_selected=99), {}, NOW)
    assert (view.rows_per_second, view.seconds_left, view.likely_end) == (0.33, 200, "2026-04-01T12:03:20.000Z")
    ended = run("COMPLETED", 3, run_finished_at=NOW - timedelta(milliseconds=400.6))
    assert (task_run_view(ended, {}, NOW).duration_seconds, view.duration_seconds) == (99.599, None)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"project_id": "p"}, "template_evaluation on project support"),
        ({"dataset_id": "d"}, "template_evaluation on dataset questions"),
        ({"dataset_id": "unknown"}, "template_evaluation on dataset unknown"),
        (
            {
                "project_id": "p", "is_continuous": True, "sampling_rate": 0.1,
                "evaluators": [{"evaluator_id": "e1", "evaluator_name": "tone"}, {"evaluator_id": "e2"}],
            },
            "template_evaluation on project support; evaluators tone, e2; continuous; 0.1 sampled",
        ),
        ({"project_id": "p", "sampling_rate": 1.0}, "template_evaluation on project support"),
    ],
)  # fmt: skip
def test_task_line_has_target_evaluators_and_sampling(fields: dict[str, Any], line: str) -> None:
    names = {("project", "p"): "support", ("dataset", "d"): "questions"}
    assert task_line(task_view(task(**fields), names, NOW)) == f"Relevance (tsk_1): {line}"


def test_task_view_shows_experiments_with_their_names_and_omits_empty_lists() -> None:
    view = task_view(task(dataset_id="d", experiment_ids=["x", "y"]), {("experiment", "x"): "v1"}, NOW)
    assert [(one.id, one.name) for one in view.experiments or []] == [("x", "v1"), ("y", None)]
    without = task_view(task(project_id="p"), {}, NOW)
    assert (without.experiments, without.evaluators) == (None, None)
