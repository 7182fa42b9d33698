"""Two engines on one store evaluate nothing twice, and take over the task runs of a dead or stalled one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine
from tests.support.judges import JudgeServer, judge_server

NOW = datetime(2026, 4, 1, tzinfo=UTC)


async def judged_task(it: EngineInTest, judge: JudgeServer, spans: int) -> str:
    project = await it.seed_project()
    await it.seed_spans(project, spans)
    return await it.seed_task(
        [await it.seed_template_evaluator(judge.base_url)], "TEMPLATE_EVALUATION", project_id=project
    )


@pytest.mark.promise("survive.recorded")
async def test_two_living_engines_evaluate_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with (
        judge_server(latency_seconds=0.002) as judge,
        engine(path) as one,
        engine(path) as two,
    ):
        tasks = [await judged_task(one, judge, 120) for _ in range(3)]
        task_runs = [(await it.trigger(task, **WINDOW))["id"] for it, task in zip((one, two, one), tasks, strict=True)]
        for run_id in task_runs:
            assert (await two.ended(run_id))["num_successes"] == 120
        assert set(judge.num_by_prompt.values()) == {3}  # once for each of the three projects


async def test_living_owner_keeps_its_task_run_however_long_it_takes(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", ManualClock(NOW)
    async with (
        judge_server() as judge,
        engine(path, clock=clock) as one,
        engine(path, clock=clock) as two,
    ):
        task = await judged_task(one, judge, 40)
        judge.hold()
        task_run = await one.trigger(task, **WINDOW)
        with anyio.fail_after(20):
            await judge.wait_for_requests(QUICK.in_flight_max)
            holder = one if one.engine.executor.active_task_run_ids else two
            for _ in range(20):
                await clock.turn(QUICK.heartbeat_seconds)
                await clock.until_sleeping(2)  # both have renewed and sleep again
        assert holder.engine.executor.active_task_run_ids == {task_run["id"]}
        assert len(judge.requests) == QUICK.in_flight_max
        judge.release()
        await one.ended(task_run["id"])
        assert set(judge.num_by_prompt.values()) == {1}


@pytest.mark.promise("survive.finished")
async def test_stalled_owner_is_fenced_and_another_finishes_its_task_run(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    stalled_clock, clock = ManualClock(NOW), ManualClock(NOW)
    async with judge_server() as judge, engine(path, clock=stalled_clock) as stalled:
        task = await judged_task(stalled, judge, 60)
        judge.hold()
        task_run = await stalled.trigger(task, **WINDOW)
        with anyio.fail_after(20):
            await judge.wait_for_requests(QUICK.in_flight_max)
        async with engine(path, clock=clock) as other:
            assert other.engine.executor.active_task_run_ids == frozenset()
            with anyio.fail_after(20):
                while not other.engine.executor.active_task_run_ids:
                    await clock.turn(QUICK.heartbeat_seconds)
                    await anyio.sleep(QUICK.poll_seconds)
                await judge.wait_for_requests(2 * QUICK.in_flight_max)
            assert other.engine.executor.active_task_run_ids == {task_run["id"]}
            judge.release()
            done = await other.ended(task_run["id"])
            await stalled.idle()
            assert (done["status"], done["num_successes"], done["num_selected"]) == ("COMPLETED", 60, 60)
            rows = await other.rows(task_run["id"])
            assert Counter(row["row_id"] for row in rows) == {f"span-{i:05d}": 1 for i in range(60)}
            # Only calls that were under way when the first engine stalled are repeated.
            assert Counter(judge.num_by_prompt.values()) == {1: 40, 2: 20}


@pytest.mark.promise("finish.cancelled")
async def test_cancel_in_another_process_stops_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with judge_server() as judge, engine(path) as owner:
        task = await judged_task(owner, judge, 60)
        judge.hold()
        task_run = await owner.trigger(task, **WINDOW)
        with anyio.fail_after(20):
            await judge.wait_for_requests(QUICK.in_flight_max)
        async with engine(path) as other:
            await other.ask("POST", f"/v2/task-runs/{task_run['id']}/cancel")
            await owner.idle()
        judge.release()
        after = await owner.task_run(task_run["id"])
        assert (after["status"], after["num_successes"]) == ("CANCELLED", 0)
        assert len(judge.requests) == QUICK.in_flight_max


async def test_open_store_shows_another_process_current_state(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with judge_server() as judge, engine(path) as one, engine(path) as two:
        task = await judged_task(one, judge, 3)
        assert (await two.ask("GET", "/v2/tasks"))["tasks"][0]["id"] == task
        done = await two.finish(task, **WINDOW)
        assert await one.task_run(done["id"]) == done
