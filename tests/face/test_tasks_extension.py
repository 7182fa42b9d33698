"""The tasks extension: a long wait becomes an MCP task that any process answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
)

from evaltasks.api.problems import Unavailable
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from evaltasks.face.http import make_http_app
from evaltasks.face.server import ToolApp, make_server
from evaltasks.tools.catalog import BY_NAME, TOOLS
from evaltasks.tools.context import ToolSettings
from tests.support.agents import MODES, Agent, agent, stdio_agent
from tests.support.background import (
    EXTENSION,
    BackgroundTasks,
    CancelTask,
    GetTask,
    Raw,
    TaskParams,
    cancelled,
    ended_task,
    started,
    task_of,
    updated,
)
from tests.support.engines import QUICK, WINDOW, EngineInTest, engine
from tests.support.judges import JudgeServer, judge_server
from tests.support.tool_calls import SimulatedTime

TRIGGER = {"task": "judged", "wait": True, **WINDOW}


async def _task(seed: EngineInTest, judge: JudgeServer, spans: int = 40) -> None:
    """A task named `judged`, whose judge the test holds."""
    project = await seed.seed_project("support-bot")
    await seed.seed_spans(project, spans)
    evaluator = await seed.seed_template_evaluator(judge.base_url)
    await seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "judged", project_id=project)


@asynccontextmanager
async def _held(**options: Any) -> AsyncIterator[tuple[Agent, JudgeServer, BackgroundTasks]]:
    """An agent that declares the extension, and a judge that answers nothing until it is released."""
    tasks = BackgroundTasks()
    async with (
        judge_server() as judge,
        agent(extensions=[tasks], **{"time": SimulatedTime(), **options}) as it,
    ):
        judge.hold()
        await _task(it.seed, judge)
        yield it, judge, tasks


def _lasting(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result does not depend on when it was asked for."""
    return {name: value for name, value in result["structuredContent"]["task_run"].items() if name != "age"}


# --- becoming a task ----------------------------------------------------------------------------------------------
async def test_a_long_wait_returns_an_mcp_task_with_the_task_run_id_and_the_result_of_the_wait() -> None:
    async with _held() as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        (run,) = (await it.answer("list_task_runs", {"task": "judged"}))["task_runs"]
        working = await task_of(it, handle.task_id)
        judge.release()
        task = await ended_task(it, handle.task_id)
        waited = (await it.call("wait_for_task_run", {"run_id": handle.task_id})).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )

    assert (handle.status, handle.ttl_ms, handle.poll_interval_ms) == ("working", None, 1000)
    assert handle.task_id == run["run_id"]
    assert handle.created_at == run["created_at"]
    assert "of 40 rows" in handle.status_message or "waiting to start" in handle.status_message
    assert (working["status"], working["resultType"]) == ("working", "complete")
    assert "result" not in working
    assert (task["status"], task["statusMessage"], task["resultType"]) == (
        "completed",
        "40 of 40 rows, completed",
        "complete",
    )
    waited.pop("_meta")
    assert task["result"] == waited
    assert task["result"]["structuredContent"]["outcome"] == "finished"


async def test_following_an_mcp_task_gives_the_same_result_as_waiting() -> None:
    async with _held() as (it, judge, tasks):

        async def release_once_it_is_in_the_background() -> None:
            with anyio.fail_after(20):
                await judge.wait_for_requests(1)
                await tasks.came.wait()
            judge.release()

        async with anyio.create_task_group() as group:
            group.start_soon(release_once_it_is_in_the_background)
            answer = await it.answer("trigger_task_run", TRIGGER)

    assert (answer["outcome"], answer["task_run"]["done"]) == ("finished", "40 of 40")
    assert len(tasks.handles) == 1


async def test_wait_for_task_run_returns_the_same_mcp_task() -> None:
    async with _held() as (it, judge, _):
        triggered = await it.answer("trigger_task_run", {**TRIGGER, "wait": False})
        handle = await started(it, "wait_for_task_run", {"run_id": triggered["task_run"]["run_id"]})
        judge.release()

    assert handle.task_id == triggered["task_run"]["run_id"]


async def test_the_message_of_the_trigger_comes_with_the_mcp_task() -> None:
    async with _held() as (it, judge, _):
        first = await started(it, "trigger_task_run", TRIGGER)
        second = await started(it, "trigger_task_run", TRIGGER)
        judge.release()

    assert second.task_id == first.task_id
    assert "No task run was started" in second.status_message


