"""Arrow tables of spans and evaluations, as the published SDK uploads them.

A table has a row for each span: `context.span_id`, `context.trace_id`, `name`, times as nanoseconds, `attributes.…`,
lists of objects as lists of JSON texts, and evaluations (`eval.<name>.label`, `.score`, `.explanation`). A table
without names and times contains evaluations of existing spans.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from pydantic import ValidationError

from evaltasks.api.problems import BadRequest, NotBuilt
from evaltasks.api.spans import IncomingSpan
from evaltasks.api.wire import JsonObject, json_time
from evaltasks.engine.clock import from_us, to_us
from evaltasks.engine.ingest.ingestor import Ingestor, ensure_project, project_by_name_or_id, space_by_name_or_id
from evaltasks.engine.ingest.spans import span_rows_from, upload_error
from evaltasks.engine.store.client_writes import ClientEvaluation, put_evaluations
from evaltasks.engine.store.spans import SpanRow, put_spans
from evaltasks.engine.store.store import Transaction

SPAN_ID = "context.span_id"
_TRACE_ID = "context.trace_id"
_EVALUATION = re.compile(r"(eval|trace_eval|session_eval)\.(.+)\.(label|score|explanation)", re.DOTALL)
_ATTRIBUTES = "attributes."
_NAME_MAX = 255
# Protobuf field numbers of the SDK's schema: constants = 1, and in it model_id = 1, which is the project's name.
_CONSTANTS, _MODEL_ID = 1, 1


@dataclass(frozen=True)
class Upload:
    """The content of an upload. Without `spans`, the evaluations are of existing spans."""

    project_name: str
    spans: Sequence[SpanRow]
    evaluations: Sequence[ClientEvaluation]


def upload_from(body: bytes) -> Upload:
    """Read an Arrow IPC stream.

    Raises:
        BadRequest: The body is not an Arrow IPC stream, it does not name a project, or a value cannot be read.
        Unprocessable: A row is not a valid span.
        NotBuilt: It has evaluations of traces or sessions.
    """
    try:
        with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
            schema = reader.schema
            batches = []
            for batch in reader:
                batch.validate(full=True)
                batches.append(batch)
    except (pa.ArrowException, OSError, ValueError):
        raise BadRequest("The body is not an Arrow IPC stream.") from None
    project_name = _project_name(schema.metadata or {})
    rows = [row for batch in batches for row in rows_of(batch)]
    evaluations = evaluations_from(rows)
    if "name" not in schema.names and "start_time" not in schema.names:
        return Upload(project_name, (), evaluations)
    return Upload(project_name, span_rows_from(_incoming_spans(rows)), evaluations)


async def put_upload(ingestor: Ingestor, space: str | None, upload: Upload) -> JsonObject:
    """Store an upload in one transaction. Its project is created for spans, but not for evaluations alone.

    Raises:
        NotFound: There is no such space, or no such project for evaluations.
    """
    services = ingestor.services
    now_us = to_us(services.clock.now())

    def work(tx: Transaction) -> JsonObject:
        space_id = space_by_name_or_id(tx, space).id
        if not upload.spans:
            project = project_by_name_or_id(tx, space_id, upload.project_name)
        else:
            project = ensure_project(tx, services, space_id, upload.project_name)
        stored = put_spans(tx, project.id, upload.spans, now_us)
        num_evaluated, unmatched = put_evaluations(tx, project.id, upload.evaluations, now_us)
        return {**stored.model_dump(), "records_updated": num_evaluated, "unmatched_ids": unmatched}

    reply = await services.store.write(work)
    services.wake_signal.notify()
    return reply


def rows_of(batch: pa.RecordBatch) -> list[JsonObject]:
    """Return the rows as JSON values, without null columns. Raises BadRequest for a value that cannot be read."""
    try:
        return [
            {name: _json_value(value) for name, value in row.items() if value is not None} for row in batch.to_pylist()
        ]
    except (pa.ArrowException, ValueError, OverflowError):
        raise BadRequest("A value of the table cannot be read; times must be in the years 1 to 9999.") from None


def evaluations_from(rows: Iterable[Mapping[str, Any]]) -> list[ClientEvaluation]:
    """Return the evaluations in the rows of a table.

    A row has no evaluation of a name whose label, score and explanation are all null.

    Raises:
        BadRequest: A row with evaluations has no span id, or a value has the wrong type.
        NotBuilt: There are evaluations of traces or sessions.
    """
    evaluations = []
    for index, row in enumerate(rows):
        fields_by_name: dict[str, dict[str, Any]] = {}
        for column, value in row.items():
            match = _EVALUATION.fullmatch(column)
            if match is None or value is None:
                continue
            kind, name, field = match.groups()
            if kind != "eval":
                raise NotBuilt("The embedded engine accepts evaluations of spans (eval.…), not of traces or sessions.")
            if len(name) > _NAME_MAX:
                raise BadRequest(f"The name of an evaluation has more than {_NAME_MAX} characters.")
            fields_by_name.setdefault(name, {})[field] = _evaluation_value(field, value, index)
        span_id = row.get(SPAN_ID)
        if fields_by_name and not (isinstance(span_id, str) and span_id):
            raise BadRequest(f"rows[{index}].{SPAN_ID} must be the id of the evaluated span.")
        evaluations += [
            ClientEvaluation(span_id=str(span_id), name=name, **fields) for name, fields in fields_by_name.items()
        ]
    return evaluations


def _evaluation_value(field: str, value: object, index: int) -> str | float:
    if field == "score":
        if isinstance(value, int | float):
            return float(value)
        raise BadRequest(f"rows[{index}]: a score must be a number.")
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise BadRequest(f"rows[{index}]: a {field} must be a string.")
    return value


def _incoming_spans(rows: Sequence[JsonObject]) -> list[IncomingSpan]:
    """Return the spans of the rows. Raises Unprocessable, which names the rows that are not valid spans."""
    spans, errors = [], []
    for index, row in enumerate(rows):
        try:
            spans.append(_incoming_span(row))
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
            errors.append(f"rows[{index}].{'.'.join(map(str, detail['loc']))}: {detail['msg']}")
        except (ValueError, TypeError, OverflowError):
            errors.append(f"rows[{index}]: start_time and end_time must be nanoseconds since 1970 UTC")
    if errors:
        raise upload_error(errors)
    return spans


def _incoming_span(row: JsonObject) -> IncomingSpan:
    events = [event for event in _parse_json_objects(row.get("events") or []) if isinstance(event, dict)]
    for event in events:
        if isinstance(packed := event.get("attributes"), str):  # JSON text inside the JSON text of the event
            event["attributes"] = _parse_or_keep(packed)
    return IncomingSpan(
        name=row.get("name") or "span",
        trace_id=row.get(_TRACE_ID),
        span_id=row.get(SPAN_ID),
        parent_id=row.get("parent_id"),
        kind=row.get("span_kind"),
        start_time=_datetime(row["start_time"]) if "start_time" in row else None,
        end_time=_datetime(row["end_time"]) if "end_time" in row else None,
        status_code=row.get("status_code"),
        status_message=row.get("status_message"),
        attributes={name: _parse_json_objects(value) for name, value in row.items() if name.startswith(_ATTRIBUTES)},
        events=events,
    )


def _datetime(value: object) -> datetime:
    """Return the time of nanoseconds since 1970 UTC, or of an Arrow timestamp that was converted to text."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return from_us(int(value) // 1000)  # type: ignore[call-overload]  # the caller handles its TypeError


