"""`evaltasks serve --backend http://…`: the tools on an engine in another process that requires a key."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from evaltasks.tools.catalog import TOOLS
from tests.support.agents import Agent, stdio_agent
from tests.support.engine_command import KEY, engine_command
from tests.support.judges import judge_server

WINDOW = {"data_start_time": "2024-01-01T00:00:00Z", "data_end_time": "2024-01-30T00:00:00Z"}
# Longer than the client's own retries take: then the wait says what was wrong.
PATIENCE_SECONDS = 4


def _spans(count: int) -> list[dict[str, Any]]:
    return [
        {"name": "a", "span_id": f"{n:016x}", "trace_id": f"{n:032x}", "start_time": "2024-01-02T00:00:00Z",
         "attributes": {"output.value": f"answer number {n}"}}
        for n in range(count)
    ]  # fmt: skip


@asynccontextmanager
async def _tools(tmp_path: Path, address: str, key: str = KEY) -> AsyncIterator[Agent]:
    arguments = ("--backend", address, "--patience-seconds", str(PATIENCE_SECONDS))
    unused = tmp_path / "never-opened.sqlite"
    async with stdio_agent("auto", unused, *arguments, environment={"ARIZE_API_KEY": key}) as it:
        yield it
    assert not unused.exists()


async def _arrange(it: Agent, judge_url: str, rows: int) -> None:
    await it.answer("import_spans", {"project": "chat", "rows": _spans(rows)})
    await it.answer("create_ai_integration", {"name": "judge", "provider": "custom", "base_url": judge_url})
    await it.answer(
        "create_evaluator",
        {"name": "tone", "template": "Is it kind or rude? {output}", "model": "m", "choices": {"kind": 1, "rude": 0},
         "ai_integration": "judge"},
    )  # fmt: skip
    await it.answer(
        "create_evaluation_task",
        {"name": "tone", "task_type": "template_evaluation", "project": "chat",
         "evaluators": [{"evaluator_id": "tone"}]},
    )  # fmt: skip


async def test_the_workflow_runs_over_http_and_a_wrong_key_is_reported(tmp_path: Path) -> None:
    async with judge_server(latency_seconds=0.02) as judge, engine_command(tmp_path / "s.sqlite") as served:
        async with _tools(tmp_path, served.address) as it:
            tools = (await it.mcp.list_tools()).tools
            await _arrange(it, judge.base_url, 200)
            it.progress.clear()
            answer = await it.answer("trigger_task_run", {"task": "tone", **WINDOW, "wait": True})
            while not answer["finished"]:
                answer = await it.answer("wait_for_task_run", {"run_id": answer["task_run"]["run_id"]})
            results = await it.answer("task_run_results", {"run_id": answer["task_run"]["run_id"], "rows": 3})
        async with _tools(tmp_path, served.address, key="nobodys-key-0123456789abcdef") as stranger:
            words = await stranger.refusal("list_tasks")
            changing = await stranger.refusal("create_dataset", {"name": "d", "rows": [{"question": "q"}]})
    assert len(tools) == len(TOOLS)
    assert (answer["task_run"]["status"], answer["task_run"]["num_successes"]) == ("completed", 200)
    assert results["evaluators"][0]["evaluated"] == "200 of 200"
    values = [value for value, _, _ in it.progress]
    assert values == sorted(values) and len(values) > 1
    for reported in (words, changing):
        assert "not valid for this engine" in reported and "no valid key reached the service" in reported
        assert "has no access to this space" in reported and "ARIZE_API_KEY" in reported
        assert "nobodys-key" not in reported + served.log


async def test_an_engine_that_stops_during_a_wait_is_reported_and_can_be_awaited_again(
    tmp_path: Path,
) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    store = tmp_path / "s.sqlite"
    async with judge_server() as judge:
        judge.hold()
        async with engine_command(store, port=port) as served, _tools(tmp_path, served.address) as it:
            await _arrange(it, judge.base_url, 30)
            run_id = (await it.answer("trigger_task_run", {"task": "tone", **WINDOW}))["task_run"]["run_id"]
            it.progress.clear()
            answers: list[dict[str, Any]] = []

            async def wait() -> None:
                answers.append(await it.answer("wait_for_task_run", {"run_id": run_id}))

            with anyio.fail_after(50):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait)
                    while not it.progress:  # noqa: ASYNC110  the wait is under way once it has reported
                        await anyio.sleep(0.01)
                    served.process.terminate()
                judge.release()
                async with engine_command(store, port=port):
                    answer = await it.answer("wait_for_task_run", {"run_id": run_id})
                    while not answer["finished"]:
                        answer = await it.answer("wait_for_task_run", {"run_id": run_id})
    # It ended in order, which gives its task runs back at once.
    assert served.process.returncode == 128 + signal.SIGTERM
    (broken,) = answers
    assert broken["outcome"] == "still_running" and "wait_for_task_run" in str(broken["next_call"])
    (note,) = [note for note in broken["notes"] if "The last polls failed" in note]
    assert f"127.0.0.1:{port}" in note or "did not answer within" in note
    assert (answer["task_run"]["status"], answer["task_run"]["num_successes"]) == ("completed", 30)