async def test_finished_refused_short_and_unawaited_calls_return_no_mcp_task() -> None:
    tasks = BackgroundTasks()
    async with judge_server() as judge, agent(extensions=[tasks], call_wait_seconds_max=2, time=SimulatedTime()) as it:
        await _task(it.seed, judge)
        judge.hold()
        triggered = await it.answer("trigger_task_run", {**TRIGGER, "wait": False})
        run_id = triggered["task_run"]["run_id"]
        short = await it.answer("wait_for_task_run", {"run_id": run_id, "timeout": 2})
        await it.refusal("wait_for_task_run", {"run_id": run_id, "timeout": "soon"})
        await it.refusal("trigger_task_run", {"task": "nothing of this name", "wait": True})
        judge.release()
        await it.seed.ended(run_id)
        over = await it.answer("wait_for_task_run", {"run_id": run_id})

    assert (triggered["outcome"], short["outcome"], over["outcome"]) == ("started", "timed_out", "finished")
    assert tasks.handles == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_without_the_extension_gets_a_normal_result(mode: str) -> None:
    async with judge_server() as judge, agent(mode, time=SimulatedTime(), call_wait_seconds_max=0.2) as it:
        judge.hold()
        await _task(it.seed, judge)
        answer = await it.answer("trigger_task_run", TRIGGER)
        judge.release()

    assert answer["outcome"] == "still_running"
    assert answer["next_call"]["tool"] == "wait_for_task_run"


async def test_the_older_protocol_has_no_mcp_tasks_even_if_declared() -> None:
    tasks = BackgroundTasks()
    async with (
        judge_server() as judge,
        agent("legacy", extensions=[tasks], time=SimulatedTime(), call_wait_seconds_max=0.2) as it,
    ):
        judge.hold()
        await _task(it.seed, judge)
        answer = await it.answer("trigger_task_run", TRIGGER)
        with pytest.raises(MCPError) as refused:
            await task_of(it, answer["task_run"]["run_id"])
        judge.release()

    assert answer["outcome"] == "still_running"
    assert refused.value.error.code == METHOD_NOT_FOUND
    assert tasks.handles == []


async def test_the_server_declares_the_extension_if_it_serves_the_wait() -> None:
    for tools, declared in ((TOOLS, True), ([BY_NAME["find"]], False)):
        async with agent(tools=tools) as it:
            assert (EXTENSION in (it.mcp.server_capabilities.extensions or {})) is declared


# --- any process --------------------------------------------------------------------------------------------------
async def test_another_process_on_the_store_answers_for_an_mcp_task(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    async with _held(store=store) as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        async with stdio_agent("auto", store, extensions=[BackgroundTasks()]) as other:
            elsewhere = await task_of(other, handle.task_id)
            judge.release()
            here = await ended_task(it, handle.task_id)
            there = await ended_task(other, handle.task_id)
    async with stdio_agent("auto", store, extensions=[BackgroundTasks()]) as later:
        after = await task_of(later, handle.task_id)
        waited = await later.call("wait_for_task_run", {"run_id": handle.task_id})

    assert (elsewhere["status"], elsewhere["createdAt"]) == ("working", handle.created_at)
    expected = _lasting(waited.model_dump(mode="json", by_alias=True))
    for task in (here, there, after):
        assert task["status"] == "completed"
        assert _lasting(task["result"]) == expected


async def test_an_mcp_task_outlives_its_server(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    options: dict[str, Any] = {"extensions": [BackgroundTasks()], "time": SimulatedTime()}
    async with judge_server() as judge:
        async with agent(store=store, **options) as first:
            judge.hold()
            await _task(first.seed, judge)
            handle = await started(first, "trigger_task_run", TRIGGER)
        judge.release()
        async with agent(store=store, **options) as second:
            task = await ended_task(second, handle.task_id)

    assert task["result"]["structuredContent"]["task_run"]["done"] == "40 of 40"


# --- ends ---------------------------------------------------------------------------------------------------------
async def test_a_failed_task_run_is_a_completed_mcp_task_that_says_so() -> None:
    """`failed` is the protocol's word for JSON-RPC errors alone."""
    async with agent(extensions=[BackgroundTasks()]) as it, judge_server() as judge:
        await _task(it.seed, judge)
        run = await it.seed.trigger((await it.seed.ask("GET", "/v2/tasks"))["tasks"][0]["id"], **WINDOW)
        await it.seed.ended(run["id"])
        task_runs: Any = it.backend.task_runs
        real_get = task_runs.get

        async def failed(run_id: str) -> Any:
            return (await real_get(run_id)).model_copy(update={"status": "FAILED", "failure_reason": "No key."})

        task_runs.get = failed
        task = await task_of(it, run["id"])

    assert task["status"] == "completed"
    assert "error" not in task
    assert task["result"]["structuredContent"]["task_run"]["status"] == "failed"
    assert not task["result"].get("isError")


async def test_a_cancelled_task_run_is_a_cancelled_mcp_task() -> None:
    async with _held() as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        await it.answer("cancel_task_run", {"run_id": handle.task_id, "force": True})
        task = await task_of(it, handle.task_id)
        judge.release()

    assert task["status"] == "cancelled"
    assert "cancelled" in task["statusMessage"]
    assert "result" not in task


async def test_cancelling_an_mcp_task_does_not_cancel_the_task_run() -> None:
    async with _held() as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        answer = await cancelled(it, handle.task_id)
        after = await task_of(it, handle.task_id)
        judge.release()
        task = await ended_task(it, handle.task_id)
        again = await cancelled(it, handle.task_id)

    assert answer["resultType"] == again["resultType"] == "complete"
    assert not {"taskId", "status", "result"} & (answer.keys() | again.keys())
    assert after["status"] == "working"
    assert task["result"]["structuredContent"]["task_run"]["status"] == "completed"


async def test_an_unrequested_input_response_is_acknowledged_and_ignored() -> None:
    async with _held() as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        answer = await updated(it, handle.task_id, question={"action": "accept"})
        after = await task_of(it, handle.task_id)
        judge.release()

    assert answer["resultType"] == "complete"
    assert after["status"] == "working"


# --- refusals -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task_id", ["no-such-run", "", "../spaces", "ü" * 500])
async def test_every_method_rejects_an_unknown_mcp_task_by_id(task_id: str) -> None:
    async with agent(extensions=[BackgroundTasks()]) as it:
        for ask in (task_of, cancelled, updated):
            with pytest.raises(MCPError) as refused:
                await ask(it, task_id)
            assert refused.value.error.code == INVALID_PARAMS
            assert refused.value.error.data == {"taskId": task_id}


async def test_a_client_without_the_extension_gets_the_name_to_declare() -> None:
    async with agent() as it:
        for kind in (GetTask, CancelTask):
            with pytest.raises(MCPError) as refused:
                await it.mcp.session.send_request(kind(params=TaskParams(task_id="any")), Raw)
            assert refused.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
            assert refused.value.error.data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_an_unreachable_service_is_an_error_and_not_the_end_of_an_mcp_task() -> None:
    async with _held() as (it, judge, _):
        handle = await started(it, "trigger_task_run", TRIGGER)
        task_runs: Any = it.backend.task_runs
        real_get = task_runs.get

        async def unavailable(_: str) -> Any:
            raise Unavailable("The service is being updated", retry_after_seconds=3)

        task_runs.get = unavailable
        with pytest.raises(MCPError) as refused:
            await task_of(it, handle.task_id)
        task_runs.get = real_get
        after = await task_of(it, handle.task_id)
        judge.release()

    assert refused.value.error.code == INTERNAL_ERROR
    assert "Try again in 3 s" in refused.value.error.message
    assert after["status"] == "working"


# --- over HTTP ----------------------------------------------------------------------------------------------------
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}},
}