def _parse_json_objects(value: Any) -> Any:
    """Parse the JSON texts in a list: that is how the SDK sends messages, documents and events."""
    if not isinstance(value, list):
        return value
    return [
        _parse_or_keep(member) if isinstance(member, str) and member.startswith("{") else member for member in value
    ]


def _parse_or_keep(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json_value(value: Any) -> Any:  # noqa: PLR0911  one for each kind of value
    """Return the value as JSON: times as RFC 3339 text, bytes as base64 text, NaN and infinity as null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_json_value(member) for member in value]
        case dict():
            return {str(name): _json_value(member) for name, member in value.items()}
        case date() | time() | timedelta():
            return json_time(value)
        case Decimal():
            return float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(value)


def _project_name(metadata: Mapping[bytes, bytes]) -> str:
    """Return the project's name from the SDK's protobuf schema in the table's metadata.

    Raises:
        BadRequest: It is missing or longer than 255 characters.
    """
    try:
        schema = base64.b64decode(metadata.get(b"arize-schema", b""), validate=True)
        name = _bytes_field(_bytes_field(schema, _CONSTANTS), _MODEL_ID).decode().strip()
    except (binascii.Error, DecodeError, UnicodeDecodeError):
        name = ""
    if not 0 < len(name) <= _NAME_MAX:
        raise BadRequest(
            "The table's metadata 'arize-schema' must name the project (constants.model_id, at most 255 characters)."
        )
    return name


def _bytes_field(message: bytes, number: int) -> bytes:
    """Return the last field with this number that contains bytes; empty if there is none."""
    content = b""
    fields = UnknownFieldSet(Empty.FromString(message))
    for field in (fields[i] for i in range(len(fields))):
        if field.field_number == number and isinstance(field.data, bytes):
            content = field.data
    return content
