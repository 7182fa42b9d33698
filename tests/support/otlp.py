"""OTLP requests for tests."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

START_NS = 1_772_323_200_000_000_000  # 2026-03-01T00:00:00Z
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


def text_attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def span_request(*, project: str | None = "app", spans: int = 1, **resource: str) -> ExportTraceServiceRequest:
    """Return a trace of that many spans; `resource` are further attributes of the resource."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    if project is not None:
        resource["openinference.project.name"] = project
    resource_spans.resource.attributes.extend(text_attribute(key, value) for key, value in resource.items())
    scope = resource_spans.scope_spans.add()
    for i in range(spans):
        scope.spans.add(
            name="call",
            trace_id=bytes.fromhex(TRACE_ID),
            span_id=(int(SPAN_ID, 16) + i).to_bytes(8, "big"),
            start_time_unix_nano=START_NS + i,
            end_time_unix_nano=START_NS + i + 1_500_000_000,
        )
    return request
