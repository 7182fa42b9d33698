"""A real process with a real file, killed with SIGKILL in the middle of its task runs."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import ENDS, QUICK, WINDOW, engine
from tests.support.judges import judge_server
from tests.support.starts import quick_module

ROOT = Path(__file__).resolve().parents[2]
IDLE = ExecutorLimits(task_runs_max=0)
SHORT_LEASE = replace(QUICK, lease_seconds=0.5, heartbeat_seconds=0.1)
SPANS = 300
IN_FLIGHT = 10


@asynccontextmanager
async def engine_process(path: Path, lease_seconds: float, *options: str) -> AsyncIterator[Process]:
    """Yield a process that works on the store; it is killed at the end of the block at the latest."""
    bounds = ["--lease-seconds", str(lease_seconds), "--in-flight", str(IN_FLIGHT)]
    command = quick_module("tests.support.engine_process", str(path), *options, *bounds)
    async with await anyio.open_process(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=None) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(20):
                await BufferedByteReceiveStream(process.stdout).receive_until(b"ready", 1000)
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await kill(process)


async def kill(process: Process) -> None:
    """Kill the process, and wait until none is left that could write to the store."""
    if process.returncode is None:
        process.kill()
    await process.wait()
    assert process.stdout is not None
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError):
        while True:
            await process.stdout.receive()


@pytest.mark.promise("select.resumed", "survive.finished", "survive.recorded")
async def test_killed_task_run_finishes_without_judging_a_recorded_row_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with judge_server(latency_seconds=0.01) as judge:
        async with engine(path, limits=IDLE) as it:
            project = await it.seed_project()
            await it.seed_spans(project, SPANS)
            task = await it.seed_task(
                [await it.seed_template_evaluator(judge.base_url)], "TEMPLATE_EVALUATION", project_id=project
            )
            task_run = await it.trigger(task, **WINDOW)
        async with engine_process(path, lease_seconds=0.5) as process:
            with anyio.fail_after(20):
                await judge.wait_for_requests(SPANS // 3)
            await kill(process)
        async with engine(path, limits=IDLE) as it:
            left = await it.task_run(task_run["id"])
            recorded = {row["row_id"] for row in await it.rows(task_run["id"], outcome="success")}
        assert left["status"] == "RUNNING" and 0 < left["num_successes"] == len(recorded) < SPANS
        asked = dict(judge.num_by_prompt)
        async with engine(path, limits=SHORT_LEASE) as it:
            done = await it.ended(task_run["id"])
            rows = await it.rows(task_run["id"])
        again = {prompt for prompt, n in judge.num_by_prompt.items() if n > asked.get(prompt, 0)}
        numbers = [int(row_id.removeprefix("span-")) for row_id in recorded]
        assert not again & {f"Is answer {n} an answer to question {n}?" for n in numbers}
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", SPANS, 0)
        assert {row["row_id"] for row in rows if row["outcome"] == "SUCCESS"} == {f"span-{i:05d}" for i in range(SPANS)}


@pytest.mark.promise("survive.finished")
async def test_two_processes_finish_each_others_task_runs_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with judge_server(latency_seconds=0.01) as judge, engine(path, limits=IDLE) as it:
        project = await it.seed_project()
        await it.seed_spans(project, SPANS)
        evaluators = [
            await it.seed_template_evaluator(judge.base_url, evaluation_name=name) for name in ("one", "two", "six")
        ]
        tasks = [await it.seed_task([one], "TEMPLATE_EVALUATION", project_id=project) for one in evaluators]
        async with engine_process(path, 0.5) as first, engine_process(path, 0.5):
            task_runs = [(await it.trigger(task, **WINDOW))["id"] for task in tasks]
            with anyio.fail_after(20):
                await judge.wait_for_requests(SPANS)
            await kill(first)
            for run_id in task_runs:
                done = await it.ended(run_id, at_most_seconds=40)
                rows = await it.rows(run_id)
                assert (done["status"], done["num_successes"], len(rows)) == ("COMPLETED", SPANS, SPANS)
        # Only calls that were under way, or whose answers were not committed, are repeated.
        assert sum(judge.num_by_prompt.values()) < len(tasks) * SPANS + SPANS // 2


@pytest.mark.promise("continuous.once", "continuous.itself")
async def test_spans_ingested_by_two_processes_are_each_evaluated_once(tmp_path: Path) -> None:
    path, each = tmp_path / "store.db", 100
    async with judge_server() as judge, engine(path, limits=IDLE) as it:
        project = await it.seed_project()
        evaluator = await it.seed_template_evaluator(judge.base_url)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project, is_continuous=True)
        sending = ["--ingest", project, "--count", str(each)]
        async with engine_process(path, 10, *sending), engine_process(path, 10, *sending, "--first", str(each)):
            with anyio.fail_after(40):
                while True:
                    runs = (await it.ask("GET", f"/v2/tasks/{task}/runs", limit=100))["task_runs"]
                    done = sum(run["num_successes"] for run in runs)
                    if done >= 2 * each and all(run["status"] in ENDS for run in runs):
                        break
                    await anyio.sleep(0.02)
        rows = [row["row_id"] for run in runs for row in await it.rows(run["id"])]
        assert sorted(rows) == [f"span-{i:05d}" for i in range(2 * each)]
        assert set(judge.num_by_prompt.values()) == {1} and len(judge.num_by_prompt) == 2 * each
        assert {run["status"] for run in runs} == {"COMPLETED"}
