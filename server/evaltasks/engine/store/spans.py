"""Spans in the store.

A row of `spans` has columns for the fields that filters use most (kind, status, times in microseconds, latency in
milliseconds, session) and JSON for the rest: `attributes` is one object with flat dotted keys without the prefix
`attributes.`, `events` a list of `{name, timestamp, attributes}`. `functions.lookup` reads a dotted path of the
attributes. `seq` increases with every new span; evaluations and task runs refer to a span by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter

from evaltasks.api.annotations import Annotation
from evaltasks.api.spans import IngestedSpans, Span, SpanContext, SpanEvaluation, SpanEvent
from evaltasks.api.wire import JsonObject
from evaltasks.engine.clock import from_us
from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store.annotations import annotations_for
from evaltasks.engine.store.store import Row, Transaction


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A span to store; the fields are the columns."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    status_code: str
    status_message: str | None
    start_us: int
    end_us: int
    latency_ms: float
    session_id: str | None
    attributes: str
    events: str


_COLUMNS = tuple(field.name for field in fields(SpanRow))
_column_values = attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True)
class SpanKey:
    """The position after which a page continues: start time, trace id and span id of the last span before it."""

    start_us: int
    trace_id: str
    span_id: str


def span_rows(
    tx: Transaction,
    project_id: str,
    window_us: tuple[int, int],
    filter_: CompiledFilter,
    after: SpanKey,
    limit: int,
) -> list[Row]:
    """Return at most `limit` spans of the window (both ends inclusive) after a position, newest first."""
    values = {
        "project_id": project_id,
        "window_start_us": window_us[0],
        # Nothing newer than the position follows it, so the index is searched from there, however deep the page.
        "window_end_us": min(window_us[1], after.start_us),
        "after_start_us": after.start_us,
        "after_trace_id": after.trace_id,
        "after_span_id": after.span_id,
        "limit": limit,
    }
    return tx.fetch_all("spans.page", {**values, **filter_.values}, filter=filter_.sql)


def evaluations_for(tx: Transaction, seqs: Iterable[int]) -> Mapping[int, list[SpanEvaluation]]:
    """Return the evaluations on these spans by `seq`, each list sorted by name. Makes two queries.

    The evaluations of a span's trace and session follow, named `trace_eval.<name>` and `session_eval.<name>`: those of
    the trace on its root spans (on its first span if it has no root), those of the session on the spans that name it.
    """
    evaluations: dict[int, list[SpanEvaluation]] = {}
    values = {"seqs": json.dumps(list(seqs))}
    for row in [*tx.fetch_all("spans.evaluations", values), *tx.fetch_all("groups.evaluations_on_spans", values)]:
        evaluation = SpanEvaluation(
            name=row["name"],
            label=row["label"],
            score=row["score"],
            explanation=row["explanation"],
            metadata=json.loads(row["metadata"]),
        )
        evaluations.setdefault(row["row_seq"], []).append(evaluation)
    return evaluations


@dataclass(frozen=True, slots=True)
class SpanFeedback:
    """The evaluations and annotations of a span, and the annotations of its trace."""

    evaluations: list[SpanEvaluation]
    annotations: list[Annotation]
    trace_annotations: list[Annotation]


def feedback_for(tx: Transaction, seqs: Iterable[int]) -> Mapping[int, SpanFeedback]:
    """Return the feedback on these spans by `seq`. The number of queries does not depend on the number of spans."""
    span_seqs = list(seqs)
    if not span_seqs:
        return {}
    evaluations = evaluations_for(tx, span_seqs)
    own, on_trace = annotations_for(tx, "span", span_seqs), annotations_for(tx, "trace", span_seqs)
    return {seq: SpanFeedback(evaluations.get(seq, []), own.get(seq, []), on_trace.get(seq, [])) for seq in span_seqs}


def span_from_row(row: Row, attributes: JsonObject, feedback: SpanFeedback) -> Span:
    """Return the wire model of a row with the attributes and feedback that the client asked for."""
    return Span(
        name=row["name"],
        context=SpanContext(trace_id=row["trace_id"], span_id=row["span_id"]),
        kind=row["kind"],
        parent_id=row["parent_id"],
        start_time=from_us(row["start_us"]),
        end_time=from_us(row["end_us"]),
        latency_ms=row["latency_ms"],
        status_code=row["status_code"],
        status_message=row["status_message"],
        attributes=attributes,
        events=[SpanEvent.model_validate(event) for event in json.loads(row["events"])],
        evaluations=feedback.evaluations,
        annotations=feedback.annotations,
        trace_annotations=feedback.trace_annotations,
    )


def put_spans(tx: Transaction, project_id: str, rows: Iterable[SpanRow], ingested_us: int) -> IngestedSpans:
    """Store spans. A span with the trace id and span id of an existing one replaces it and keeps its `seq`."""
    common = {"project_id": project_id, "ingested_us": ingested_us}
    puts = [{**common, **dict(zip(_COLUMNS, _column_values(row), strict=True))} for row in rows]
    keys = {(put["trace_id"], put["span_id"]) for put in puts}
    known = tx.fetch_one("spans.known", {"project_id": project_id, "keys": json.dumps(list(keys))})
    assert known is not None
    tx.run_many("spans.put", puts)
    num_added = len(keys) - known["n"]
    return IngestedSpans(num_added=num_added, num_replaced=len(puts) - num_added)


def delete_spans(tx: Transaction, project_id: str, ids: Iterable[str], window_us: tuple[int, int]) -> set[str]:
    """Delete the spans with these ids that start in the window.

    Args:
        tx: The transaction.
        project_id: The project.
        ids: Span ids.
        window_us: Start (inclusive) and end (exclusive) in microseconds.

    Returns:
        The ids of the spans that were deleted.
    """
    values = {
        "project_id": project_id,
        "ids": json.dumps(list(ids)),
        "window_start_us": window_us[0],
        "window_end_us": window_us[1],
    }
    return {row["span_id"] for row in tx.fetch_all("spans.delete", values)}
