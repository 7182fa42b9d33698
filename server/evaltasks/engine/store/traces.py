"""Traces in the store. A trace has no row of its own: it is the spans with one trace id."""

from __future__ import annotations

from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store.spans import SpanKey
from evaltasks.engine.store.store import Row, Transaction


def root_rows(
    tx: Transaction,
    project_id: str,
    window_us: tuple[int, int],
    filter_: CompiledFilter,
    after: SpanKey,
    limit: int,
) -> list[Row]:
    """Return at most `limit` root spans after a position, newest first, of traces that have a span which passes."""
    values = {
        "project_id": project_id,
        "window_start_us": window_us[0],
        "window_end_us": window_us[1],
        "after_start_us": after.start_us,
        "after_trace_id": after.trace_id,
        "after_span_id": after.span_id,
        "limit": limit,
    }
    return tx.fetch_all("traces.page", {**values, **filter_.values}, filter=filter_.sql)


def trace_rows(tx: Transaction, project_id: str, trace_id: str, window_us: tuple[int, int], limit: int) -> list[Row]:
    """Return the first `limit` spans of the trace in the window, sorted by start time."""
    return tx.fetch_all(
        "traces.spans",
        {
            "project_id": project_id,
            "trace_id": trace_id,
            "window_start_us": window_us[0],
            "window_end_us": window_us[1],
            "limit": limit,
        },
    )
