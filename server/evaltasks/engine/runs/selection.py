"""Write the rows of an evaluation task run into its ledger, once, in the transaction that makes it RUNNING.

A process that resumes the task run finds the same ledger. Rows that already have the evaluation are SKIPPED at once,
unless the trigger overrides. What a row is (a span, a trace, a session, an experiment run) follows from the evaluators,
which have one granularity. The rows were found before (`candidate_rows`).
"""

from __future__ import annotations

from evaltasks.api.task_runs import RowOutcome
from evaltasks.engine.runs.candidate_rows import CandidateRows
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.store import ledger
from evaltasks.engine.store.ledger import SelectedRows
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.task_runs import set_selected, set_window, task_run_row_by_seq

ALREADY_LABELLED = "already labelled"
_ALL_LABELLED = (
    "Every selected row already has this task's evaluations, so there was nothing to do. "
    "Trigger again with override_evaluations to evaluate them again."
)


def select_rows(tx: Transaction, claim: Claim, candidates: CandidateRows, now_us: int) -> None:
    """Write the candidate rows into the ledger, and end the task run if there is nothing to evaluate.

    Without any row the task run is completed. If all rows are labelled, it is cancelled with a reason that names
    `override_evaluations`. A row that was deleted since it was found becomes an error when it is processed.
    """
    row = task_run_row_by_seq(tx, claim.seq)
    assert row is not None
    selected = SelectedRows(
        rows=candidates.rows,
        row_kind=candidates.row_kind,
        versions=candidates.versions,
        project_id=claim.task.project_id,
        task_id=claim.task.id,
        after_seq=row["after_span_seq"],
    )
    ledger.insert_selected(
        tx,
        claim.seq,
        selected,
        override=bool(claim.options.override_evaluations),
        skip_reason=ALREADY_LABELLED,
        now_us=now_us,
    )
    tally = {count["outcome"]: count["n"] for count in ledger.outcome_counts(tx, claim.seq)}
    ledger_rows = sum(tally.values())
    skipped = tally.get(RowOutcome.SKIPPED, 0)
    all_labelled = ledger_rows > 0 and skipped == ledger_rows
    if row["after_span_seq"] is not None:
        set_window(tx, claim.seq, *ledger.span_time_bounds(tx, claim.seq))
    if all_labelled:
        ledger.discard_rows(tx, claim.seq)
    set_selected(
        tx,
        claim.seq,
        num_selected=0 if all_labelled else ledger_rows,
        num_skipped=0 if all_labelled else skipped,
        plan=candidates.plan.model_dump_json(),
    )
    if all_labelled:
        end(tx, claim, Step.CANCEL, _ALL_LABELLED, now_us)
    elif ledger_rows == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)
