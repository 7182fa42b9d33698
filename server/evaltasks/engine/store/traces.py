"""Traces in the store: they are no rows of their own, but the spans of one trace id."""

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
    """At most `limit` root spans of traces that have a span which passes, newest first, after a key."""
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
    """The first `limit` spans of the trace in the window, in the order they began."""
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
