"""Convert one row of a file to a span, from any of the common column names.

The columns may be those of AX exports (`context.span_id`, `attributes.input.value`,
`attributes.openinference.span.kind`, `start_time`, …), those of spans in the REST API (nested `context` and
`attributes`), or OTLP names (`traceId`, `startTimeUnixNano`). A column that is not part of a span becomes an attribute
of that name, so that no value is lost. Results of evaluations and annotations are the exception (`ignored_columns`
lists them): a span records what happened, and evaluations come from task runs.

A row without ids gets ids that are a hash of its content and number: importing a file twice replaces its spans and
does not duplicate them.
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

_COLUMN_NAMES = {
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
_IGNORED = re.compile(r"^(eval|trace_eval|session_eval|annotation|trace_annotation)s?\.|^(evaluations|annotations"
                       r"|trace_annotations)$")  # fmt: skip
# Attributes that are numbers in OpenInference; in a CSV file they are text.
_NUMBER = re.compile(r"^(llm\.token_count\.|llm\.cost\.)|\.score$")
_STATUSES = {"OK": "OK", "ERROR": "ERROR", "UNSET": "UNSET", "0": "UNSET", "1": "OK", "2": "ERROR"}


class RowError(ValueError):
    """A row cannot be converted. `problem` never contains the row's content."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"row {number}: {problem}")
        self.number = number
        self.problem = problem


def ignored_columns(columns: Iterable[str]) -> set[str]:
    """Return the columns that are not part of a span: evaluations and annotations."""
    return {column for column in columns if _IGNORED.match(column)}


def incoming_span(row: JsonObject, number: int) -> IncomingSpan:
    """Convert one row to a span.

    Args:
        row: The row's values by column name.
        number: The row's number in its file, for ids and errors.

    Raises:
        RowError: The first problem of the row.
    """
    columns = {name: value for name, value in _flattened(row, number).items() if not _is_missing(value)}
    fields: dict[str, Any] = {}
    for field, names in _COLUMN_NAMES.items():
        for name in names:
            if name in columns:
                value = columns.pop(name)
                fields.setdefault(field, value)
    try:
        start = _moment(fields.get("start_time"))
        end = _moment(fields.get("end_time"))
        latency = columns.pop(_LATENCY, None)
        if start is None:
            raise ValueError("start_time is missing: add RFC 3339 text or epoch seconds")
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


def _flattened(row: JsonObject, number: int) -> JsonObject:
    """Return the row with `context` and `status` objects flattened, and `attributes` and `events` parsed from JSON."""
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


def _is_missing(value: object) -> bool:
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
    """Return the OpenInference kind. OpenTelemetry's kinds (`SPAN_KIND_CLIENT`, 3) do not describe LLM operations."""
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
    """Parse RFC 3339 text (UTC if it has no offset) or a number since 1970; its size shows its unit."""
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
    """Return the attributes: the `attributes` object, the `attributes.*` columns, and all other columns."""
    nested = columns.pop("attributes", {})
    if not isinstance(nested, dict):
        raise ValueError("attributes must be an object of names and values")
    attributes = {_attribute_name(name): value for name, value in nested.items()}
    for name, value in columns.items():
        if _IGNORED.match(name):
            continue
        key = _attribute_name(name)
        # A plain `input` or `output` is the value of the span's input or output.
        if key in {"input", "output"} and not isinstance(value, dict):
            key = f"{key}.value"
        if key in attributes and attributes[key] != value:
            raise ValueError(f"{key[:60]} is there twice with different values")
        attributes[key] = _number(value) if _NUMBER.search(key) else value
    return attributes


def _attribute_name(name: str) -> str:
    return str(name).removeprefix("attributes.")


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return int(value) if value.strip().lstrip("-").isdigit() else float(value)
    except ValueError:
        return value
