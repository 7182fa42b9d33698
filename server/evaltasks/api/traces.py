"""Traces: the spans of one trace id, identified by a root span."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.spans import Span
from evaltasks.api.wire import NonBlank, Page, RequestModel, ResponseModel, Timestamp

SPANS_A_TRACE_MAX = 1000


class Trace(ResponseModel):
    """A trace. `start_time` and `end_time` cover the spans shown. A trace id with two root spans gives two traces."""

    trace_id: str
    root_span_id: str
    start_time: Timestamp
    end_time: Timestamp
    spans_truncated: bool = False
    spans: list[Span]


class TracePage(Page):
    traces: list[Trace]


class ListTracesQuery(RequestModel):
    """Query parameters that select the page. The window and the filter are in the body."""

    limit: int = Field(default=25, ge=1, le=50)
    cursor: str | None = None


class ListTraces(RequestModel):
    """List traces of which any span in the window matches the filter. The default window is the last seven days."""

    project_id: NonBlank
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    filter: str | None = None
