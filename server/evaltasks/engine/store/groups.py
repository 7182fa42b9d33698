"""Traces and sessions as groups of spans, for the evaluation of whole groups."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from evaltasks.engine.store.store import Row, Transaction


def quiet_upto_seq(tx: Transaction, *, project_id: str, after_seq: int, quiet_since_us: int, now_us: int) -> int | None:
    """Return the newest span after `after_seq` such that every span up to it was ingested by `quiet_since_us`."""
    values = {"project_id": project_id, "after_seq": after_seq, "quiet_since_us": quiet_since_us, "now_us": now_us}
    row = tx.fetch_one("groups.quiet_upto_seq", values)
    return None if row is None else row["upto_seq"]


def trace_ids_of_session(tx: Transaction, project_id: str, session_id: str) -> list[str]:
    """Return the traces of a session in the order of their first spans."""
    rows = tx.fetch_all("groups.trace_ids_of_session", {"project_id": project_id, "row_id": session_id})
    return [row["trace_id"] for row in rows]


def spans_of_trace(tx: Transaction, values: Mapping[str, Any], columns: str) -> Generator[Row]:
    """Yield the spans of a trace in time order. Close the generator before the transaction ends.

    Args:
        tx: The transaction.
        values: `project_id` and `trace_id`, and what the filters in `columns` bind.
        columns: More columns as SQL text, each with a comma before it: compiled filters over the alias `s`.
    """
    return tx.iterate("groups.spans_of_trace", values, takes=columns)
