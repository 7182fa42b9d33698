"""The ledger of a task run: one row for each row to process, with its outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.task_runs import RowOutcome, TaskRunRow
from evaltasks.engine.clock import from_us_or_none
from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store.candidates import NO_LIMIT
from evaltasks.engine.store.queries import named_parts
from evaltasks.engine.store.store import Row, Transaction


def ledger_rows(
    tx: Transaction,
    seq: int,
    *,
    after_position: object,
    limit: int,
    outcome: RowOutcome | None,
    evaluator_id: str | None,
) -> list[Row]:
    """Return the ledger rows of a page and one more, in the order of their positions."""
    values = {"seq": seq, "after": after_position, "outcome": outcome, "evaluator_id": evaluator_id}
    return tx.fetch_all("ledger.page", {**values, "limit": limit + 1})


def task_run_row_from_row(row: Row) -> TaskRunRow:
    """Return the wire model of a ledger row."""
    return TaskRunRow(
        row_kind=row["row_kind"],
        row_id=row["row_id"],
        trace_id=row["trace_id"],
        evaluator_id=row["evaluator_id"],
        evaluator_version_id=row["evaluator_version_id"],
        evaluation_name=row["evaluation_name"],
        outcome=row["outcome"],
        label=row["label"],
        score=row["score"],
        explanation=row["explanation"],
        reason=row["reason"],
        detail=row["detail"],
        provenance=json.loads(row["provenance"]) if row["provenance"] is not None else None,
        recorded_at=from_us_or_none(row["recorded_us"]),
    )


def outcome_counts(tx: Transaction, seq: int) -> list[Row]:
    """Return outcome, reason and their count `n`, most frequent first."""
    return tx.fetch_all("ledger.outcome_counts", {"seq": seq})


def pending_rows(
    tx: Transaction,
    row_kind: Literal["span", "experiment_run", "example", "group"],
    seq: int,
    *,
    after_position: int,
    limit: int,
) -> list[Row]:
    """Return the next WAITING ledger rows in the order of their positions.

    Each has the columns of its span, experiment run or example; `found` is NULL if that was deleted. A ledger row of a
    group (trace or session) has neither, because the spans of a group are read when the group is processed.
    """
    query = "groups.pending" if row_kind == "group" else f"ledger.pending_{row_kind}s"
    return tx.fetch_all(query, {"seq": seq, "after": after_position, "limit": limit})


def record_outcome(
    tx: Transaction,
    seq: int,
    position: int,
    *,
    outcome: RowOutcome,
    now_us: int,
    label: str | None = None,
    score: float | None = None,
    explanation: str | None = None,
    reason: str | None = None,
    detail: str | None = None,
    provenance: str | None = None,
) -> bool:
    """Store the outcome of a WAITING ledger row; `provenance` is the JSON text of an object.

    Returns:
        False if the ledger row is not WAITING any more. Nothing is changed then.
    """
    values = {
        "seq": seq,
        "position": position,
        "outcome": outcome,
        "now_us": now_us,
        "label": label,
        "score": score,
        "explanation": explanation,
        "reason": reason,
        "detail": detail,
        "provenance": provenance,
    }
    return tx.run("ledger.record", values) > 0


def insert_examples(
    tx: Transaction,
    seq: int,
    version_id: str,
    *,
    example_ids: Sequence[str] | None,
    example_filter: CompiledFilter,
    limit: int | None,
) -> int:
    """Add a ledger row for each example of a dataset version, in the version's order.

    Args:
        tx: The transaction.
        seq: The number of the task run.
        version_id: The dataset version.
        example_ids: Only these examples; all if None or empty.
        example_filter: Only examples that pass this filter over the alias `x`.
        limit: The largest number of examples; no limit if None.

    Returns:
        The number of ledger rows that were added.
    """
    values = {
        **example_filter.values,
        "seq": seq,
        "version_id": version_id,
        "example_ids": json.dumps(example_ids) if example_ids else None,
        "rows_max": limit or NO_LIMIT,
    }
    return tx.run("ledger.insert_examples", values, filter=example_filter.sql)


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """Rows that were selected for a task run, and what is needed to write them into its ledger.

    Attributes:
        rows: The JSON text that `candidates` returned.
        row_kind: "span", "experiment_run", "trace" or "session".
        versions: The evaluator versions, in the order of the marks in `rows`.
        project_id: The project of the task; None for a dataset task.
        task_id: The task.
        after_seq: For a continuous task run: the number of the last span taken before it. None for others.
    """

    rows: str
    row_kind: str
    versions: Sequence[EvaluatorVersion]
    project_id: str | None
    task_id: str
    after_seq: int | None


def insert_selected(
    tx: Transaction, seq: int, selected: SelectedRows, *, override: bool, skip_reason: str, now_us: int
) -> None:
    """Add a ledger row for each selected row and each evaluator whose filter it passes.

    Args:
        tx: The transaction.
        seq: The number of the task run.
        selected: The rows.
        override: Evaluate rows again that already have the evaluation; else they become SKIPPED ledger rows.
        skip_reason: The reason of those SKIPPED rows.
        now_us: The time they are recorded at.
    """
    values: dict[str, Any] = {
        "chosen": selected.rows,
        "row_kind": selected.row_kind,
        "project_id": selected.project_id,
        "task_id": selected.task_id,
        "after_seq": selected.after_seq,
        "seq": seq,
        "already_labelled": skip_reason,
        "override": override,
        "now_us": now_us,
    }
    for nth, version in enumerate(selected.versions):
        values[f"evaluator_{nth}"] = version.evaluator_id
        values[f"version_{nth}"] = version.id
        values[f"name_{nth}"] = version.evaluation_name
    parts, is_group = named_parts(), selected.row_kind in ("trace", "session")
    tx.run(
        "ledger.insert_selected",
        values,
        lines=" UNION ALL ".join(
            parts["ledger.lines_of_evaluator"].format(nth=nth, mark=nth + 1) for nth in range(len(selected.versions))
        ),
        labelled=parts["groups.group_is_labelled" if is_group else "ledger.row_is_labelled"],
        is_open=parts["groups.group_is_open"] if is_group else "1",
    )


def discard_rows(tx: Transaction, seq: int) -> None:
    """Delete all ledger rows of a task run."""
    tx.run("ledger.discard_rows", {"seq": seq})


def span_time_bounds(tx: Transaction, seq: int) -> tuple[int | None, int | None]:
    """Return the earliest and the latest start time (microseconds) of the spans in the ledger; None without spans."""
    row = tx.fetch_one("ledger.span_bounds", {"seq": seq})
    assert row is not None
    return row["first_us"], row["last_us"]
