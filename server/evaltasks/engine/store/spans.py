"""Spans in the store.

A row of `spans` has columns for what is searched most (kind, status, times in microseconds, latency in
milliseconds, session) and everything else as JSON: `attributes` is one object of flat dotted keys without the
prefix `attributes.`, `events` a list of `{name, timestamp, attributes}`. `functions.lookup` reads a dotted path of
the attributes; `seq` grows with every new span and is what evaluations and task runs refer to.
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
    """A span on its way into the store; the fields are the columns."""

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
    """Where a page goes on: after this start time, trace id and span id."""

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
    """At most `limit` spans of the window (both ends inclusive), newest first, after a key."""
    values = {
        "project_id": project_id,
        "window_start_us": window_us[0],
        # Nothing newer than the key can follow it: the index is entered there, however deep the page.
        "window_end_us": min(window_us[1], after.start_us),
        "after_start_us": after.start_us,
        "after_trace_id": after.trace_id,
        "after_span_id": after.span_id,
        "limit": limit,
    }
    return tx.fetch_all("spans.page", {**values, **filter_.values}, filter=filter_.sql)


def evaluations_for(tx: Transaction, seqs: Iterable[int]) -> Mapping[int, list[SpanEvaluation]]:
    """The evaluations that are on these spans, by `seq`, each list in the order of names; two queries.

    Those of a span's trace and session follow, named `trace_eval.<name>` and `session_eval.<name>`: of the trace on
    its root spans (on its first span when it has none), of the session on the spans that name it.
    """
    found: dict[int, list[SpanEvaluation]] = {}
    wanted = {"seqs": json.dumps(list(seqs))}
    for row in [*tx.fetch_all("spans.evaluations", wanted), *tx.fetch_all("groups.evaluations_on_spans", wanted)]:
        evaluation = SpanEvaluation(
            name=row["name"],
            label=row["label"],
            score=row["score"],
            explanation=row["explanation"],
            metadata=json.loads(row["metadata"]),
        )
        found.setdefault(row["row_seq"], []).append(evaluation)
    return found


@dataclass(frozen=True, slots=True)
class SpanFeedback:
    """What others have said of a span."""

    evaluations: list[SpanEvaluation]
    annotations: list[Annotation]
    trace_annotations: list[Annotation]


def feedback_for(tx: Transaction, seqs: Iterable[int]) -> Mapping[int, SpanFeedback]:
    """What is on these spans, by `seq`; three queries, whatever their number."""
    wanted = list(seqs)
    if not wanted:
        return {}
    evaluations = evaluations_for(tx, wanted)
    own, of_trace = annotations_for(tx, "span", wanted), annotations_for(tx, "trace", wanted)
    return {seq: SpanFeedback(evaluations.get(seq, []), own.get(seq, []), of_trace.get(seq, [])) for seq in wanted}


def span_from_row(row: Row, attributes: JsonObject, feedback: SpanFeedback) -> Span:
    """The wire model of a row, with those attributes and remarks that were asked for."""
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
    """Add the spans; one that the project knows by trace id and span id is replaced and keeps its `seq`."""
    own = {"project_id": project_id, "ingested_us": ingested_us}
    puts = [{**own, **dict(zip(_COLUMNS, _column_values(row), strict=True))} for row in rows]
    keys = {(put["trace_id"], put["span_id"]) for put in puts}
    known = tx.fetch_one("spans.known", {"project_id": project_id, "keys": json.dumps(list(keys))})
    assert known is not None
    tx.run_many("spans.put", puts)
    num_added = len(keys) - known["n"]
    return IngestedSpans(num_added=num_added, num_replaced=len(puts) - num_added)


def delete_spans(tx: Transaction, project_id: str, ids: Iterable[str], window_us: tuple[int, int]) -> set[str]:
    """The ids of the spans that were there and are deleted. The end of the window lies outside of it."""
    values = {
        "project_id": project_id,
        "ids": json.dumps(list(ids)),
        "window_start_us": window_us[0],
        "window_end_us": window_us[1],
    }
    return {row["span_id"] for row in tx.fetch_all("spans.delete", values)}
