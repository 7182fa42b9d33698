"""Look-ups for the projection of rows per day (`engine.runs.projection`)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evaltasks.engine.store.candidates import RowFilters
from evaltasks.engine.store.store import Row, Transaction


def first_span_from(tx: Transaction, seq: int) -> Row | None:
    """Return seq and ingested_us of the span with this number, or of the next one that exists."""
    return tx.fetch_one("projection.first_span_from", {"seq": seq})


def count_rows_of_spans(tx: Transaction, project_id: str, seqs: Sequence[int], filters: RowFilters) -> int:
    """Return how many ledger rows those of the spans that belong to the project would make.

    A span that passes the task's filter makes one row for each of the evaluators' filters that it passes.
    """
    values = {**filters.values(), "seqs": json.dumps(seqs), "project_id": project_id}
    fits = " + ".join(f"(({evaluator_filter.sql}) IS TRUE)" for evaluator_filter in filters.evaluator_filters)
    row = tx.fetch_one("projection.count_rows_of_spans", values, task_filter=filters.task_filter.sql, fits=fits)
    assert row is not None
    return int(row["n"])
