"""The check that stops a task run when its first answers all fail for the same reason."""

from __future__ import annotations

import pytest

from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome, Skipped
from evaltasks.engine.runs.fail_fast import FailFast
from evaltasks.engine.runs.job import LedgerRow

JUDGED = {"judge": "llm"}
REFUSED = Failed("refused", provenance=JUDGED)
STOPPED = "stopped because each of the first 3 answers failed for the same reason: refused"


def reasons(check: FailFast, *outcomes: Outcome, version: str = "v") -> list[str | None]:
    """Return what the check says after each outcome of an evaluator version."""
    row = LedgerRow(0, 0, "row", "e", version, "name", None)
    return [check.early_stop_reason(row, outcome) for outcome in outcomes]


def test_task_run_stops_at_the_last_of_so_many_equal_failures() -> None:
    assert reasons(FailFast(3), REFUSED, REFUSED, REFUSED) == [None, None, STOPPED]


@pytest.mark.parametrize(
    "outcomes",
    [
        [Evaluated("a", provenance=JUDGED)],
        [Skipped("empty", JUDGED)],
        [REFUSED, REFUSED, Evaluated("a", provenance=JUDGED)],
        [REFUSED, REFUSED, Failed("another", provenance=JUDGED)],
    ],
)
def test_another_outcome_ends_the_check(outcomes: list[Outcome]) -> None:
    assert set(reasons(FailFast(3), *outcomes, *[REFUSED] * 5)) == {None}


def test_failure_without_a_call_does_not_count() -> None:
    assert reasons(FailFast(3), *[Failed("no value")] * 5, REFUSED, REFUSED) == [None] * 7
    assert reasons(FailFast(3), REFUSED, REFUSED, Failed("no value"), REFUSED) == [None, None, None, STOPPED]


def test_each_evaluator_is_checked_separately() -> None:
    check = FailFast(3)
    assert reasons(check, Evaluated("a", provenance=JUDGED), version="one") == [None]
    assert reasons(check, REFUSED, REFUSED, version="two") == [None, None]
    assert reasons(check, REFUSED, version="one") == [None]
    assert reasons(check, REFUSED, version="two") == [STOPPED]
