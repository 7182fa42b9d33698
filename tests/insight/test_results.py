"""What is computed from the rows of a task run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.evaluators import Direction
from evaltasks.api.task_runs import RowOutcome, TaskRun, TaskRunRow, TaskRunStatus
from evaltasks.insight.results import HEURISTIC, Group, completeness, grouped
from evaltasks.insight.statistics import mean_score, student_t, wilson

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


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (10, 2.228139), (29, 2.045230), (30, 2.042272), (999, 1.962341)],
)
def test_students_t_is_the_tables(degrees: int, quantile: float) -> None:
    assert student_t(degrees) == pytest.approx(quantile, abs=1e-5)


def test_the_wilson_interval_is_the_textbooks() -> None:
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27754), abs=1e-5)


def test_shares_get_wilson_and_other_scores_students_t() -> None:
    share = mean_score([0, 1, 1, 1])
    shaded = mean_score([0.2, 0.4, 0.9])
    assert share is not None and shaded is not None
    assert (share.mean, share.method) == (0.75, "Wilson, 95 %")
    assert shaded.method == "Student's t, 95 %"
    assert (shaded.low, shaded.high) == pytest.approx((-0.39569, 1.39569), abs=1e-4)


def test_an_interval_never_leaves_a_known_scale() -> None:
    mean = mean_score([0.2, 0.4, 0.9], scale=(0, 1))
    assert mean is not None
    assert (mean.low, mean.high) == (0, 1)


@pytest.mark.parametrize(("scores", "method"), [([0.4], "one score"), ([0.4, 0.4, 0.4], "all scores are equal")])
def test_no_interval_is_claimed_where_none_can_be_had(scores: list[float], method: str) -> None:
    mean = mean_score(scores)
    assert mean is not None
    assert mean.low is None
    assert method in mean.method


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60) | st.lists(st.sampled_from([0.0, 1.0]), min_size=1))
def test_an_interval_holds_its_mean(scores: list[float]) -> None:
    mean = mean_score(scores)
    assert mean is not None
    if mean.low is not None and mean.high is not None:
        assert mean.low <= mean.mean <= mean.high


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*RowOutcome, "NEW_WORD"]), st.sampled_from(["a", "b", None]),
            st.sampled_from(["E1", "E2"]), st.sampled_from(["code", "llm", HEURISTIC, None]),
        )
    )
)  # fmt: skip
def test_every_row_is_counted_once(drawn: list[tuple[str, str | None, str, str | None]]) -> None:
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


def test_scores_of_the_heuristic_are_never_averaged_with_a_language_models() -> None:
    groups = grouped([row(1, judge="llm", score=1.0), row(2, judge=HEURISTIC, score=0.0)])
    assert [(group.key.judge.kind, group.evaluated[0].score) for group in groups] == [("llm", 1.0), (HEURISTIC, 0.0)]


def test_two_versions_of_an_evaluator_stay_apart() -> None:
    assert len(grouped([row(1, score=1.0), row(2, score=0.0, evaluator_version_id="W")])) == 2


def test_rows_that_never_reached_the_judge_are_counted_with_their_evaluator() -> None:
    group = only([row(1, "WAITING", judge=None), row(2, score=1.0), row(3, "ERROR", judge=None, reason="no column")])
    assert group.counts == {RowOutcome.WAITING: 1, RowOutcome.SUCCESS: 1, RowOutcome.ERROR: 1}


def test_worst_first_follows_the_evaluators_direction() -> None:
    group = only([row(1, score=0.5), row(2, score=None, label="?"), row(3, score=0.1), row(4, score=0.9)])
    assert [one.row_id for one in group.ranked(Direction.MAXIMIZE)] == ["s003", "s001", "s004", "s002"]
    assert [one.row_id for one in group.ranked(Direction.MINIMIZE)] == ["s004", "s001", "s003", "s002"]


def test_errors_are_grouped_by_reason_with_the_first_rows() -> None:
    group = only(
        [row(n, "ERROR", reason="the model refused") for n in range(5)] + [row(9, "ERROR", reason="no column")]
    )
    assert [(e.reason, e.count, e.row_ids) for e in group.errors.values()] == [
        ("the model refused", 5, ["s000", "s001", "s002"]),
        ("no column", 1, ["s009"]),
    ]


def test_a_completed_run_whose_rows_agree_is_final() -> None:
    rows = [row(1, score=1.0), row(2, "ERROR", reason="x")]
    assert completeness(task_run(TaskRunStatus.COMPLETED, 1, 1), grouped(rows)).final


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (task_run(TaskRunStatus.RUNNING, 1), "the task run is still running"),
        (task_run(TaskRunStatus.CANCELLED, 1), "the task run was cancelled before it was through"),
        (task_run(TaskRunStatus.COMPLETED, 7), "the run counts 7 successes, 0 errors and 0 skipped, "
                                              "the rows read are 1, 0 and 0"),
    ],
)  # fmt: skip
def test_results_that_are_not_whole_are_never_final(run: TaskRun, why: str) -> None:
    judged = completeness(run, grouped([row(1, score=1.0)]))
    assert (judged.final, judged.why) == (False, [why])


def test_costs_are_summed_over_the_calls_whose_price_is_known_and_the_others_are_counted() -> None:
    llm = {"judge": "llm", "provider": "OPEN_AI", "model": "m"}
    rows = [
        row(1, provenance={**llm, "cost_usd": 0.25}),
        row(2, "ERROR", provenance={**llm, "cost_usd": 0.5}),
        row(3, provenance={**llm, "cost_usd": "unknown"}),
        row(4, "ERROR", provenance=llm),  # refused: no call was answered
        row(5, "WAITING", judge=None),
    ]
    group = only(rows)

    assert (group.cost_usd, group.calls_priced, group.calls_paid) == (0.75, 2, 3)
