"""Spans: listing those of a project, and taking in new ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from anyio import to_thread

from evaltasks.api.problems import Unprocessable
from evaltasks.api.spans import IngestedSpans, IngestSpans, ListSpans, ListSpansQuery, Span, SpanEvaluation, SpanPage
from evaltasks.api.wire import JsonObject, Pagination
from evaltasks.engine.call import Call
from evaltasks.engine.clock import to_us
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.handlers.pages import NEWEST, cursor_for, key_from, scope_of
from evaltasks.engine.handlers.projects import require_project
from evaltasks.engine.ingest.spans import span_rows_from
from evaltasks.engine.store import spans
from evaltasks.engine.store.spans import SpanKey
from evaltasks.engine.store.store import Row, Transaction

WINDOW_DEFAULT = timedelta(days=7)
_EVALUATION_FIELDS = ("label", "score", "explanation", "metadata")
_GROUP_PREFIXES = ("trace_eval.", "session_eval.")


async def list_spans(call: Call) -> SpanPage:
    """Newest first, then by trace id and span id.

    A cursor belongs to the project, filter, columns and window it was made with. It also carries the window's
    ends, so that a default window ("the last seven days") does not move between two pages.
    """
    page_query, query = call.query(ListSpansQuery), call.body(ListSpans)
    scope = scope_of("spans", query)
    first_us, last_us = _window_us(query, to_us(call.services.clock.now()))
    key = key_from(scope, page_query.cursor, [first_us, last_us, NEWEST, "", ""])
    window_us = (int(key[0]), int(key[1]))
    after = SpanKey(int(key[2]), str(key[3]), str(key[4]))
    filter_ = ALL_ROWS if query.filter is None else compile_filter(query.filter, Target.SPAN)
    shape = _Shape.of(query)

    def work(tx: Transaction) -> SpanPage:
        require_project(tx, query.project_id)
        rows = spans.span_rows(tx, query.project_id, window_us, filter_, after, page_query.limit + 1)
        page = rows[: page_query.limit]
        evaluations = spans.evaluations_of(tx, [row["seq"] for row in page]) if page else {}
        found = [shape.span(row, evaluations.get(row["seq"], [])) for row in page]
        if len(rows) <= page_query.limit:
            return SpanPage(spans=found)
        last = page[-1]
        cursor = cursor_for(scope, [*window_us, last["start_us"], last["trace_id"], last["span_id"]])
        return SpanPage(spans=found, pagination=Pagination(has_more=True, next_cursor=cursor))

    return await call.services.store.read(work)


async def ingest_spans(call: Call) -> IngestedSpans:
    """All spans of the body or none. Rings the bell, because continuous tasks may want the new ones."""
    body, services = call.body(IngestSpans), call.services
    rows = await to_thread.run_sync(span_rows_from, body.spans)
    ingested_us = to_us(services.clock.now())

    def work(tx: Transaction) -> IngestedSpans:
        project = require_project(tx, call.path["project_id"])
        return spans.put_spans(tx, project.id, rows, ingested_us)

    ingested = await services.store.write(work)
    services.bell.ring()
    return ingested


def _window_us(query: ListSpans, now_us: int) -> tuple[int, int]:
    """Both ends, inclusive: by default the last seven days; one end alone is completed by that."""
    last_us = now_us if query.end_time is None else to_us(query.end_time)
    first_us = last_us - WINDOW_DEFAULT // timedelta(microseconds=1)
    if query.start_time is not None:
        first_us = to_us(query.start_time)
    if first_us > last_us:
        later = "end_time" if query.end_time is not None else "now, which is the end without an end_time"
        raise Unprocessable(f"start_time is after {later}; the window holds no span.")
    return first_us, last_us


@dataclass(frozen=True)
class _Shape:
    """What of a span is shown. The fixed fields and events always are; attributes and evaluations by column."""

    shows: Callable[[str], bool]
    length_max: int | None

    @classmethod
    def of(cls, query: ListSpans) -> _Shape:
        if query.included_columns is not None:
            included = _Columns(query.included_columns)
            return cls(included.cover, query.truncate_string_length)
        excluded = _Columns(query.excluded_columns or [])
        return cls(lambda column: not excluded.cover(column), query.truncate_string_length)

    def span(self, row: Row, evaluations: list[SpanEvaluation]) -> Span:
        stored: JsonObject = json.loads(row["attributes"])
        attributes = {
            name: value if self.length_max is None else _truncate(value, self.length_max)
            for name, value in stored.items()
            if self.shows(f"attributes.{name}")
        }
        shown = [self._evaluation(evaluation) for evaluation in evaluations]
        return spans.span_of(row, attributes, [evaluation for evaluation in shown if evaluation is not None])

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
            if column == "evaluations":
                self._named |= {"eval", "trace_eval", "session_eval"}

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
