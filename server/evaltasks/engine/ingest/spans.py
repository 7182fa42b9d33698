"""Incoming spans made uniform: flat attribute names, closed lists of kinds and states, ids, times in microseconds.

Applications send attributes nested or flat, with or without the leading `attributes.`; OpenInference writes them
flat, lists of objects with numbers in the name (`llm.input_messages.0.message.content`) and lists of plain values
as they are. That is what the store holds and what filters and column mappings name.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from evaltasks.api.problems import Unprocessable
from evaltasks.api.spans import IncomingSpan, SpanKind, SpanStatus
from evaltasks.api.wire import JsonObject, Timestamp, rfc3339
from evaltasks.engine.clock import to_us
from evaltasks.engine.store.spans import SpanRow

_KIND = "openinference.span.kind"
_KINDS = {kind.value: kind for kind in SpanKind}
_STATES = {state.value: state for state in SpanStatus}
_PLAIN = (str, int, bool, type(None))
_SESSION = "session.id"
_PREFIX = "attributes."
_PROBLEMS_SHOWN_MAX = 10
# OpenTelemetry's lengths: 16 and 8 bytes.
_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8


def span_rows_from(spans: Sequence[IncomingSpan]) -> list[SpanRow]:
    """The rows to store. Raises Unprocessable naming every span (by its place, from 0) that cannot be stored."""
    rows: list[SpanRow] = []
    problems: list[str] = []
    for i, span in enumerate(spans):
        try:
            rows.append(span_row_from(span))
        except ValueError as error:
            problems.append(f"spans[{i}]: {error}")
    if problems:
        raise nothing_stored(problems)
    return rows


def nothing_stored(problems: Sequence[str]) -> Unprocessable:
    """The first problems of an upload, and how many more there are."""
    more = len(problems) - _PROBLEMS_SHOWN_MAX
    shown = "; ".join(problems[:_PROBLEMS_SHOWN_MAX])
    return Unprocessable(f"{shown}{f'; and {more} more' if more > 0 else ''}. Nothing was stored.")


def flatten(attributes: JsonObject) -> JsonObject:
    """One level of dotted names. A name given twice (nested and flat) has the later value.

    `metadata`, which OpenInference writes as JSON text, is taken apart too, so that `metadata.<key>` can be
    filtered by and mapped. Numbers that JSON does not know (NaN, infinite ones) become null.
    """
    if all(type(value) in _PLAIN for value in attributes.values()) and "metadata" not in attributes:
        # As most spans come: flat already.
        return {name.removeprefix(_PREFIX): value for name, value in attributes.items()}
    flat: JsonObject = {}
    for name, value in _leaves("", attributes):
        name = name.removeprefix(_PREFIX)  # noqa: PLW2901  one prefix is the wire's, not part of the name
        if name == "metadata" and isinstance(value, str) and (members := _object_from(value)):
            flat.update({f"metadata.{key}": member for key, member in _leaves("", members)})
        else:
            flat[name] = value
    return flat


def _leaves(name: str, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not name):
        for key, member in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), member)
    elif isinstance(value, list) and any(isinstance(member, Mapping) for member in value):
        for i, member in enumerate(value):
            yield from _leaves(f"{name}.{i}", member)
    else:
        yield name, _finite(value)


def _finite(value: object) -> object:
    if isinstance(value, list):
        return [_finite(member) for member in value]
    if isinstance(value, Mapping):
        return {key: _finite(member) for key, member in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _object_from(text: str) -> JsonObject:
    """The object that a text is the JSON of; empty when it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def span_row_from(span: IncomingSpan) -> SpanRow:
    attributes = flatten(span.attributes)
    end_time = span.end_time or span.start_time
    if end_time < span.start_time:
        raise ValueError("end_time is before start_time")
    kind = _kind_of(span.kind, attributes.get(_KIND))
    attributes.setdefault(_KIND, kind.value)
    session_id = _session_of(attributes)
    if session_id is not None:
        attributes[_SESSION] = session_id
    start_us, end_us = to_us(span.start_time), to_us(end_time)
    return SpanRow(
        trace_id=span.trace_id or secrets.token_hex(_TRACE_ID_BYTES),
        span_id=span.span_id or secrets.token_hex(_SPAN_ID_BYTES),
        parent_id=span.parent_id or None,
        name=span.name,
        kind=kind.value,
        status_code=_status_of(span.status_code).value,
        status_message=span.status_message,
        start_us=start_us,
        end_us=end_us,
        latency_ms=(end_us - start_us) / 1000,
        session_id=session_id,
        attributes=_json(attributes),
        events=_json([_event_from(event, span) for event in span.events]) if span.events else "[]",
    )


def _kind_of(*candidates: object) -> SpanKind:
    """The first candidate that is a kind; UNKNOWN when none is (OpenTelemetry's INTERNAL, say)."""
    for candidate in candidates:
        kind = _KINDS.get(str(candidate).upper(), SpanKind.UNKNOWN)
        if kind is not SpanKind.UNKNOWN:
            return kind
    return SpanKind.UNKNOWN


def _status_of(text: str | None) -> SpanStatus:
    """OK and ERROR in any letter case, also as OTLP writes them (STATUS_CODE_OK); anything else is UNSET."""
    word = (text or "").upper().removeprefix("STATUS_CODE_")
    return _STATES.get(word, SpanStatus.UNSET)


def _session_of(attributes: JsonObject) -> str | None:
    value = attributes.get(_SESSION)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


class _IncomingEvent(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str = "event"
    timestamp: Timestamp | None = None
    attributes: JsonObject = {}


def _event_from(event: JsonObject, span: IncomingSpan) -> JsonObject:
    """An event without a time happened, as far as is known, when the span began."""
    try:
        read = _IncomingEvent.model_validate(event)
    except ValidationError as error:
        wrong = sorted({str(detail["loc"][0]) for detail in error.errors(include_url=False, include_input=False)})
        raise ValueError(f"an event cannot be read (its {', '.join(wrong)})") from None
    moment = read.timestamp or span.start_time
    return {"name": read.name, "timestamp": rfc3339(moment), "attributes": flatten(read.attributes)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
