"""A long task run from the view of a host: progress, waits, kill -9, and two servers on one store."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from bench.wire import Pipe

from tests.support.agents import MODES, Agent, stdio_agent
from tests.support.judges import JudgeServer, judge_server
from tests.support.starts import quick_command

WINDOW = {"data_start_time": "2024-01-01T00:00:00Z", "data_end_time": "2024-01-30T00:00:00Z"}


def _spans(count: int) -> list[dict[str, Any]]:
    return [
        {"name": "a", "span_id": f"{n:016x}", "trace_id": f"{n:032x}", "start_time": "2024-01-02T00:00:00Z",
         "attributes": {"output.value": f"answer number {n}"}}
        for n in range(count)
    ]  # fmt: skip


def _arranging(base_url: str, rows: int) -> list[tuple[str, dict[str, Any]]]:
    """The calls that lead to a task named `tone` over `rows` spans, judged by the test's judge."""
    return [
        *(("import_spans", {"project": "p", "rows": _spans(rows)[n : n + 1000]}) for n in range(0, rows, 1000)),
        ("create_ai_integration", {"name": "judge", "provider": "custom", "base_url": base_url}),
        ("create_evaluator", {"name": "tone", "template": "Is it kind or rude? {output}", "model": "m",
                              "choices": {"kind": 1, "rude": 0}, "ai_integration": "judge"}),
        ("create_evaluation_task", {"name": "tone", "task_type": "template_evaluation", "project": "p",
                                    "evaluators": [{"evaluator_id": "tone"}]}),
    ]  # fmt: skip


async def _arrange(it: Agent, judge: JudgeServer, rows: int) -> None:
    for tool, arguments in _arranging(judge.base_url, rows):
        await it.answer(tool, arguments)


async def _rows(it: Agent, run_id: str) -> dict[str, Any]:
    results = await it.answer("task_run_results", {"run_id": run_id, "rows": 0})
    return dict(results["evaluators"][0])


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_of_2000_rows_reports_progress_over_several_wait_calls(mode: str, tmp_path: Path) -> None:
    async with (
        judge_server(latency_seconds=0.05) as judge,
        stdio_agent(mode, tmp_path / "store.sqlite", "--patience-seconds", "1", "--in-flight", "50") as it,
    ):
        await _arrange(it, judge, 2000)
        it.progress.clear()
        began = anyio.current_time()
        answer = await it.answer("trigger_task_run", {"task": "tone", **WINDOW, "wait": True, "poll_interval": 1})
        first_seconds = anyio.current_time() - began
        calls = 1
        while not answer["finished"]:
            assert answer["outcome"] == "still_running"
            assert "wait_for_task_run" in str(answer["next_call"])
            answer = await it.answer("wait_for_task_run", {"run_id": answer["task_run"]["run_id"]})
            calls += 1
        results = await _rows(it, answer["task_run"]["run_id"])

    assert calls > 1
    assert first_seconds < 5
    values = [value for value, _, _ in it.progress]
    assert len(values) > 2
    assert values == sorted(values)
    assert {total for _, total, _ in it.progress if total} == {2000}
    assert answer["task_run"]["num_successes"] == 2000
    assert results["evaluated"] == "2000 of 2000"
    assert max(Counter(judge.num_by_prompt).values()) == 1


async def test_a_killed_server_finishes_its_run_without_judging_recorded_rows_again(
    tmp_path: Path,
) -> None:
    rows = 400
    store = tmp_path / "s.sqlite"
    options = ("--in-flight", "20", "--lease-seconds", "1")
    command = quick_command("serve", "--store", str(store), *options)

    def until_killed(base_url: str) -> str:
        with Pipe(command) as pipe:
            for tool, arguments in _arranging(base_url, rows):
                pipe.call(tool, **arguments)
            run_id: str = pipe.call("trigger_task_run", task="tone", **WINDOW)["task_run"]["run_id"]
            while pipe.call("get_task_run", run_id=run_id)["task_run"]["num_successes"] < rows // 4:
                pass
            os.kill(pipe.process.pid, signal.SIGKILL)
            pipe.process.wait()
        return run_id

    async with judge_server(latency_seconds=0.05) as judge:
        with anyio.fail_after(50):
            run_id = await to_thread.run_sync(until_killed, judge.base_url)
        async with stdio_agent("auto", store, *options) as it:
            recorded = (await it.answer("get_task_run", {"run_id": run_id}))["task_run"]["num_successes"]
            answer = await it.answer("wait_for_task_run", {"run_id": run_id})
            results = await _rows(it, run_id)

    assert rows // 4 <= recorded < rows
    assert answer["task_run"]["status"] == "completed"
    assert (answer["task_run"]["num_successes"], results["evaluated"]) == (rows, f"{rows} of {rows}")
    # Calls in flight when the process died were answered to no one and made again; recorded rows never were.
    judged = Counter(judge.num_by_prompt)
    assert len(judged) == rows
    assert sum(times > 1 for times in judged.values()) <= rows - recorded
    assert max(judged.values()) <= 2


async def test_two_servers_on_one_store_judge_no_row_twice(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store.sqlite"
    async with (
        judge_server(latency_seconds=0.01) as judge,
        stdio_agent("legacy", store) as desktop,
        stdio_agent("auto", store) as ide,
    ):
        await _arrange(desktop, judge, 500)
        assert (await ide.answer("list_tasks"))["tasks"] == (await desktop.answer("list_tasks"))["tasks"]
        triggered = await desktop.answer("trigger_task_run", {"task": "tone", **WINDOW})
        waited = await ide.answer("wait_for_task_run", {"run_id": triggered["task_run"]["run_id"]})
        again = await ide.answer("trigger_task_run", {"task": "tone", **WINDOW, "wait": True})

    assert waited["task_run"]["num_successes"] == 500
    assert again["task_run"]["status"] == "cancelled"
    assert "override_evaluations" in again["task_run"]["failure_reason"]
    assert len(judge.requests) == 500
    assert max(Counter(judge.num_by_prompt).values()) == 1
