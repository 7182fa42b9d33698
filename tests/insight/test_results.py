"""Aggregation of the rows of a task run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.evaluator_kinds import Direction
from evaltasks.api.task_runs import RowOutcome, TaskRun, TaskRunRow, TaskRunStatus
from evaltasks.insight.results import HEURISTIC, Group, completeness, grouped

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def row(number: int, outcome: str = "SUCCESS", judge: str | None = "code", **fields: Any) -> TaskRunRow:
    provenance = {"judge": judge} if judge else None
    defaults: dict[str, Any] = {
        "row_kind": "span", "row_id": f"s{number:03}", "evaluator_id": "E", "evaluator_version_id": "V",
        "evaluation_name": "tone", "provenance": provenance,
    }  # fmt: skip
    return TaskRunRow.model_validate({**defaults, "outcome": outcome, **fields})


def task_run(status: TaskRunStatus, successes: int = 0, errors: int = 0, skipped: int = 0) -> TaskRun:
    return TaskRun(
        id="R", task_id="T", status=status, num_successes=successes, num_errors=errors, num_skipped=skipped,
        created_at=NOW,
    )  # fmt: skip


def only(rows: list[TaskRunRow]) -> Group:
    (group,) = grouped(rows)
    return group


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*RowOutcome, "NEW_WORD"]), st.sampled_from(["a", "b", None]),
            st.sampled_from(["E1", "E2"]), st.sampled_from(["code", "llm", HEURISTIC, None]),
        )
    )
)  # fmt: skip
def test_grouped_counts_every_row_once(drawn: list[tuple[str, str | None, str, str | None]]) -> None:
    rows = [
        row(number, str(outcome), judge, label=label, evaluator_id=evaluator)
        for number, (outcome, label, evaluator, judge) in enumerate(drawn)
    ]
    groups = grouped(rows)
    assert sum(group.rows for group in groups) == len(rows)
    for group in groups:
        assert group.labels.total() == group.counts[RowOutcome.SUCCESS] == len(group.evaluated)
        assert sum(e.count for e in group.errors.values()) == group.counts[RowOutcome.ERROR]
        assert sum(s.count for s in group.skips.values()) == group.counts[RowOutcome.SKIPPED]


def test_grouped_keeps_the_heuristic_and_a_language_model_separate() -> None:
    groups = grouped([row(1, judge="llm", score=1.0), row(2, judge=HEURISTIC, score=0.0)])
    assert [(group.key.judge.kind, group.evaluated[0].score) for group in groups] == [("llm", 1.0), (HEURISTIC, 0.0)]


def test_grouped_keeps_two_versions_of_an_evaluator_separate() -> None:
    assert len(grouped([row(1, score=1.0), row(2, score=0.0, evaluator_version_id="W")])) == 2


def test_grouped_counts_rows_without_a_judge_with_their_evaluator() -> None:
    group = only([row(1, "WAITING", judge=None), row(2, score=1.0), row(3, "ERROR", judge=None, reason="no column")])
    assert group.counts == {RowOutcome.WAITING: 1, RowOutcome.SUCCESS: 1, RowOutcome.ERROR: 1}


def test_ranked_puts_the_worst_first_by_the_evaluators_direction() -> None:
    group = only([row(1, score=0.5), row(2, score=None, label="?"), row(3, score=0.1), row(4, score=0.9)])
    assert [row.row_id for row in group.ranked(Direction.MAXIMIZE)] == ["s003", "s001", "s004", "s002"]
    assert [row.row_id for row in group.ranked(Direction.MINIMIZE)] == ["s004", "s001", "s003", "s002"]


def test_group_counts_errors_by_reason_with_the_first_rows() -> None:
    group = only(
        [row(n, "ERROR", reason="the model refused") for n in range(5)] + [row(9, "ERROR", reason="no column")]
    )
    assert [(e.reason, e.count, e.row_ids) for e in group.errors.values()] == [
        ("the model refused", 5, ["s000", "s001", "s002"]),
        ("no column", 1, ["s009"]),
    ]


def test_completeness_is_final_for_a_completed_run_whose_rows_agree() -> None:
    rows = [row(1, score=1.0), row(2, "ERROR", reason="x")]
    assert completeness(task_run(TaskRunStatus.COMPLETED, 1, 1), grouped(rows)).final


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (task_run(TaskRunStatus.RUNNING, 1), "the task run is still running"),
        (task_run(TaskRunStatus.CANCELLED, 1), "the task run was cancelled before it was complete"),
        (task_run(TaskRunStatus.COMPLETED, 7), "the run counts 7 successes, 0 errors and 0 skipped, "
                                              "the rows read are 1, 0 and 0"),
    ],
)  # fmt: skip
def test_completeness_is_partial_when_rows_are_missing(run: TaskRun, why: str) -> None:
    complete = completeness(run, grouped([row(1, score=1.0)]))
    assert (complete.final, complete.why) == (False, [why])


def test_completeness_names_every_count_that_disagrees_in_its_place() -> None:
    rows = [row(n, score=1.0) for n in range(4)] + [row(n, "ERROR", reason="x") for n in range(5)]
    rows += [row(n, "SKIPPED", reason="y") for n in range(6)] + [row(n, "WAITING") for n in range(7)]
    assert completeness(task_run(TaskRunStatus.COMPLETED, 1, 2, 3), grouped(rows)).why == [
        "7 of 22 evaluations were not made",
        "the run counts 1 successes, 2 errors and 3 skipped, the rows read are 4, 5 and 6",
    ]


def test_grouped_keeps_rows_without_a_judge_apart_if_two_judges_fit() -> None:
    rows = [row(1, judge="llm"), row(2, judge=HEURISTIC), row(3, "WAITING", judge=None)]
    assert [(group.key.judge.kind, group.rows) for group in grouped(rows)] == [("llm", 1), (HEURISTIC, 1), (None, 1)]


def test_group_sums_known_costs_and_counts_calls_without_a_price() -> None:
    llm = {"judge": "llm", "provider": "OPEN_AI", "model": "m"}
    rows = [
        row(1, provenance={**llm, "cost_usd": 0.25}),
        row(2, "ERROR", provenance={**llm, "cost_usd": 0.5}),
        row(3, provenance={**llm, "cost_usd": "unknown"}),
        row(4, "ERROR", provenance=llm),  # rejected: no call was answered
        row(5, "WAITING", judge=None),
    ]
    group = only(rows)

    assert (group.cost_usd, group.calls_priced, group.calls_paid) == (0.75, 2, 3)
