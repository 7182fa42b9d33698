"""Spans: list, ingest and delete."""

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
# Field of a span in a response → the prefixes of its columns.
_PLURALS = {
    "evaluations": {"eval", "trace_eval", "session_eval"},
    "annotations": {"annotation"},
    "trace_annotations": {"trace_annotation"},
}
_EVALUATION_FIELDS = ("label", "score", "explanation", "metadata")
_GROUP_PREFIXES = ("trace_eval.", "session_eval.")


async def list_spans(call: Call) -> SpanPage:
    """List spans, newest first, then by trace id and span id.

    A cursor is valid for the project, filter, columns and window that it was returned for. It contains both ends of the
    window, so that a default window ("the last seven days") does not move between two pages.
    """
    page_query, query = call.query(ListSpansQuery), call.body(ListSpans)
    scope = scope_of("spans", query)
    now_us = to_us(call.services.clock.now())
    window_us, after = page_start(scope, page_query.cursor, window_us_from(query.start_time, query.end_time, now_us))
    filter_ = call.services.fault_injection.list_index(now_us).filter(query.filter)
    view = _SpanView.from_query(query)

    def work(tx: Transaction) -> SpanPage:
        require_project(tx, query.project_id)
        rows = spans.span_rows(tx, query.project_id, window_us, filter_, after, page_query.limit + 1)
        page = rows[: page_query.limit]
        page_spans = view.spans(tx, page)
        if len(rows) <= page_query.limit:
            return SpanPage(spans=page_spans)
        return SpanPage(spans=page_spans, pagination=pagination_after(scope, window_us, page[-1]))

    return await call.services.store.read(work)


def page_start(scope: str, cursor: str | None, window_us: tuple[int, int]) -> tuple[tuple[int, int], SpanKey]:
    """Return the window and the position after which a page starts: those in the cursor, else `window_us` and its
    end."""
    key = key_from(scope, cursor, [*window_us, NEWEST, "", ""])
    return (int(key[0]), int(key[1])), SpanKey(int(key[2]), str(key[3]), str(key[4]))


def pagination_after(scope: str, window_us: tuple[int, int], last: Row) -> Pagination:
    """Return the pagination of a page that ends with `last`, when more spans of the window follow."""
    cursor = cursor_for(scope, [*window_us, last["start_us"], last["trace_id"], last["span_id"]])
    return Pagination(has_more=True, next_cursor=cursor)


async def ingest_spans(call: Call) -> IngestedSpans:
    """Store all spans of the body or none. Continuous tasks select the new spans."""
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
    """Delete spans permanently. The response lists ids without a span in the window as not deleted."""
    body, now_us = call.body(DeleteSpans), to_us(call.services.clock.now())
    # By default two years back, up to and including now. An end_time in the request is exclusive.
    first_us = now_us - DELETE_WINDOW_DEFAULT // _MICROSECOND if body.start_time is None else to_us(body.start_time)
    end_us = now_us + 1 if body.end_time is None else to_us(body.end_time)
    span_ids = list(dict.fromkeys(body.span_ids))

    def work(tx: Transaction) -> DeletedSpans:
        project = require_project(tx, body.project_id)
        deleted = spans.delete_spans(tx, project.id, span_ids, (first_us, end_us))
        return DeletedSpans(
            completed=True,
            deleted_span_ids=[id_ for id_ in span_ids if id_ in deleted],
            not_deleted_span_ids=[id_ for id_ in span_ids if id_ not in deleted],
        )

    return await call.services.store.write(work)


def window_us_from(start_time: Timestamp | None, end_time: Timestamp | None, now_us: int) -> tuple[int, int]:
    """Return start and end of a window in microseconds, both inclusive.

    The default end is now, the default start seven days before the end.

    Raises:
        Unprocessable: The start is after the end.
    """
    last_us = now_us if end_time is None else to_us(end_time)
    first_us = last_us - WINDOW_DEFAULT // _MICROSECOND if start_time is None else to_us(start_time)
    if first_us > last_us:
        end = "end_time" if end_time is not None else "now, which is the default of end_time"
        raise Unprocessable(f"start_time is after {end}, so the window is empty.")
    return first_us, last_us


def complete_spans(tx: Transaction, rows: Sequence[Row]) -> list[Span]:
    """Return the spans of these rows with all fields."""
    return _SpanView.complete().spans(tx, rows)


@dataclass(frozen=True)
class _SpanView:
    """Which attributes, evaluations and annotations of a span are shown; the other fields and events always are.

    Attributes:
        shows: Returns True if a column is shown.
        length_max: The largest length of a string in attributes, in characters; None does not limit it.
    """

    shows: Callable[[str], bool]
    length_max: int | None

    @classmethod
    def complete(cls) -> _SpanView:
        return cls(lambda _: True, None)

    @classmethod
    def from_query(cls, query: ListSpans) -> _SpanView:
        if query.included_columns is not None:
            included = _Columns(query.included_columns)
            return cls(included.covers, query.truncate_string_length)
        excluded = _Columns(query.excluded_columns or [])
        return cls(lambda column: not excluded.covers(column), query.truncate_string_length)

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
        """Return the evaluation with the fields that are shown; None if there are none."""
        name = evaluation.name if evaluation.name.startswith(_GROUP_PREFIXES) else f"eval.{evaluation.name}"
        hidden = [field for field in _EVALUATION_FIELDS if not self.shows(f"{name}.{field}")]
        if len(hidden) == len(_EVALUATION_FIELDS):
            return None
        return evaluation.model_copy(update=dict.fromkeys(hidden)) if hidden else evaluation


class _Columns:
    """A list of columns.

    A column covers all columns below it: `attributes.llm` covers `attributes.llm.model_name`, and `eval.x` the four
    fields of that evaluation. Attributes may be named without their prefix.
    """

    def __init__(self, columns: list[str]) -> None:
        self._named: set[str] = set()
        for column in columns:
            self._named |= {column, f"attributes.{column}"}
            self._named |= _PLURALS.get(column, set())

    def covers(self, column: str) -> bool:
        parts = column.split(".")
        return any(".".join(parts[:i]) in self._named for i in range(1, len(parts) + 1))


def _truncate(value: object, length_max: int) -> object:
    """Return the value with all strings in it shortened to `length_max` characters; shortened ones end in `…`."""
    if isinstance(value, str):
        return value if len(value) <= length_max else f"{value[: length_max - 1]}…"
    if isinstance(value, list):
        return [_truncate(member, length_max) for member in value]
    if isinstance(value, dict):
        return {name: _truncate(member, length_max) for name, member in value.items()}
    return value
