"""Spans: listing those of a project, taking in new ones, and deleting."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from anyio import to_thread

from evaltasks.api.annotations import Annotation
from evaltasks.api.problems import Unprocessable
from evaltasks.api.spans import (
    DeletedSpans,
    DeleteSpans,
    IngestedSpans,
    IngestSpans,
    ListSpans,
    ListSpansQuery,
    Span,
    SpanEvaluation,
    SpanPage,
)
from evaltasks.api.wire import JsonObject, Pagination, Timestamp
from evaltasks.engine.call import Call
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.pages import NEWEST, cursor_for, key_from, scope_of
from evaltasks.engine.handlers.projects import require_project
from evaltasks.engine.ingest.spans import span_rows_from
from evaltasks.engine.store import spans
from evaltasks.engine.store.spans import SpanFeedback, SpanKey
from evaltasks.engine.store.store import Row, Transaction

WINDOW_DEFAULT = timedelta(days=7)
DELETE_WINDOW_DEFAULT = timedelta(days=2 * 366)
_MICROSECOND = timedelta(microseconds=1)
# Fields of an answered span → the head of the columns it is made of.
_PLURALS = {
    "evaluations": {"eval", "trace_eval", "session_eval"},
    "annotations": {"annotation"},
    "trace_annotations": {"trace_annotation"},
}
_EVALUATION_FIELDS = ("label", "score", "explanation", "metadata")
_GROUP_PREFIXES = ("trace_eval.", "session_eval.")


async def list_spans(call: Call) -> SpanPage:
    """Newest first, then by trace id and span id.

    A cursor belongs to the project, filter, columns and window it was made with. It also carries the window's
    ends, so that a default window ("the last seven days") does not move between two pages.
    """
    page_query, query = call.query(ListSpansQuery), call.body(ListSpans)
    scope = scope_of("spans", query)
    now_us = to_us(call.services.clock.now())
    window_us, after = place_of(scope, page_query.cursor, window_us_of(query.start_time, query.end_time, now_us))
    filter_ = call.services.fault_injection.list_index(now_us).filter(query.filter)
    shape = _Shape.of(query)

    def work(tx: Transaction) -> SpanPage:
        require_project(tx, query.project_id)
        rows = spans.span_rows(tx, query.project_id, window_us, filter_, after, page_query.limit + 1)
        page = rows[: page_query.limit]
        found = shape.spans(tx, page)
        if len(rows) <= page_query.limit:
            return SpanPage(spans=found)
        return SpanPage(spans=found, pagination=pagination_after(scope, window_us, page[-1]))

    return await call.services.store.read(work)


def place_of(scope: str, cursor: str | None, window_us: tuple[int, int]) -> tuple[tuple[int, int], SpanKey]:
    """The window and the span a page goes on after: the cursor's, else the given window from its newest span on."""
    key = key_from(scope, cursor, [*window_us, NEWEST, "", ""])
    return (int(key[0]), int(key[1])), SpanKey(int(key[2]), str(key[3]), str(key[4]))


def pagination_after(scope: str, window_us: tuple[int, int], last: Row) -> Pagination:
    """There is more after `last`, in this window."""
    cursor = cursor_for(scope, [*window_us, last["start_us"], last["trace_id"], last["span_id"]])
    return Pagination(has_more=True, next_cursor=cursor)


async def ingest_spans(call: Call) -> IngestedSpans:
    """All spans of the body or none. Wakes the executor, because continuous tasks may select the new ones."""
    body, services = call.body(IngestSpans), call.services
    rows = await to_thread.run_sync(span_rows_from, body.spans)
    ingested_us = to_us(services.clock.now())

    def work(tx: Transaction) -> IngestedSpans:
        project = require_project(tx, call.path["project_id"])
        return spans.put_spans(tx, project.id, rows, ingested_us)

    ingested = await services.store.write(work)
    services.wake_signal.notify()
    return ingested


async def delete_spans(call: Call) -> DeletedSpans:
    """For good. Ids that name no span of the window are told as not deleted."""
    body, now_us = call.body(DeleteSpans), to_us(call.services.clock.now())
    # Two years back, and everything up to and with this moment; a given end lies outside of its window.
    first_us = now_us - DELETE_WINDOW_DEFAULT // _MICROSECOND if body.start_time is None else to_us(body.start_time)
    end_us = now_us + 1 if body.end_time is None else to_us(body.end_time)
    wanted = list(dict.fromkeys(body.span_ids))

    def work(tx: Transaction) -> DeletedSpans:
        project = require_project(tx, body.project_id)
        deleted = spans.delete_spans(tx, project.id, wanted, (first_us, end_us))
        return DeletedSpans(
            completed=True,
            deleted_span_ids=[id_ for id_ in wanted if id_ in deleted],
            not_deleted_span_ids=[id_ for id_ in wanted if id_ not in deleted],
        )

    return await call.services.store.write(work)


