"""Spans: OpenTelemetry/OpenInference telemetry of an LLM application.

On the wire a span's `attributes` are flat dotted keys without the `attributes.` prefix
(`{"input.value": …}`), while filters and column mappings name the same value `attributes.input.value`.
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
    """What one evaluator said of a span; `metadata` tells the task, task run and evaluator version."""

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
    """The page; what to list is in the body."""


Column = Annotated[str, Field(min_length=1, max_length=512)]


class ListSpans(RequestModel):
    """Window bounds are inclusive; without them the last seven days are meant."""

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
            raise ValueError("included_columns and excluded_columns exclude each other; give one of them")
        return self


class DeleteSpans(RequestModel):
    """Without a window: the last two years. `end_time` itself is outside of it."""

    project_id: NonBlank
    span_ids: list[NonBlank] = Field(min_length=1, max_length=5000)
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None


class DeletedSpans(ResponseModel):
    """`completed`: no retry is needed. What was not found stands among those not deleted."""

    completed: bool
    deleted_span_ids: list[str]
    not_deleted_span_ids: list[str]


class IncomingSpan(RequestModel):
    """One span as it is ingested (evaltasks' own operation; AX takes spans over OTLP).

    `attributes` may be nested or flat dotted keys, with or without the leading `attributes.`; the span kind is
    `kind` or the attribute `openinference.span.kind`. Ids are opaque text; a missing id is made.
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
    def _in_range(cls, moment: Timestamp | None) -> Timestamp | None:
        if moment is not None and moment.year < 1971:
            raise ValueError("a span of 1970 is a unit mistake: give RFC 3339 text or epoch seconds")
        return moment


class IngestSpans(RequestModel):
    spans: list[IncomingSpan] = Field(min_length=1, max_length=1000)


class IngestedSpans(ResponseModel):
    """`num_replaced` spans had an id the project already knew; the newer content stands."""

    num_added: int
    num_replaced: int
