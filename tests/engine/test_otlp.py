"""Spans over OTLP: what is stored, and responses to invalid requests."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zlib
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from evaltasks.engine.ingest.ingestor import IN_FLIGHT_MAX
from tests.support.engines import EngineInTest, engine
from tests.support.otlp import SPAN_ID, START_NS, TRACE_ID, span_request, text_attribute

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


async def _send(it: EngineInTest, content: bytes, headers: dict[str, str], *, status: int = 200) -> bytes:
    reply = await it.http.post("/v1/traces", content=content, headers=headers)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == headers.get("content-type", "application/json")
    return reply.content


async def _projects(it: EngineInTest) -> dict[str, str]:
    page = await it.ask("GET", "/v2/projects")
    return {project["name"]: project["id"] for project in page["projects"]}


async def _spans(it: EngineInTest, project: str = "app") -> list[dict[str, Any]]:
    body = {"project_id": (await _projects(it))[project], "start_time": "2026-02-01T00:00:00Z"}
    page = await it.ask("POST", "/v2/spans", body)
    return list(page["spans"])


async def test_otlp_protobuf_span_is_stored_as_in_openinference() -> None:
    request = span_request()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.parent_span_id = bytes.fromhex("00f067aa0ba902b7")
    span.status.code = 2
    span.status.message = "boom"
    span.attributes.extend(
        [
            text_attribute("openinference.span.kind", "LLM"),
            text_attribute("llm.input_messages.0.message.content", "hi"),
            text_attribute("metadata", '{"tier": "gold"}'),
            KeyValue(key="llm.token_count.total", value=AnyValue(int_value=7)),
            KeyValue(key="cost", value=AnyValue(double_value=0.5)),
            KeyValue(key="ok", value=AnyValue(bool_value=True)),
            KeyValue(key="raw", value=AnyValue(bytes_value=b"\x00\xff")),
            KeyValue(key="tags", value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a")]))),
            KeyValue(key="deep", value=AnyValue(kvlist_value=KeyValueList(values=[text_attribute("x", "y")]))),
        ]
    )
    span.events.add(
        name="exception", time_unix_nano=START_NS, attributes=[text_attribute("exception.type", "TimeoutError")]
    )
    async with engine() as it:
        answer = await _send(it, request.SerializeToString(), PROTOBUF)
        (stored,) = await _spans(it)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert stored["context"] == {"trace_id": TRACE_ID, "span_id": SPAN_ID}
    assert stored["parent_id"] == "00f067aa0ba902b7"
    assert (stored["kind"], stored["status_code"], stored["status_message"]) == ("LLM", "ERROR", "boom")
    assert (stored["start_time"], stored["latency_ms"]) == ("2026-03-01T00:00:00.000Z", 1500.0)
    assert stored["attributes"] == {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.content": "hi",
        "metadata.tier": "gold",
        "llm.token_count.total": 7,
        "cost": 0.5,
        "ok": True,
        "raw": "AP8=",
        "tags": ["a"],
        "deep.x": "y",
    }
    (event,) = stored["events"]
    assert (event["name"], event["attributes"]) == ("exception", {"exception.type": "TimeoutError"})


@pytest.mark.parametrize("status", [2, "STATUS_CODE_ERROR"])
async def test_otlp_json_span_has_hexadecimal_ids_and_enums_by_number_or_name(status: object) -> None:
    span = {
        "traceId": TRACE_ID.upper(),
        "spanId": SPAN_ID,
        "parentSpanId": "",
        "name": "call",
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": START_NS + 1_000_000,
        "status": {"code": status},
        "attributes": [{"key": "input.value", "value": {"stringValue": "hi"}}],
        "links": [{"traceId": TRACE_ID, "spanId": SPAN_ID}],
        "newerField": 1,
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    async with engine() as it:
        answer = await _send(it, json.dumps(body).encode(), JSON)
        (stored,) = await _spans(it, "default")
    assert json.loads(answer) == {}
    assert stored["context"] == {"trace_id": TRACE_ID, "span_id": SPAN_ID}
    assert (stored["parent_id"], stored["status_code"], stored["kind"]) == (None, "ERROR", "UNKNOWN")
    assert stored["attributes"]["input.value"] == "hi"


@pytest.mark.parametrize(
    ("resource", "headers", "project"),
    [
        ({"openinference.project.name": "a", "service.name": "s"}, {"x-project-name": "h"}, "a"),
        ({"model_id": "m"}, {}, "m"),
        ({"service.name": "s"}, {"x-project-name": "h"}, "h"),
        ({"service.name": "s"}, {}, "s"),
        ({"service.name": "unknown_service:python"}, {}, "default"),
        ({}, {}, "default"),
    ],
)
async def test_otlp_project_comes_from_the_resource_then_the_headers_then_the_service(
    resource: dict[str, str], headers: dict[str, str], project: str
) -> None:
    async with engine() as it:
        await _send(it, span_request(project=None, **resource).SerializeToString(), PROTOBUF | headers)
        assert list(await _projects(it)) == [project]


async def test_otlp_space_is_named_by_a_header_and_must_exist() -> None:
    content = span_request().SerializeToString()
    async with engine() as it:
        space = await it.ask("POST", "/v2/spaces", {"name": "other", "organization_id": "o"})
        for header in ({"space_id": "other"}, {"arize-space-id": space["id"]}):
            await _send(it, content, PROTOBUF | header)
        page = await it.ask("GET", "/v2/projects")
        refused = await _send(it, content, PROTOBUF | {"space_id": "nowhere"}, status=404)
    assert [(project["name"], project["space_id"]) for project in page["projects"]] == [("app", space["id"])]
    assert refused.startswith(b"\x08\x05\x12")  # google.rpc.Status: code 5, then its message


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_otlp_compressed_bodies_are_decompressed(encoding: str, pack: Any) -> None:
    async with engine() as it:
        await _send(it, pack(span_request().SerializeToString()), PROTOBUF | {"content-encoding": encoding})
        assert len(await _spans(it)) == 1


async def test_otlp_rejects_invalid_spans_and_stores_the_others() -> None:
    request = span_request(spans=4)
    good, no_id, back, no_time = request.resource_spans[0].scope_spans[0].spans
    no_id.trace_id = b""
    back.end_time_unix_nano = START_NS - 1_000_000
    no_time.start_time_unix_nano = 0
    async with engine() as it:
        answer = ExportTraceServiceResponse.FromString(await _send(it, request.SerializeToString(), PROTOBUF))
        (stored,) = await _spans(it)
        as_json = await _send(
            it,
            json.dumps(
                {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": TRACE_ID, "spanId": "00"}]}]}]}
            ).encode(),
            JSON,
        )
    assert stored["context"]["span_id"] == good.span_id.hex()
    assert answer.partial_success.rejected_spans == 3
    for reason in ("trace_id must be 16 bytes", "end_time is before start_time", "unit mistake"):
        assert reason in answer.partial_success.error_message
    assert json.loads(as_json)["partialSuccess"]["rejectedSpans"] == "1"


async def test_otlp_span_that_is_sent_again_is_replaced() -> None:
    content = span_request().SerializeToString()
    async with engine() as it:
        await _send(it, content, PROTOBUF)
        await _send(it, content, PROTOBUF)
        assert len(await _spans(it)) == 1


async def test_otlp_malformed_body_is_a_400_in_the_encoding_of_the_request() -> None:
    async with engine() as it:
        binary = await _send(it, b"\xff\xff\xff", PROTOBUF, status=400)
        text = await _send(it, b'{"resourceSpans": 3}', JSON, status=400)
        ids = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "not hexadecimal"}]}]}]}
        await _send(it, json.dumps(ids).encode(), JSON, status=400)
        await _send(it, b"not packed", PROTOBUF | {"content-encoding": "gzip"}, status=400)
        await _send(it, gzip.compress(b"\n\x00" * 50)[:-9], PROTOBUF | {"content-encoding": "gzip"}, status=400)
        other = await it.http.post("/v1/traces", content=b"x", headers={"content-type": "text/plain"})
        odd = await it.http.post("/v1/traces", content=b"x", headers=PROTOBUF | {"content-encoding": "br"})
    assert binary.startswith(b"\x08\x03\x12")
    assert json.loads(text)["code"] == 3
    assert other.status_code == odd.status_code == 415


async def test_otlp_small_body_that_decompresses_to_a_huge_one_is_a_413() -> None:
    bomb = gzip.compress(b"\x00" * (64 * 2**20))
    assert len(bomb) < 2**17
    async with engine() as it:
        tracemalloc.start()
        try:
            answer = await _send(it, bomb, PROTOBUF | {"content-encoding": "gzip"}, status=413)
            held_max = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert b"20 MiB" in answer
    assert held_max < 48 * 2**20, "it was unpacked whole before it was refused"


async def test_otlp_answers_503_with_retry_after_while_all_places_are_in_use() -> None:
    async with engine() as it:
        with anyio.fail_after(5):
            places = [it.engine.ingestor.place() for _ in range(IN_FLIGHT_MAX)]
            for place in places:
                place.__enter__()
            reply = await it.http.post("/v1/traces", content=span_request().SerializeToString(), headers=PROTOBUF)
            for place in places:
                place.__exit__(None, None, None)
            await _send(it, span_request().SerializeToString(), PROTOBUF)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert reply.content.startswith(b"\x08\x0e\x12")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(TRACE_ID),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["resourceSpans", "resource", "attributes", "scopeSpans", "spans", "traceId", "spanId", "links", "status",
             "code", "key", "value", "stringValue", "intValue", "arrayValue", "values", "startTimeUnixNano", "events"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


async def test_otlp_arbitrary_bytes_never_cause_an_internal_error() -> None:
    """Damaged requests, random JSON and random bytes are stored, rejected or refused."""
    whole = span_request(spans=2).SerializeToString()
    damaged = st.tuples(st.integers(0, len(whole) - 1), st.binary(max_size=4)).map(
        lambda cut: whole[: cut[0]] + cut[1] + whole[cut[0] + len(cut[1]) :]
    )
    span = st.fixed_dictionaries({}, optional=dict.fromkeys(("traceId", "status", "attributes", "events"), _JSON))
    document = span.map(lambda one: {"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": SPAN_ID, **one}]}]}]})
    bodies = (
        st.tuples(damaged | st.binary(max_size=40), st.just(PROTOBUF))
        | st.tuples((_JSON | document).map(lambda value: json.dumps(value).encode()), st.just(JSON))
        | st.tuples(st.binary(max_size=40), st.just(JSON | {"content-encoding": "gzip"}))
    )
    sent: list[tuple[bytes, dict[str, str]]] = []

    @settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(bodies)
    def gather(body: tuple[bytes, dict[str, str]]) -> None:
        sent.append(body)

    gather()
    async with engine() as it:
        for content, headers in sent:
            reply = await it.http.post("/v1/traces", content=content, headers=headers)
            assert reply.status_code < 500, (content, reply.text)
