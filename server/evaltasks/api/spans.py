"""Spans: OpenTelemetry/OpenInference telemetry of an LLM application.

On the wire, the `attributes` of a span have flat dotted keys without the prefix `attributes.` (`{"input.value": …}`).
Filters and column mappings name the same value `attributes.input.value`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from evaltasks.api.annotations import Annotation
from evaltasks.api.wire import (
    JsonObject,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    RowQuery,
    Timestamp,
    WireEnum,
)


class SpanKind(WireEnum):
    LLM = "LLM"
    CHAIN = "CHAIN"
    RETRIEVER = "RETRIEVER"
    EMBEDDING = "EMBEDDING"
    AGENT = "AGENT"
    TOOL = "TOOL"
    RERANKER = "RERANKER"
    GUARDRAIL = "GUARDRAIL"
    EVALUATOR = "EVALUATOR"
    PROMPT = "PROMPT"
    DECISION = "DECISION"
    UNKNOWN = "UNKNOWN"


class SpanStatus(WireEnum):
    OK = "OK"
    ERROR = "ERROR"
    UNSET = "UNSET"


class SpanContext(ResponseModel):
    trace_id: str
    span_id: str


class SpanEvaluation(ResponseModel):
    """The result of one evaluator for a span. `metadata` names the task, task run and evaluator version."""

    name: str
    label: str | None = None
    score: float | None = None
    explanation: str | None = None
    metadata: JsonObject | None = None


class SpanEvent(ResponseModel):
    name: str
    timestamp: Timestamp
    attributes: JsonObject = Field(default_factory=dict)


class Span(ResponseModel):
    name: str
    context: SpanContext
    kind: OpenEnum[SpanKind] = SpanKind.UNKNOWN
    parent_id: str | None = None
    start_time: Timestamp
    end_time: Timestamp
    latency_ms: float | None = None
    status_code: OpenEnum[SpanStatus] = SpanStatus.UNSET
    status_message: str | None = None
    attributes: JsonObject = Field(default_factory=dict)
    events: list[SpanEvent] = Field(default_factory=list)
    evaluations: list[SpanEvaluation] = Field(default_factory=list)
    annotations: list[Annotation] = Field(default_factory=list)
    trace_annotations: list[Annotation] = Field(default_factory=list)


class SpanPage(Page):
    spans: list[Span]


class ListSpansQuery(RowQuery):
    """Query parameters that select the page. The window and the filter are in the body."""


Column = Annotated[str, Field(min_length=1, max_length=512)]


class ListSpans(RequestModel):
    """List spans in a window, whose bounds are inclusive. The default window is the last seven days."""

    project_id: NonBlank
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    filter: str | None = None
    included_columns: list[Column] | None = Field(default=None, min_length=1, max_length=1000)
    excluded_columns: list[Column] | None = Field(default=None, min_length=1, max_length=1000)
    truncate_string_length: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _validate_column_lists(self) -> ListSpans:
        if self.included_columns and self.excluded_columns:
            raise ValueError("included_columns and excluded_columns exclude each other; provide only one of them")
        return self


class DeleteSpans(RequestModel):
    """Delete spans in a window, whose `end_time` is exclusive. The default window is the last two years."""

    project_id: NonBlank
    span_ids: list[NonBlank] = Field(min_length=1, max_length=5000)
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None


class DeletedSpans(ResponseModel):
    """The result of a deletion. If `completed`, no retry is needed. Unknown spans are listed as not deleted."""

    completed: bool
    deleted_span_ids: list[str]
    not_deleted_span_ids: list[str]


class IncomingSpan(RequestModel):
    """One span to ingest (an operation of evaltasks only; AX receives spans over OTLP).

    `attributes` can be nested or have flat dotted keys, with or without the prefix `attributes.`. The span kind is
    `kind` or the attribute `openinference.span.kind`. Ids are opaque text; missing ids are generated.
    """

    name: NonBlank = "span"
    trace_id: str | None = Field(default=None, max_length=256)
    span_id: str | None = Field(default=None, max_length=256)
    parent_id: str | None = Field(default=None, max_length=256)
    kind: str | None = None
    start_time: Timestamp
    end_time: Timestamp | None = None
    status_code: str | None = None
    status_message: str | None = None
    attributes: JsonObject = Field(default_factory=dict)
    events: list[dict[str, Any]] = Field(default_factory=list)

    @field_validator("start_time", "end_time", mode="after")
    @classmethod
    def _validate_year(cls, moment: Timestamp | None) -> Timestamp | None:
        if moment is not None and moment.year < 1971:
            raise ValueError("a time in 1970 is a unit mistake: use RFC 3339 text or epoch seconds")
        return moment


class IngestSpans(RequestModel):
    spans: list[IncomingSpan] = Field(min_length=1, max_length=1000)


class IngestedSpans(ResponseModel):
    """The result of ingesting spans. `num_replaced` spans had the id of an existing span and replaced it."""

    num_added: int
    num_replaced: int
