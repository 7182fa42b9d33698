"""Spans from a real OpenTelemetry exporter, and Arrow uploads as the published SDK makes them."""

from __future__ import annotations

import base64
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pyarrow as pa
import pytest
import uvicorn
from anyio import to_thread
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

from evaltasks.engine import ingest
from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import EngineInTest, engine

# The poll interval is too long for the test: ingested spans must wake the executor.
NO_POLL = ExecutorLimits(poll_seconds=300, continuous_seconds=0.0)


@asynccontextmanager
async def _address(it: EngineInTest) -> AsyncIterator[str]:
    """The engine on a loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(it.engine.app, log_level="warning", lifespan="off"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


def _instrumented_application(address: str) -> bool:
    """Trace an application that answers a question, with OpenInference attributes."""
    provider = TracerProvider(resource=Resource({"openinference.project.name": "shop"}))
    exporter = OTLPSpanExporter(f"{address}/v1/traces", compression=Compression.Gzip, headers={"space_id": "default"})
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("handle", attributes={"openinference.span.kind": "CHAIN", "session.id": "s1"}):
        for output in ("the answer is 42", "no idea"):
            with tracer.start_as_current_span("llm", attributes={"openinference.span.kind": "LLM"}) as span:
                span.set_attribute("output.value", output)
                span.add_event("token", {"n": 1})
                span.set_status(Status(StatusCode.ERROR, "unsure") if output == "no idea" else Status(StatusCode.OK))
    flushed = provider.force_flush(10_000)
    provider.shutdown()
    return flushed


async def test_continuous_task_evaluates_spans_of_an_exporter() -> None:
    with anyio.fail_after(40):
        async with engine(limits=NO_POLL) as it, _address(it) as address:
            project_id = await it.seed_project("shop")
            evaluator_id = await it.seed_code_evaluator()
            await it.seed_task(
                [evaluator_id], project_id=project_id, is_continuous=True, query_filter="span_kind = 'LLM'"
            )
            assert await to_thread.run_sync(_instrumented_application, address)
            evaluated: list[dict[str, Any]] = []
            while len(evaluated) < 2:
                query = {"project_id": project_id, "filter": "eval.is_answer.label IS NOT NULL"}
                evaluated = (await it.ask("POST", "/v2/spans", query))["spans"]
                await anyio.sleep(0.005)  # a poll, as every client waits; bounded above
            (root,) = (await it.ask("POST", "/v2/spans", {"project_id": project_id, "filter": "parent_id IS NULL"}))[
                "spans"
            ]
    labels = {span["attributes"]["output.value"]: span["evaluations"][0]["score"] for span in evaluated}
    assert labels == {"the answer is 42": 1.0, "no idea": 0.0}
    assert {span["parent_id"] for span in evaluated} == {root["context"]["span_id"]}
    assert (root["kind"], root["attributes"]["session.id"]) == ("CHAIN", "s1")
    assert {span["status_code"] for span in evaluated} == {"OK", "ERROR"}


def _upload(rows: list[dict[str, Any]], project: str = "shop") -> bytes:
    """An Arrow stream with the SDK's protobuf schema: constants (1) with model_id (1)."""
    constants = b"\x0a" + bytes([len(project)]) + project.encode() + b"\x20\x05"
    schema = base64.b64encode(b"\x0a" + bytes([len(constants)]) + constants + b"\x42\x00")
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"arize-schema": schema})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _row(i: int, **more: object) -> dict[str, Any]:
    return {
        "context.trace_id": "t1",
        "context.span_id": f"s{i}",
        "name": "call",
        "start_time": 1_772_323_200_000_000_000 + i * 1_000_000_000,
        "end_time": 1_772_323_260_000_000_000,
        "status_code": "OK",
        "attributes.openinference.span.kind": "LLM",
        **more,
    }


async def test_arrow_upload_stores_spans_with_their_evaluations() -> None:
    rows = [
        _row(
            1,
            **{
                "attributes.llm.input_messages": ['{"message.role": "user", "message.content": "hi"}'],
                "attributes.metadata": '{"tier": "gold"}',
                "events": ['{"name": "e", "timestamp": "2026-03-01T00:00:01Z", "attributes": "{\\"x\\": 1}"}'],
                "eval.q.label": "good",
                "eval.q.score": 1.0,
            },
        ),
        _row(2),
    ]
    async with engine() as it:
        reply = await it.http.post("/v1/pandas_arrow", content=_upload(rows), headers={"arize-space-id": "default"})
        again = [{"context.span_id": "s2", "eval.q.label": "bad"}, {"context.span_id": "gone", "eval.q.label": "bad"}]
        later = await it.http.post("/v1/pandas_arrow", content=_upload(again))
        (project,) = (await it.ask("GET", "/v2/projects"))["projects"]
        body = {"project_id": project["id"], "start_time": "2026-02-01T00:00:00Z"}
        second, first = (await it.ask("POST", "/v2/spans", body))["spans"]
    assert reply.json() == {"num_added": 2, "num_replaced": 0, "records_updated": 1, "unmatched_ids": []}
    assert later.json()["unmatched_ids"] == ["gone"]
    assert project["name"] == "shop"
    assert first["attributes"]["llm.input_messages.0.message.content"] == "hi"
    assert first["attributes"]["metadata.tier"] == "gold"
    assert first["events"][0]["attributes"] == {"x": 1}
    assert [(one["evaluations"][0]["label"], one["kind"]) for one in (first, second)] == [
        ("good", "LLM"),
        ("bad", "LLM"),
    ]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"\xff" * 100, 400),
        (_upload([{"a": 1}])[:-40], 400),
        (_upload([{"context.span_id": "s", "eval.q.label": "x"}], project=""), 400),
        (_upload([{"context.span_id": "s", "eval.q.label": "x"}]), 404),
        (_upload([{"context.span_id": "s", "trace_eval.q.label": "x"}]), 501),
        (_upload([{"eval.q.label": "x"}]), 400),
        (_upload([{"context.span_id": "s", "eval.q.score": "x"}]), 400),
        (_upload([_row(1, start_time=1)]), 422),
        (_upload([_row(1), _row(2, end_time=5)]), 422),
    ],
)
async def test_arrow_upload_that_is_invalid_stores_nothing(content: bytes, status: int) -> None:
    async with engine() as it:
        reply = await it.http.post("/v1/pandas_arrow", content=content)
        projects = (await it.ask("GET", "/v2/projects"))["projects"]
    assert (reply.status_code, json.loads(reply.text)["status"]) == (status, status)
    assert projects == []


async def test_arrow_upload_without_pyarrow_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ingest, "uploads", raising=False)
    monkeypatch.setitem(sys.modules, "evaltasks.engine.ingest.uploads", None)
    async with engine() as it:
        reply = await it.http.post("/v1/pandas_arrow", content=_upload([_row(1)]))
    assert reply.status_code == 501
    assert "evaltasks[flight]" in reply.json()["detail"]
