"""OpenTelemetry's protocol (OTLP): decodes requests to rows and encodes responses.

The project of a span is the first of these: the resource attribute `openinference.project.name`, `arize.project.name`
or `model_id`; the header of the request; the resource attribute `service.name`, unless it is the default of the SDK;
`default`. Attributes, events and status codes are mapped as in OpenInference. The span kind is
`openinference.span.kind`, because OpenTelemetry's own kinds describe where a call was made, not its purpose.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import ValidationError

from evaltasks.api.problems import BadRequest
from evaltasks.api.spans import IncomingSpan
from evaltasks.api.wire import JsonObject
from evaltasks.engine.clock import from_us
from evaltasks.engine.ingest.ingestor import IngestBatch
from evaltasks.engine.ingest.spans import span_row_from
from evaltasks.engine.store.spans import SpanRow

PROJECT_DEFAULT = "default"
_PROJECT_NAME_MAX = 255
_PROJECT_ATTRIBUTES = ("openinference.project.name", "arize.project.name", "model_id")
_SERVICE = "service.name"
# The default of OpenTelemetry's SDKs for a service without a name.
_NO_SERVICE = "unknown_service"
_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_STATUSES = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}
# In OTLP's JSON, ids are hexadecimal; protobuf's JSON mapping expects base64.
_HEX_FIELDS = frozenset({"traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id"})


def request_from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    """Decode a request. Raises BadRequest if it is not valid."""
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise BadRequest("The body is not an ExportTraceServiceRequest in protobuf.") from None


def request_from_json(body: bytes) -> ExportTraceServiceRequest:
    """Decode a request in OTLP's JSON: hexadecimal ids, enum values as numbers or names, unknown fields ignored.

    Raises:
        BadRequest: It is not valid.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TypeError
        _hex_to_base64(document)
        return json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.Error):
        raise BadRequest("The body is not an ExportTraceServiceRequest in OTLP's JSON (ids are hexadecimal).") from None


def _hex_to_base64(document: JsonObject) -> None:
    """Convert the ids of spans and their links in place. Raises ValueError for an id that is not hexadecimal."""
    for resource in _objects(document, "resourceSpans", "resource_spans"):
        for scope in _objects(resource, "scopeSpans", "scope_spans"):
            for span in _objects(scope, "spans"):
                for item in (span, *_objects(span, "links")):
                    for name in item.keys() & _HEX_FIELDS:
                        if isinstance(item[name], str):
                            item[name] = base64.b64encode(binascii.unhexlify(item[name])).decode()


def _objects(document: JsonObject, *names: str) -> Iterable[JsonObject]:
    for name in names:
        members = document.get(name)
        if isinstance(members, list):
            yield from (member for member in members if isinstance(member, dict))


def batch_from(request: ExportTraceServiceRequest, project_name: str | None = None) -> IngestBatch:
    """Return the rows of a request. Spans that cannot be stored are counted by reason; the others are not affected.

    Args:
        request: The request.
        project_name: The project in the headers of the request, for resources that do not name one.
    """
    batch = IngestBatch()
    for resource_spans in request.resource_spans:
        project = _project_name(resource_spans.resource, project_name)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if len(project) > _PROJECT_NAME_MAX:
                    batch.rejected[f"the project's name has more than {_PROJECT_NAME_MAX} characters"] += 1
                    continue
                try:
                    batch.add(project, _row_from(span))
                except ValidationError as error:
                    batch.rejected[_reason(error)] += 1
                except (ValueError, OverflowError) as error:
                    batch.rejected[str(error)] += 1
    return batch


def response_from(batch: IngestBatch) -> ExportTraceServiceResponse:
    """Return the response for a stored batch; rejected spans are reported as a partial success."""
    response = ExportTraceServiceResponse()
    if batch.num_rejected:
        response.partial_success.rejected_spans = batch.num_rejected
        response.partial_success.error_message = batch.reasons
    return response


def json_from(response: ExportTraceServiceResponse) -> str:
    return json_format.MessageToJson(response, indent=None)


def _project_name(resource: Resource, header_project: str | None) -> str:
    names = {pair.key: pair.value.string_value.strip() for pair in resource.attributes}
    for attribute in _PROJECT_ATTRIBUTES:
        if names.get(attribute):
            return names[attribute]
    service = names.get(_SERVICE, "")
    return header_project or ("" if service.startswith(_NO_SERVICE) else service) or PROJECT_DEFAULT


def _row_from(span: Span) -> SpanRow:
    """Return the row to store for a span.

    Raises:
        ValidationError: A field is not valid.
        ValueError: An id or a time is not valid.
        OverflowError: A time is out of range.
    """
    if len(span.trace_id) != _TRACE_ID_BYTES or not any(span.trace_id):
        raise ValueError(f"trace_id must be {_TRACE_ID_BYTES} bytes and not all zero")
    if len(span.span_id) != _SPAN_ID_BYTES or not any(span.span_id):
        raise ValueError(f"span_id must be {_SPAN_ID_BYTES} bytes and not all zero")
    incoming = IncomingSpan(
        name=span.name if span.name.strip() else "span",
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        start_time=_datetime(span.start_time_unix_nano, "start_time_unix_nano"),
        end_time=_datetime(span.end_time_unix_nano, "end_time_unix_nano") if span.end_time_unix_nano else None,
        status_code=_STATUSES.get(span.status.code),
        status_message=span.status.message or None,
        attributes=_attributes(span.attributes),
        events=[
            {
                "name": event.name or "event",
                "timestamp": _datetime(event.time_unix_nano, "an event's time_unix_nano")
                if event.time_unix_nano
                else None,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
    )
    return span_row_from(incoming)


def _reason(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def _datetime(nanoseconds: int, field: str) -> datetime:
    try:
        return from_us(nanoseconds // 1000)
    except OverflowError:
        raise ValueError(f"{field} is after the year 9999") from None


def _attributes(pairs: Iterable[KeyValue]) -> JsonObject:
    return {pair.key: _json_value(pair.value) for pair in pairs}


def _json_value(value: AnyValue) -> Any:  # noqa: PLR0911  one for each kind of value
    """Return the value as JSON: bytes become base64 text, an empty value becomes null."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "array_value":
            return [_json_value(member) for member in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return None
