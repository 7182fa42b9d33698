"""Traces: the spans of one trace id, anchored on a root span."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.spans import Span
from evaltasks.api.wire import NonBlank, Page, RequestModel, ResponseModel, Timestamp

SPANS_A_TRACE_MAX = 1000


class Trace(ResponseModel):
    """`start_time` and `end_time` are those of the spans shown; a trace with two roots is two of these."""

    trace_id: str
    root_span_id: str
    start_time: Timestamp
    end_time: Timestamp
    spans_truncated: bool = False
    spans: list[Span]


class TracePage(Page):
    traces: list[Trace]


class ListTracesQuery(RequestModel):
    """The page; what to list is in the body."""

    limit: int = Field(default=25, ge=1, le=50)
    cursor: str | None = None


class ListTraces(RequestModel):
    """A trace is listed when any of its spans in the window passes the filter. Without a window: seven days."""

    project_id: NonBlank
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    filter: str | None = None
