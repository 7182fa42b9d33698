"""One row of a file as a span, whatever its columns are called.

Read are the columns of AX exports (`context.span_id`, `attributes.input.value`, `attributes.openinference.span.kind`,
`start_time`, …), spans as the REST API writes them (nested `context` and `attributes`), and OTLP-flavoured names
(`traceId`, `startTimeUnixNano`). A column that is not part of a span becomes an attribute of that name, so that no
value is lost; results of evaluations and annotations are the exception (`left_out` names them): a span is what
happened, and evaluations come from task runs.

A row without ids gets ids made of its content and number: importing the same file twice replaces and never doubles.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from evaltasks.api.spans import IncomingSpan, SpanKind
from evaltasks.api.wire import JsonObject

_NAMES = {
    "name": ("name", "span_name", "spanName"),
    "trace_id": ("context.trace_id", "trace_id", "traceId", "context.traceId"),
    "span_id": ("context.span_id", "span_id", "spanId", "context.spanId"),
    "parent_id": ("parent_id", "parent_span_id", "parentSpanId", "parentId"),
    "kind": ("attributes.openinference.span.kind", "openinference.span.kind", "span_kind", "kind"),
    "start_time": ("start_time", "startTime", "start_time_unix_nano", "startTimeUnixNano", "timestamp"),
    "end_time": ("end_time", "endTime", "end_time_unix_nano", "endTimeUnixNano"),
    "status_code": ("status_code", "statusCode", "status.status_code", "status.code", "status"),
    "status_message": ("status_message", "statusMessage", "status.message", "status.description"),
}
_LATENCY = "latency_ms"
_LEFT_OUT = re.compile(r"^(eval|trace_eval|session_eval|annotation|trace_annotation)s?\.|^(evaluations|annotations"
                       r"|trace_annotations)$")  # fmt: skip
# Attributes that are numbers in OpenInference; a CSV file can only hold their digits.
_NUMBER = re.compile(r"^(llm\.token_count\.|llm\.cost\.)|\.score$")
_STATUSES = {"OK": "OK", "ERROR": "ERROR", "UNSET": "UNSET", "0": "UNSET", "1": "OK", "2": "ERROR"}


class RowError(ValueError):
    """A row that cannot be taken. `problem` is in our words and never holds the row's content."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"row {number}: {problem}")
        self.number = number
        self.problem = problem


def left_out(columns: Iterable[str]) -> set[str]:
    """Those of these columns that are not part of a span: evaluations and annotations made elsewhere."""
    return {column for column in columns if _LEFT_OUT.match(column)}


def incoming_span(row: JsonObject, number: int) -> IncomingSpan:
    """The span in one row. Raises RowError, with the row's number, for the first thing that is wrong."""
    columns = {name: value for name, value in _opened(row, number).items() if not _absent(value)}
    fields: dict[str, Any] = {}
    for field, names in _NAMES.items():
        for name in names:
            if name in columns:
                value = columns.pop(name)
                fields.setdefault(field, value)
    try:
        start = _moment(fields.get("start_time"))
        end = _moment(fields.get("end_time"))
        latency = columns.pop(_LATENCY, None)
        if start is None:
            raise ValueError("start_time is missing: give RFC 3339 text or epoch seconds")
        if end is None and latency is not None:
            end = start + timedelta(milliseconds=float(latency))
        if end is not None and end < start:
            raise ValueError("end_time is before start_time")
        span_id, trace_id = _ids(row, number, fields)
        return IncomingSpan(
            name=str(fields.get("name", "span")),
            trace_id=trace_id,
            span_id=span_id,
            parent_id=_text(fields.get("parent_id")),
            kind=_kind(fields.get("kind")),
            start_time=start,
            end_time=end,
            status_code=_status(fields.get("status_code")),
            status_message=_text(fields.get("status_message")),
            events=_events(columns.pop("events", None)),
            attributes=_attributes(columns),
        )
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in detail["loc"])
        raise RowError(number, f"{path}: {detail['msg'].removeprefix('Value error, ')}") from None
    except OverflowError:
        raise RowError(number, "a time is out of range") from None
    except ValueError as error:
        raise RowError(number, str(error)) from None


def _opened(row: JsonObject, number: int) -> JsonObject:
    """The row with `context` and `status` objects laid flat and JSON text in `attributes` read."""
    flat: JsonObject = {}
    for name, value in row.items():
        if name in {"context", "status"} and isinstance(value, dict):
            flat.update({f"{name}.{part}": inner for part, inner in value.items()})
        elif name in {"attributes", "events"} and isinstance(value, str):
            try:
                flat[name] = json.loads(value)
            except (ValueError, RecursionError):
                raise RowError(number, f"{name} is text that is not JSON") from None
        else:
            flat[name] = value
    return flat


def _absent(value: object) -> bool:
    return value is None or value == ""


def _ids(row: JsonObject, number: int, fields: JsonObject) -> tuple[str, str]:
    span_id, trace_id = _text(fields.get("span_id")), _text(fields.get("trace_id"))
    if span_id and trace_id:
        return span_id, trace_id
    content = json.dumps([number, row], sort_keys=True, default=str)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return span_id or digest[:16], trace_id or digest[16:48]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _kind(value: object) -> str | None:
    """OpenTelemetry's own kinds (`SPAN_KIND_CLIENT`, 3) say nothing about what an LLM application did."""
    word = str(value).upper() if value is not None else None
    return word if word in SpanKind.__members__ else None


def _status(value: object) -> str | None:
    if value is None:
        return None
    word = str(value).upper().removeprefix("STATUS_CODE_").removeprefix("STATUSCODE.")
    if word not in _STATUSES:
        raise ValueError("status_code must be OK, ERROR or UNSET")
    return _STATUSES[word]


def _moment(value: object) -> datetime | None:
    """RFC 3339 text (UTC when it has no offset) or a number since 1970, whose unit shows in its size."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"\d+(\.\d+)?", text):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise ValueError("a time is neither RFC 3339 text nor a number since 1970") from None
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a time is neither RFC 3339 text nor a number since 1970")
    for limit, per_second in ((1e11, 1), (1e14, 1e3), (1e17, 1e6)):
        if value < limit:
            return datetime.fromtimestamp(value / per_second, UTC)
    return datetime.fromtimestamp(value / 1e9, UTC)


def _events(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(event, dict) for event in value):
        raise ValueError("events must be a list of objects")
    return value


def _attributes(columns: JsonObject) -> JsonObject:
    """What is left of a row: its `attributes` object, `attributes.*` columns, and columns of the user's own."""
    given = columns.pop("attributes", {})
    if not isinstance(given, dict):
        raise ValueError("attributes must be an object of names and values")
    attributes = {_bare(name): value for name, value in given.items()}
    for name, value in columns.items():
        if _LEFT_OUT.match(name):
            continue
        key = _bare(name)
        # A bare `input` or `output` is what the span took in or gave back.
        if key in {"input", "output"} and not isinstance(value, dict):
            key = f"{key}.value"
        if key in attributes and attributes[key] != value:
            raise ValueError(f"{key[:60]} is given twice with different values")
        attributes[key] = _number(value) if _NUMBER.search(key) else value
    return attributes


def _bare(name: str) -> str:
    return str(name).removeprefix("attributes.")


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return int(value) if value.strip().lstrip("-").isdigit() else float(value)
    except ValueError:
        return value
