"""The rows of an evaluation task run are written into its ledger, once, in the transaction that makes it RUNNING.

Whoever goes on with it later finds the same lines. Rows that already carry the evaluation become SKIPPED lines at once,
unless the trigger overrides. What a row is (a span, a trace, a session, an experiment run) follows from the evaluators,
which share one granularity. Which rows they are was chosen before (`candidate_rows`).
"""

from __future__ import annotations

from typing import Any

from evaltasks.api.task_runs import RowOutcome
from evaltasks.engine.runs.candidate_rows import CandidateRows
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.store.queries import named_parts
from evaltasks.engine.store.store import Transaction

ALREADY_LABELLED = "already labelled"
_ALL_LABELLED = (
    "Every selected row already carries this task's evaluations, so there was nothing to do. "
    "Trigger again with override_evaluations to evaluate them again."
)


def select_rows(tx: Transaction, claim: Claim, choice: CandidateRows, now_us: int) -> None:
    """Fill the ledger with what was chosen; ends the task run when there is nothing to evaluate.

    No rows at all: completed with nothing done. All of them labelled: cancelled with a reason that says how to
    override. A row that was deleted since it was chosen is an error of its own when its turn comes.
    """
    row = tx.fetch_one("task_runs.by_seq", {"seq": claim.seq})
    assert row is not None
    _insert_ledger_rows(tx, claim, choice, row["after_span_seq"], now_us)
    tally = {found["outcome"]: found["n"] for found in tx.fetch_all("ledger.tally", {"seq": claim.seq})}
    ledger_rows = sum(tally.values())
    skipped = tally.get(RowOutcome.SKIPPED, 0)
    all_labelled = ledger_rows > 0 and skipped == ledger_rows
    if row["after_span_seq"] is not None:
        bounds = tx.fetch_one("ledger.span_bounds", {"seq": claim.seq})
        assert bounds is not None
        covered = {"data_start_us": bounds["first_us"], "data_end_us": bounds["last_us"]}
        tx.run("task_runs.covers", {"seq": claim.seq, **covered})
    if all_labelled:
        tx.run("ledger.discard", {"seq": claim.seq})
    selected = {
        "seq": claim.seq,
        "num_selected": 0 if all_labelled else ledger_rows,
        "num_skipped": 0 if all_labelled else skipped,
        "experiment_id": None,
        "plan": choice.plan.model_dump_json(),
    }
    tx.run("task_runs.selected", selected)
    if all_labelled:
        end(tx, claim, Step.CANCEL, _ALL_LABELLED, now_us)
    elif ledger_rows == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)


def _insert_ledger_rows(
    tx: Transaction, claim: Claim, choice: CandidateRows, after_seq: int | None, now_us: int
) -> None:
    values: dict[str, Any] = {
        "chosen": choice.rows,
        "row_kind": choice.row_kind,
        "project_id": claim.task.project_id,
        "task_id": claim.task.id,
        "after_seq": after_seq,
        "seq": claim.seq,
        "already_labelled": ALREADY_LABELLED,
        "override": bool(claim.options.override_evaluations),
        "now_us": now_us,
    }
    for nth, version in enumerate(choice.versions):
        values[f"evaluator_{nth}"] = version.evaluator_id
        values[f"version_{nth}"] = version.id
        values[f"name_{nth}"] = version.evaluation_name
    parts, of_groups = named_parts(), choice.plan.reads_spans_of_groups
    tx.run(
        "ledger.select_rows",
        values,
        lines=_lines(len(choice.versions)),
        labelled=parts["groups.group_is_labelled" if of_groups else "ledger.row_is_labelled"],
        is_open=parts["groups.group_is_open"] if of_groups else "1",
    )


def _lines(evaluators: int) -> str:
    """One SELECT per evaluator: the chosen rows that fit it. Made of our own words and bound names alone."""
    return " UNION ALL ".join(
        f"SELECT place, {nth} AS nth, row_seq, row_id, trace_id, :evaluator_{nth} AS evaluator_id, "  # noqa: S608
        f":version_{nth} AS evaluator_version_id, :name_{nth} AS evaluation_name "
        f"FROM chosen WHERE substr(marks, {nth + 1}, 1) = '1'"
        for nth in range(evaluators)
    )