def window_us_of(start_time: Timestamp | None, end_time: Timestamp | None, now_us: int) -> tuple[int, int]:
    """Both ends, inclusive: by default the last seven days; one end alone is completed by that."""
    last_us = now_us if end_time is None else to_us(end_time)
    first_us = last_us - WINDOW_DEFAULT // _MICROSECOND if start_time is None else to_us(start_time)
    if first_us > last_us:
        later = "end_time" if end_time is not None else "now, which is the end without an end_time"
        raise Unprocessable(f"start_time is after {later}; the window holds no span.")
    return first_us, last_us


def whole_spans(tx: Transaction, rows: Sequence[Row]) -> list[Span]:
    """The spans of these rows with all there is of them."""
    return _Shape.whole().spans(tx, rows)


@dataclass(frozen=True)
class _Shape:
    """What of a span is shown. The fixed fields and events always are; attributes, evaluations and annotations by
    column."""

    shows: Callable[[str], bool]
    length_max: int | None

    @classmethod
    def whole(cls) -> _Shape:
        return cls(lambda _: True, None)

    @classmethod
    def of(cls, query: ListSpans) -> _Shape:
        if query.included_columns is not None:
            included = _Columns(query.included_columns)
            return cls(included.cover, query.truncate_string_length)
        excluded = _Columns(query.excluded_columns or [])
        return cls(lambda column: not excluded.cover(column), query.truncate_string_length)

    def spans(self, tx: Transaction, rows: Sequence[Row]) -> list[Span]:
        feedback = spans.feedback_for(tx, [row["seq"] for row in rows])
        return [self._span(row, feedback[row["seq"]]) for row in rows]

    def _span(self, row: Row, feedback: SpanFeedback) -> Span:
        stored: JsonObject = json.loads(row["attributes"])
        attributes = {
            name: value if self.length_max is None else _truncate(value, self.length_max)
            for name, value in stored.items()
            if self.shows(f"attributes.{name}")
        }
        evaluations = [self._evaluation(evaluation) for evaluation in feedback.evaluations]
        shown = SpanFeedback(
            [evaluation for evaluation in evaluations if evaluation is not None],
            [annotation for annotation in feedback.annotations if self._shows_annotation("annotation", annotation)],
            [each for each in feedback.trace_annotations if self._shows_annotation("trace_annotation", each)],
        )
        return spans.span_from_row(row, attributes, shown)

    def _shows_annotation(self, resource: str, annotation: Annotation) -> bool:
        return self.shows(f"{resource}.{annotation.name}")

    def _evaluation(self, evaluation: SpanEvaluation) -> SpanEvaluation | None:
        """The evaluation with those fields that are shown; None when it has none."""
        name = evaluation.name if evaluation.name.startswith(_GROUP_PREFIXES) else f"eval.{evaluation.name}"
        hidden = [field for field in _EVALUATION_FIELDS if not self.shows(f"{name}.{field}")]
        if len(hidden) == len(_EVALUATION_FIELDS):
            return None
        return evaluation.model_copy(update=dict.fromkeys(hidden)) if hidden else evaluation


class _Columns:
    """A list of columns. A column covers everything below it (`attributes.llm` covers `attributes.llm.model_name`,
    `eval.x` the four fields of that evaluation), and attributes may be named without their prefix."""

    def __init__(self, columns: list[str]) -> None:
        self._named: set[str] = set()
        for column in columns:
            self._named |= {column, f"attributes.{column}"}
            self._named |= _PLURALS.get(column, set())

    def cover(self, column: str) -> bool:
        parts = column.split(".")
        return any(".".join(parts[:i]) in self._named for i in range(1, len(parts) + 1))


def _truncate(value: object, length_max: int) -> object:
    """Every text, at any depth, in at most that many code points; a cut one ends in `…`."""
    if isinstance(value, str):
        return value if len(value) <= length_max else f"{value[: length_max - 1]}…"
    if isinstance(value, list):
        return [_truncate(member, length_max) for member in value]
    if isinstance(value, dict):
        return {name: _truncate(member, length_max) for name, member in value.items()}
    return value
