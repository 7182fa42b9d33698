"""Traces: list them by their root spans, each with its spans."""

from __future__ import annotations

from evaltasks.api.traces import SPANS_A_TRACE_MAX, ListTraces, ListTracesQuery, Trace, TracePage
from evaltasks.engine.call import Call
from evaltasks.engine.clock import from_us, to_us
from evaltasks.engine.handlers.pages import scope_of
from evaltasks.engine.handlers.projects import require_project
from evaltasks.engine.handlers.spans import complete_spans, page_start, pagination_after, window_us_from
from evaltasks.engine.store import traces
from evaltasks.engine.store.store import Row, Transaction


async def list_traces(call: Call) -> TracePage:
    """List traces, newest root span first. A trace is listed if any of its spans in the window passes the filter.

    As with spans, a cursor contains its window.
    """
    page_query, query = call.query(ListTracesQuery), call.body(ListTraces)
    scope = scope_of("traces", query)
    now_us = to_us(call.services.clock.now())
    window_us, after = page_start(scope, page_query.cursor, window_us_from(query.start_time, query.end_time, now_us))
    filter_ = call.services.fault_injection.list_index(now_us).filter(query.filter)

    def work(tx: Transaction) -> TracePage:
        require_project(tx, query.project_id)
        roots = traces.root_rows(tx, query.project_id, window_us, filter_, after, page_query.limit + 1)
        page = roots[: page_query.limit]
        page_traces = [_trace(tx, root, window_us) for root in page]
        if len(roots) <= page_query.limit:
            return TracePage(traces=page_traces)
        return TracePage(traces=page_traces, pagination=pagination_after(scope, window_us, page[-1]))

    return await call.services.store.read(work)


def _trace(tx: Transaction, root: Row, window_us: tuple[int, int]) -> Trace:
    rows = traces.trace_rows(tx, root["project_id"], root["trace_id"], window_us, SPANS_A_TRACE_MAX + 1)
    shown = rows[:SPANS_A_TRACE_MAX]
    return Trace(
        trace_id=root["trace_id"],
        root_span_id=root["span_id"],
        start_time=from_us(min(row["start_us"] for row in shown)),
        end_time=from_us(max(row["end_us"] for row in shown)),
        spans_truncated=len(rows) > len(shown),
        spans=complete_spans(tx, shown),
    )
