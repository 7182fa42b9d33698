"""Annotations: labels, scores and texts that people add to spans, traces, sessions, examples and experiment runs.

The name of an annotation is that of an annotation config in the row's space; a row has at most one annotation per name.
Writing it again updates it: fields that are absent keep their value.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from evaltasks.api.wire import CaseInsensitive, Name, NonBlank, RequestModel, ResponseModel, Timestamp, WireEnum


class Granularity(WireEnum):
    """What a record id of `annotate_spans` identifies: a span, the root span of a trace, or a session."""

    SPAN = "SPAN"
    TRACE = "TRACE"
    SESSION = "SESSION"


class AnnotationInput(RequestModel):
    """One annotation. Only the name is required; fields that are absent or null stay unchanged."""

    name: Name
    score: float | None = None
    label: str | None = None
    text: str | None = None


class AnnotatedRecord(RequestModel):
    """The annotations to write on one row. `record_id` is the id of the row."""

    record_id: NonBlank
    values: list[AnnotationInput] = Field(min_length=1)


class AnnotateRows(RequestModel):
    """Annotate examples or experiment runs. Unknown ids are ignored."""

    annotations: list[AnnotatedRecord] = Field(min_length=1, max_length=1000)


class AnnotateSpans(RequestModel):
    """Annotate spans, traces or sessions of a project in a time window. All records are written, or none."""

    project_id: NonBlank
    annotations: list[AnnotatedRecord] = Field(min_length=1, max_length=1000)
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    granularity: CaseInsensitive[Granularity] | None = None

    @model_validator(mode="after")
    def _validate_session_count(self) -> AnnotateSpans:
        if self.granularity is Granularity.SESSION and len(self.annotations) > 100:
            raise ValueError("at most 100 sessions can be annotated at once")
        return self


class Annotator(ResponseModel):
    id: str | None = None
    email: str | None = None


class Annotation(ResponseModel):
    """An annotation of a row. The engine has no users, so its annotations have no annotator."""

    name: str
    score: float | None = None
    label: str | None = None
    text: str | None = None
    updated_at: Timestamp | None = None
    annotator: Annotator | None = None
