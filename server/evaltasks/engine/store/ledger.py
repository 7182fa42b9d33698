"""The ledger of a task run: one row for each row to process, with its outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from evaltasks.api.task_runs import RowOutcome
from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store.store import Row, Transaction

_NO_LIMIT = -1


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


def outcome_counts(tx: Transaction, seq: int) -> list[Row]:
    """Return outcome, reason and their count `n`, most frequent first."""
    return tx.fetch_all("ledger.tally", {"seq": seq})


def pending_rows(
    tx: Transaction,
    row_kind: Literal["span", "experiment_run", "example", "group"],
    seq: int,
    *,
    after_position: int,
    limit: int,
) -> list[Row]:
    """Return the next WAITING ledger rows in the order of their positions.

    Each has the columns of the row it is about, and `found` is NULL if that row was deleted. A group (trace or session)
    has neither: its spans are read one group at a time.
    """
    query = "groups.waiting" if row_kind == "group" else f"ledger.waiting_{row_kind}s"
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
        "rows_max": limit or _NO_LIMIT,
    }
    return tx.run("ledger.select_examples", values, filter=example_filter.sql)


def discard_rows(tx: Transaction, seq: int) -> None:
    """Delete all ledger rows of a task run."""
    tx.run("ledger.discard", {"seq": seq})


def span_time_bounds(tx: Transaction, seq: int) -> tuple[int | None, int | None]:
    """Return the earliest and the latest start time (microseconds) of the spans in the ledger; None without spans."""
    row = tx.fetch_one("ledger.span_bounds", {"seq": seq})
    assert row is not None
    return row["first_us"], row["last_us"]
