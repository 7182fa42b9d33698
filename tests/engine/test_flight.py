"""Arrow Flight: the bulk calls of the published SDK, made with a plain Flight client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from anyio import to_thread
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from evaltasks.engine.flight.otlp import open_otlp
from evaltasks.engine.flight.server import open_flight
from evaltasks.engine.keys import keys_from
from tests.support.engine_command import KEY, OTHER_KEY
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.otlp import span_request

BOTH = f"{KEY},{OTHER_KEY}"


@dataclass
class Flight:
    """A Flight client whose calls run in threads, so that the event loop of the engine stays free."""

    it: EngineInTest
    client: fl.FlightClient
    options: fl.FlightCallOptions

    async def put(self, command: object, rows: list[dict[str, Any]]) -> bytes:
        return await to_thread.run_sync(self._put, json.dumps(command), pa.Table.from_pylist(rows))

    def _put(self, command: str, table: pa.Table) -> bytes:
        writer, reader = self.client.do_put(fl.FlightDescriptor.for_command(command), table.schema, self.options)
        with writer:
            writer.write_table(table)
            writer.done_writing()
            return bytes(reader.read().to_pybytes())

    async def get(self, command: object) -> pa.Table:
        ticket = fl.Ticket(json.dumps(command))
        return await to_thread.run_sync(lambda: self.client.do_get(ticket, self.options).read_all())

    async def act(self, command: object) -> bytes:
        action = fl.Action("create_experiment_db_entry", json.dumps(command).encode())
        return bytes(await to_thread.run_sync(lambda: next(self.client.do_action(action, self.options)).body))

    async def count(self, command: object) -> int:
        descriptor = fl.FlightDescriptor.for_command(json.dumps(command))
        info = await to_thread.run_sync(lambda: self.client.get_flight_info(descriptor, self.options))
        return int(info.total_records)


@asynccontextmanager
async def flight(keys: str = "", sent: str = "any") -> AsyncIterator[Flight]:
    with anyio.fail_after(30):
        async with engine() as it, open_flight(it.engine.services, "127.0.0.1", 0, keys_from(keys)) as address:
            options = fl.FlightCallOptions(
                headers=[(b"auth-token-bin", sent.encode()), (b"origin", b"sdk")], timeout=20
            )
            with fl.FlightClient(address) as client:
                yield Flight(it, client, options)


def _texts(answer: bytes) -> list[str]:
    """Return the strings of a protobuf message of short strings."""
    found, rest = [], answer
    while rest:
        length = rest[1]
        found.append(rest[2 : 2 + length].decode())
        rest = rest[2 + length :]
    return found


async def test_flight_dataset_of_5000_rows_is_uploaded_and_downloaded_completely() -> None:
    rows = [
        {"id": f"row-{i}", "created_at": 1, "updated_at": 1, "question": f"q{i}", "n": i, "nested": {"deep": [i]}}
        for i in range(5000)
    ]
    async with flight() as it:
        (dataset_id,) = _texts(
            await it.put({"createDataset": {"spaceId": "default", "datasetName": "big", "datasetType": "G"}}, rows)
        )
        table = await it.get({"getDataset": {"spaceId": "default", "datasetId": dataset_id}})
        page = await it.it.ask("GET", f"/v2/datasets/{dataset_id}/examples", limit=1)
        with pytest.raises(fl.FlightServerError, match="already exists"):
            await it.put({"createDataset": {"spaceId": "default", "datasetName": "big"}}, rows[:1])
    assert (table.num_rows, table.column_names[:3]) == (5000, ["id", "created_at", "updated_at"])
    last = table.slice(4999).to_pylist()[0]
    assert (last["id"], last["question"], last["n"], last["nested"]) == ("row-4999", "q4999", 4999, '{"deep": [4999]}')
    assert last["created_at"] > 1
    assert page["examples"][0]["nested"] == {"deep": [0]}


async def test_flight_column_with_mixed_types_is_downloaded_as_strings() -> None:
    async with flight() as it:
        dataset_id = await it.it.seed_dataset([{"x": 1, "y": 1, "z": True}, {"x": "a", "y": 0.5}, {"x": None, "y": 2}])
        table = await it.get({"getDataset": {"spaceId": "", "datasetId": dataset_id}})
    assert table["x"].to_pylist() == ["1", "a", None]
    assert table["y"].to_pylist() == [1.0, 0.5, 2.0]
    assert table["z"].to_pylist() == [True, None, None]


async def test_flight_experiment_is_created_and_its_runs_are_posted_and_downloaded() -> None:
    async with flight() as it:
        dataset_id = await it.it.seed_dataset()
        entry = {"spaceId": "default", "datasetId": dataset_id, "experimentName": "e"}
        experiment_id, in_dataset, traces = _texts(await it.act({"createExperimentDbEntry": entry}))
        rows = [
            {"id": f"r{i}", "example_id": f"x{i}", "output": f"o{i}", "eval.ok.score": i / 10, "eval.ok.label": "yes"}
            for i in range(3)
        ]
        assert _texts(await it.put({"postExperimentData": entry}, rows)) == [experiment_id, dataset_id]
        table = await it.get({"getExperiment": {"spaceId": "default", "experimentId": experiment_id}})
        found = await it.it.ask(
            "POST", f"/v2/experiments/{experiment_id}/runs/search", {"filter": "eval.ok.score > 0.1"}
        )
        projects = await it.it.ask("GET", "/v2/projects", project_type="EXPERIMENT")
        for refused in (it.put({"postExperimentData": entry}, rows), it.act({"createExperimentDbEntry": entry})):
            with pytest.raises(fl.FlightServerError, match=r"before|already"):
                await refused
    assert in_dataset == dataset_id
    assert [project["name"] for project in projects["projects"]] == [traces]
    assert table.select(["id", "output", "eval.ok.score"]).to_pylist()[2] == {
        "id": "r2", "output": "o2", "eval.ok.score": 0.2,
    }  # fmt: skip
    assert [run["id"] for run in found["experiment_runs"]] == ["r2"]


EXPORT = {"spaceId": "default", "modelId": "app", "environment": "TRACING", "startTime": WINDOW["data_start_time"],
          "endTime": WINDOW["data_end_time"]}  # fmt: skip


async def test_flight_export_has_evaluations_and_annotations_of_spans() -> None:
    attributes = {
        "llm.input_messages": [{"message": {"role": "user", "tool_calls": [{"tool_call": {"id": "1"}}]}}],
        "metadata": {"tier": "gold", "deep": {"x": 1}},
    }
    async with flight() as it:
        project_id = await it.it.seed_project("app")
        ids = await it.it.seed_spans(project_id, 1200, attributes=attributes)
        write = {"writeSpanEvaluationRequest": {"externalModelId": "app", "spaceId": "default"}}
        await it.put(write, [{"context.span_id": ids[7], "eval.q.label": "good", "eval.q.score": 1.0}])
        assert await it.count(EXPORT) == 1200
        table = await it.get(EXPORT)
        narrow = EXPORT | {
            "filterExpression": "eval.q.label = 'good'",
            "projectedColumns": ["name", "eval.q"],
            "streamChunkSize": "1",
        }
        assert await it.count(narrow) == 1
        few = await it.get(narrow)
        sample = {**EXPORT, "sampleRate": 0.5}
        assert 0 < await it.count(sample) == (await it.get(sample)).num_rows < 1200
        with pytest.raises(fl.FlightServerError, match="spans have no column"):
            await it.count(EXPORT | {"filterExpression": "nonsense = 1"})
        with pytest.raises(fl.FlightServerError, match="no project"):
            await it.count(EXPORT | {"modelId": "other"})
    row = table.slice(7, 1).to_pylist()[0]
    assert (row["context.span_id"], row["eval.q.label"], row["attributes.input.value"]) == (
        ids[7],
        "good",
        "question 7",
    )
    assert [json.loads(text) for text in row["attributes.llm.input_messages"]] == [
        {"message.role": "user", "message.tool_calls": [{"tool_call.id": "1"}]}
    ]
    assert json.loads(row["attributes.metadata"]) == {"tier": "gold", "deep": {"x": 1}}
    assert "attributes.retrieval.documents" not in table.column_names
    assert few.column_names == ["time", "name", "eval.q.label", "eval.q.score"]


async def test_flight_evaluations_are_treated_as_those_of_the_engine() -> None:
    """Lists show them as written by a client, filters find them, and a task run skips their spans as already
    labelled."""
    async with flight() as it:
        project_id = await it.it.seed_project("app")
        ids = await it.it.seed_spans(project_id, 3)
        answer = await it.put(
            {"writeSpanEvaluationRequest": {"externalModelId": project_id, "spaceId": await it.it.space_id()}},
            [
                {"context.span_id": ids[0], "eval.is_answer.label": "no", "eval.is_answer.score": 0.0},
                {"context.span_id": "gone", "eval.is_answer.label": "no", "eval.is_answer.score": 0.0},
            ],
        )
        body = {"project_id": project_id, "filter": "eval.is_answer.label = 'no'", "start_time": "2026-02-01T00:00:00Z"}
        (span,) = (await it.it.ask("POST", "/v2/spans", body))["spans"]
        task_id = await it.it.seed_task([await it.it.seed_code_evaluator()], project_id=project_id)
        task_run = await it.it.finish(task_id, **WINDOW)
    assert answer == b"\x08\x01\x12\x04gone"
    assert span["context"]["span_id"] == ids[0]
    (evaluation,) = span["evaluations"]
    assert (evaluation["label"], evaluation["score"]) == ("no", 0.0)
    assert evaluation["metadata"] == {"written_by": "client"}
    assert (task_run["num_successes"], task_run["num_skipped"]) == (2, 1)


async def test_flight_annotations_and_metadata_are_stored_on_spans() -> None:
    # The first is as the SDK sends it; the others are shown as they are.
    notes = ['{"text": "hm"}', "plain", "[1]", "{}", "7"]
    async with flight() as it:
        project_id = await it.it.seed_project("app")
        (span_id,) = await it.it.seed_spans(project_id, 1, attributes={"metadata": {"a": 1, "b": {"c": 2}}})
        where = {"externalModelId": "app", "spaceId": "default"}
        annotated = await it.put(
            {"writeSpanAnnotationRequest": where},
            [{"context.span_id": span_id, "annotation.h.label": "ok", "annotation.notes": [*notes]}],
        )
        patched = await it.put(
            {"writeSpanAttributesMetadataRequest": where},
            [
                {"context.span_id": span_id, "patch_document": '{"b": {"d": 3}, "n": null}'},
                {"context.span_id": "gone", "patch_document": "{}"},
            ],
        )
        body = {"project_id": project_id, "start_time": "2026-02-01T00:00:00Z"}
        (span,) = (await it.it.ask("POST", "/v2/spans", body))["spans"]
    assert (annotated, patched[:6]) == (b"\x08\x01", b"\x08\x02\x10\x01\x18\x01")
    assert [(one["name"], one["label"], one["text"]) for one in span["annotations"]] == [
        ("h", "ok", None),
        ("notes", None, "hm\nplain\n[1]\n{}\n7"),
    ]
    metadata = {name: value for name, value in span["attributes"].items() if name.startswith("metadata")}
    assert metadata == {"metadata.a": 1, "metadata.b.c": 2, "metadata.b.d": 3, "metadata.n": None}


@pytest.mark.parametrize(
    "command", [[], {"updateDataset": {}}, {"createDataset": {"spaceId": "default"}}, {"createDataset": 1}]
)
async def test_flight_invalid_commands_are_refused_with_a_message(command: object) -> None:
    async with flight() as it:
        with pytest.raises(fl.FlightServerError, match="command") as refused:
            await it.put(command, [{"a": 1}])
        with pytest.raises(fl.FlightServerError, match="command"):
            await it.get(command)
    assert "Traceback" not in str(refused.value)


async def test_flight_port_with_keys_accepts_only_these_keys() -> None:
    for sent, fits in ((KEY, True), (OTHER_KEY, True), ("wrong", False)):
        async with flight(BOTH, sent) as it:
            dataset_id = await it.it.seed_dataset()
            ask = it.get({"getDataset": {"spaceId": "", "datasetId": dataset_id}})
            if fits:
                assert (await ask).num_rows == 3
            else:
                with pytest.raises(fl.FlightUnauthenticatedError):
                    await ask


@pytest.mark.parametrize(
    ("keys", "sent", "fits"),
    [
        ("", "any", True),
        (BOTH, f"Bearer {KEY}", True),
        (BOTH, OTHER_KEY, True),
        (BOTH, "other", False),
        (BOTH, "", False),
    ],
)
async def test_otlp_over_grpc_stores_spans_and_checks_keys(keys: str, sent: str, fits: bool) -> None:
    def export(address: str) -> bytes:
        with grpc.insecure_channel(address.removeprefix("http://")) as channel:
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            metadata = (("authorization", sent), ("arize-space-id", "default"))
            return bytes(call(span_request(spans=2).SerializeToString(), metadata=metadata, timeout=20))

    with anyio.fail_after(30):
        async with engine() as it, open_otlp(it.engine.ingestor, "127.0.0.1", 0, keys_from(keys)) as address:
            if not fits:
                with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                    await to_thread.run_sync(export, address)
                return
            answer = await to_thread.run_sync(export, address)
            (project,) = (await it.ask("GET", "/v2/projects"))["projects"]
            body = {"project_id": project["id"], "start_time": "2026-02-01T00:00:00Z"}
            spans = (await it.ask("POST", "/v2/spans", body))["spans"]
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert len(spans) == 2


async def test_flight_refuses_a_ninth_concurrent_call_and_accepts_it_later() -> None:
    def start_upload() -> Any:
        command = {"createDataset": {"spaceId": "default", "datasetName": "d"}}
        descriptor = fl.FlightDescriptor.for_command(json.dumps(command))
        writer, _ = it.client.do_put(descriptor, pa.schema([("a", pa.int64())]), it.options)
        return writer

    async with flight() as it:
        command = {"getDataset": {"spaceId": "", "datasetId": await it.it.seed_dataset()}}
        uploads = [await to_thread.run_sync(start_upload) for _ in range(8)]
        message = "already processing 8 Flight calls; retry later"
        with pytest.raises(fl.FlightUnavailableError, match=message):
            while True:  # The server may not have started the last upload yet.
                await it.get(command)
        for upload in uploads:
            with pytest.raises(fl.FlightServerError):
                await to_thread.run_sync(upload.close)
        assert (await it.get(command)).num_rows == 3
