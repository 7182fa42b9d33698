"""Annotations: what people say of a span, a trace, a session, an example or an experiment run.

An annotation is named by an annotation config of the row's space; a row has one of each name. RequestModel again, the
fields that are left out keep their value.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from evaltasks.api.wire import CaseInsensitive, Name, NonBlank, RequestModel, ResponseModel, Timestamp, WireEnum


class Granularity(WireEnum):
    """What a record id of `annotate_spans` names: a span, the root span of a trace, or a session."""

    SPAN = "SPAN"
    TRACE = "TRACE"
    SESSION = "SESSION"


class AnnotationInput(RequestModel):
    """One remark. At least the name; a field left out or null stays as it is."""

    name: Name
    score: float | None = None
    label: str | None = None
    text: str | None = None


class AnnotatedRecord(RequestModel):
    """The annotations to put on one row; `record_id` is the row's id."""

    record_id: NonBlank
    values: list[AnnotationInput] = Field(min_length=1)


class AnnotateRows(RequestModel):
    """For examples and experiment runs. Ids that name no row are ignored."""

    annotations: list[AnnotatedRecord] = Field(min_length=1, max_length=1000)


class AnnotateSpans(RequestModel):
    """For spans, traces and sessions of a project, looked up in a window; all of the records or none."""

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
    """An annotation as it is on a row. The engine knows no users, so its annotations have no annotator."""

    name: str
    score: float | None = None
    label: str | None = None
    text: str | None = None
    updated_at: Timestamp | None = None
    annotator: Annotator | None = None