@asynccontextmanager
async def _http(store: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        Engine.open(store, environment={}, limits=QUICK) as opened,
        open_app_client(opened.app) as client,
    ):
        app = make_http_app(make_server(ToolApp(client, ToolSettings(), TOOLS)), "127.0.0.1", 8765)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8765") as http,
        ):
            yield http


async def _posted(
    http: httpx2.AsyncClient, method: str, params: dict[str, Any], **headers: str
) -> tuple[int, dict[str, Any]]:
    answer = await http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            **headers,
        },
    )
    text = answer.text
    if text.startswith(("event:", "data:", ":")):
        (text,) = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return answer.status_code, httpx2.Response(200, content=text.encode()).json()


async def test_the_name_header_must_be_the_task_id(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    async with engine(store) as seed, judge_server() as judge:
        await _task(seed, judge, spans=2)
        task_id = (await seed.ask("GET", "/v2/tasks"))["tasks"][0]["id"]
        run = (await seed.finish(task_id, **WINDOW))["id"]
    encoded = f"=?base64?{base64.b64encode(run.encode()).decode()}?="
    async with _http(store) as http:
        named = [await _posted(http, "tasks/get", {"taskId": run}, **{"Mcp-Name": name}) for name in (run, encoded)]
        wrong = [
            await _posted(http, method, {"taskId": run, "inputResponses": {}}, **headers)
            for method in ("tasks/get", "tasks/update", "tasks/cancel")
            for headers in ({"Mcp-Name": "another"}, {})
        ]

    for status, answer in named:
        assert status == 200
        assert answer["result"]["status"] == "completed"
        assert answer["result"]["ttlMs"] is None
    assert [(status, answer["error"]["code"]) for status, answer in wrong] == [(400, HEADER_MISMATCH)] * 6


async def test_removed_methods_of_the_extension_are_not_found(tmp_path: Path) -> None:
    async with _http(tmp_path / "store.sqlite") as http:
        for method in ("tasks/result", "tasks/list"):
            status, answer = await _posted(http, method, {"taskId": "any"}, **{"Mcp-Name": "any"})
            assert (status, answer["error"]["code"]) == (404, METHOD_NOT_FOUND)


async def test_task_notifications_are_refused_without_the_extension(tmp_path: Path) -> None:
    async with _http(tmp_path / "store.sqlite") as http:
        params = {"notifications": {"taskIds": ["any"]}}
        undeclared = {**META, "io.modelcontextprotocol/clientCapabilities": {}}
        answer = await http.post(
            "/mcp",
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "subscriptions/listen",
                "params": {**params, "_meta": undeclared},
            },
            headers={
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": "subscriptions/listen",
            },
        )

    assert str(MISSING_REQUIRED_CLIENT_CAPABILITY) in answer.text
