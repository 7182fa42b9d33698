"""Normalizes incoming spans: flat attribute names, known kinds and status codes, ids, times in microseconds.

Applications send attributes nested or flat, with or without the prefix `attributes.`. They are stored as OpenInference
writes them: flat, lists of objects with indexes in the name (`llm.input_messages.0.message.content`), lists of plain
values unchanged. Filters and column mappings use these names.
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
_ERRORS_SHOWN_MAX = 10
# OpenTelemetry's lengths: 16 and 8 bytes.
_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8


def span_rows_from(spans: Sequence[IncomingSpan]) -> list[SpanRow]:
    """Return the rows to store.

    Raises:
        Unprocessable: Some spans cannot be stored; the message names them by their index.
    """
    rows: list[SpanRow] = []
    errors: list[str] = []
    for i, span in enumerate(spans):
        try:
            rows.append(span_row_from(span))
        except ValueError as error:
            errors.append(f"spans[{i}]: {error}")
    if errors:
        raise upload_error(errors)
    return rows


def upload_error(errors: Sequence[str]) -> Unprocessable:
    """Return the error for an upload of which nothing is stored: its first errors and the number of the others."""
    more = len(errors) - _ERRORS_SHOWN_MAX
    shown = "; ".join(errors[:_ERRORS_SHOWN_MAX])
    return Unprocessable(f"{shown}{f'; and {more} more' if more > 0 else ''}. Nothing was stored.")


def flatten(attributes: JsonObject) -> JsonObject:
    """Return the attributes with flat dotted names. If a name appears twice (nested and flat), the later value is used.

    `metadata`, which OpenInference writes as JSON text, is flattened too, so that filters and column mappings can use
    `metadata.<key>`. Numbers that JSON cannot represent (NaN, infinity) become null.
    """
    if all(type(value) in _PLAIN for value in attributes.values()) and "metadata" not in attributes:
        # Most spans are flat already.
        return {name.removeprefix(_PREFIX): value for name, value in attributes.items()}
    flat: JsonObject = {}
    for name, value in _leaves("", attributes):
        name = name.removeprefix(_PREFIX)  # noqa: PLW2901  the prefix is not part of the name
        if name == "metadata" and isinstance(value, str) and (members := _parse_object(value)):
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
        yield name, _without_nan(value)


def _without_nan(value: object) -> object:
    if isinstance(value, list):
        return [_without_nan(member) for member in value]
    if isinstance(value, Mapping):
        return {key: _without_nan(member) for key, member in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse_object(text: str) -> JsonObject:
    """Parse a JSON object; return an empty one if the text is not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def span_row_from(span: IncomingSpan) -> SpanRow:
    """Return the row to store for a span.

    Raises:
        ValueError: The span ends before it starts, or an event is not valid.
    """
    attributes = flatten(span.attributes)
    end_time = span.end_time or span.start_time
    if end_time < span.start_time:
        raise ValueError("end_time is before start_time")
    kind = _span_kind(span.kind, attributes.get(_KIND))
    attributes.setdefault(_KIND, kind.value)
    session_id = _session_id(attributes)
    if session_id is not None:
        attributes[_SESSION] = session_id
    start_us, end_us = to_us(span.start_time), to_us(end_time)
    return SpanRow(
        trace_id=span.trace_id or secrets.token_hex(_TRACE_ID_BYTES),
        span_id=span.span_id or secrets.token_hex(_SPAN_ID_BYTES),
        parent_id=span.parent_id or None,
        name=span.name,
        kind=kind.value,
        status_code=_status_code(span.status_code).value,
        status_message=span.status_message,
        start_us=start_us,
        end_us=end_us,
        latency_ms=(end_us - start_us) / 1000,
        session_id=session_id,
        attributes=_json_text(attributes),
        events=_json_text([_event(event, span) for event in span.events]) if span.events else "[]",
    )


def _span_kind(*candidates: object) -> SpanKind:
    """Return the first candidate that is a span kind, or UNKNOWN (for OpenTelemetry's INTERNAL, for example)."""
    for candidate in candidates:
        kind = _KINDS.get(str(candidate).upper(), SpanKind.UNKNOWN)
        if kind is not SpanKind.UNKNOWN:
            return kind
    return SpanKind.UNKNOWN


def _status_code(text: str | None) -> SpanStatus:
    """Return OK or ERROR for these words in any letter case, also as in OTLP (STATUS_CODE_OK), and UNSET otherwise."""
    word = (text or "").upper().removeprefix("STATUS_CODE_")
    return _STATES.get(word, SpanStatus.UNSET)


def _session_id(attributes: JsonObject) -> str | None:
    value = attributes.get(_SESSION)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


class _IncomingEvent(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str = "event"
    timestamp: Timestamp | None = None
    attributes: JsonObject = {}


def _event(event: JsonObject, span: IncomingSpan) -> JsonObject:
    """Return the event to store. An event without a timestamp gets the start time of its span.

    Raises:
        ValueError: A field of the event is not valid.
    """
    try:
        parsed = _IncomingEvent.model_validate(event)
    except ValidationError as error:
        fields = sorted({str(detail["loc"][0]) for detail in error.errors(include_url=False, include_input=False)})
        raise ValueError(f"an event is not valid: {', '.join(fields)}") from None
    timestamp = parsed.timestamp or span.start_time
    return {"name": parsed.name, "timestamp": rfc3339(timestamp), "attributes": flatten(parsed.attributes)}


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
