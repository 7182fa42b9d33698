"""Continuous tasks evaluate new spans without a trigger, each once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from evaltasks.api.tasks import Task, TaskType
from evaltasks.engine.runs import projection
from evaltasks.engine.runs.executor import ExecutorLimits
from evaltasks.engine.runs.projection import Projections
from evaltasks.engine.store.functions import is_sampled
from tests.support.engines import ENDS, QUICK, WINDOW, EngineInTest, ManualClock, engine

IDLE = ExecutorLimits(task_runs_max=0, poll_seconds=0.02, continuous_seconds=0.0)
RARELY = ExecutorLimits(poll_seconds=0.02, continuous_seconds=60.0)


async def continuous_rows(it: EngineInTest, task: str, expected: int) -> list[dict[str, Any]]:
    """Return all rows of the task's runs, once there are as many as expected and all runs have ended."""
    with anyio.fail_after(10):
        while True:
            runs = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
            rows = [row for task_run in runs for row in await it.rows(task_run["id"])]
            if len(rows) >= expected and all(task_run["status"] in ENDS for task_run in runs):
                return rows
            await anyio.sleep(0.01)


@pytest.mark.promise("continuous.itself", "continuous.once")
async def test_continuous_task_evaluates_each_new_span_once_and_no_old_span() -> None:
    async with engine() as it:
        project, other = await it.seed_project(), await it.seed_project()
        await it.seed_spans(project, 3)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(other, 2)
        await it.seed_spans(project, 4, first=10)
        await continuous_rows(it, task, 4)
        await it.seed_spans(project, 2, first=20)
        rows = await continuous_rows(it, task, 6)
        assert sorted(row["row_id"] for row in rows) == [f"span-000{i}" for i in (10, 11, 12, 13, 20, 21)]


async def test_continuous_task_starts_with_the_next_span_and_stops_when_switched_off() -> None:
    async with engine() as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        await it.seed_spans(project, 3)
        await it.ask("PATCH", f"/v2/tasks/{task}", {"is_continuous": True})
        await it.seed_spans(project, 1, first=10)
        assert [row["row_id"] for row in await continuous_rows(it, task, 1)] == ["span-00010"]
        await it.ask("PATCH", f"/v2/tasks/{task}", {"is_continuous": False})
        await it.seed_spans(project, 1, first=11)
        another = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 1, first=12)
        await continuous_rows(it, another, 1)
        assert len(await continuous_rows(it, task, 1)) == 1


async def test_continuous_task_run_reports_the_window_of_its_spans() -> None:
    async with engine() as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 3)
        await continuous_rows(it, task, 3)
        (task_run,) = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        assert task_run["data_start_time"] == "2026-03-01T00:00:00.000Z"
        assert task_run["data_end_time"] == "2026-03-01T00:00:02.000Z"


async def test_spans_that_arrive_during_a_task_run_are_collected_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with engine(path, limits=IDLE) as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        for first in (0, 10, 20):
            await it.seed_spans(project, 2, first=first)
            with anyio.fail_after(10):
                while True:
                    runs = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
                    if runs:
                        break
                    await anyio.sleep(0.01)
        assert len(runs) == 1
    async with engine(path) as it:
        rows = await continuous_rows(it, task, 6)
        assert len(rows) == 6


@pytest.mark.promise("continuous.once")
async def test_two_processes_evaluate_every_new_span_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with engine(path, limits=QUICK) as one, engine(path, limits=QUICK) as two:
        project = await one.seed_project()
        task = await one.seed_task([await one.seed_code_evaluator()], project_id=project, is_continuous=True)
        for first in range(0, 100, 5):
            await (one if first % 2 else two).seed_spans(project, 5, first=first)
        rows = await continuous_rows(two, task, 100)
        assert Counter(row["row_id"] for row in rows) == {f"span-{i:05d}": 1 for i in range(100)}


async def test_continuous_task_runs_keep_their_shortest_interval() -> None:
    clock = ManualClock()
    async with engine(clock=clock, limits=RARELY) as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 2)
        await continuous_rows(it, task, 2)
        await it.seed_spans(project, 2, first=10)
        await clock.turn(59)
        other = await it.seed_code_evaluator(evaluation_name="other")
        manual = await it.seed_task([other], project_id=project)
        window = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}
        await it.finish(manual, **window)  # the executor has polled in the meantime
        assert len((await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]) == 1
        await clock.turn(1)
        await continuous_rows(it, task, 4)


@pytest.mark.promise("continuous.sampled")
async def test_continuous_task_evaluates_the_same_sample_as_any_task_run(
    tmp_path: Path,
) -> None:
    async with engine() as it:
        project = await it.seed_project()
        task = await it.seed_task(
            [await it.seed_code_evaluator()], project_id=project, is_continuous=True, sampling_rate=0.3
        )
        for first in range(0, 200, 40):
            await it.seed_spans(project, 40, first=first)
        chosen = {f"span-{i:05d}" for i in range(200) if is_sampled(task, f"trace-{i:05d}/span-{i:05d}", 0.3)}
        rows = await continuous_rows(it, task, len(chosen))
        assert Counter(row["row_id"] for row in rows) == dict.fromkeys(chosen, 1)
        assert 30 < len(chosen) < 90


@pytest.mark.promise("continuous.itself")
async def test_late_spans_are_evaluated_whatever_their_start_time() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 2, first=500)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 2, first=0)  # earlier than the spans from before the task
        rows = await continuous_rows(it, task, 2)
        assert sorted(row["row_id"] for row in rows) == ["span-00000", "span-00001"]


async def test_spans_of_a_paused_time_are_not_evaluated_later() -> None:
    async with engine() as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 2)
        await continuous_rows(it, task, 2)
        await it.ask("PATCH", f"/v2/tasks/{task}", {"is_continuous": False})
        await it.seed_spans(project, 2, first=10)
        await it.ask("PATCH", f"/v2/tasks/{task}", {"is_continuous": True})
        await it.seed_spans(project, 2, first=20)
        rows = await continuous_rows(it, task, 4)
        assert sorted(row["row_id"] for row in rows) == [f"span-000{i}" for i in ("00", "01", "20", "21")]
        # A trigger evaluates the spans that were left out.
        done = await it.finish(task, **WINDOW)
        assert (done["num_successes"], done["num_skipped"]) == (2, 4)


async def test_clock_set_back_does_not_stop_a_continuous_task() -> None:
    clock = ManualClock()
    async with engine(clock=clock, limits=RARELY) as it:
        project = await it.seed_project()
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, is_continuous=True)
        await it.seed_spans(project, 1)
        await continuous_rows(it, task, 1)
        clock.jump(-5 * 3600)
        await it.seed_spans(project, 1, first=10)
        assert len(await continuous_rows(it, task, 2)) == 2


DAY = 24 * 3600.0


async def test_task_reports_its_projected_rows_per_day() -> None:
    clock = ManualClock()
    async with engine(clock=clock) as it:
        project, other = await it.seed_project(), await it.seed_project()
        await it.seed_spans(project, 50)
        await clock.turn(DAY + 1)
        await it.seed_spans(project, 20, first=100)
        await it.seed_spans(project, 10, first=200, kind="CHAIN")
        await it.seed_spans(other, 30)
        one, two = await it.seed_code_evaluator(evaluation_name="a"), await it.seed_code_evaluator(evaluation_name="b")

        async def projected(evaluators: list[str], **fields: object) -> int | None:
            task = await it.seed_task(evaluators, **fields)
            answer: int | None = (await it.ask("GET", f"/v2/tasks/{task}"))["projected_rows_per_day"]
            return answer

        assert await projected([one], project_id=project) == 30
        assert await projected([one, two], project_id=project) == 60
        assert await projected([one], project_id=project, query_filter="span_kind = 'CHAIN'") == 10
        assert await projected([one], project_id=project, sampling_rate=0.25) == 8
        assert await projected([one], project_id=other, sampling_rate=0) == 0
        dataset = await it.seed_dataset()
        experiments = [await it.seed_experiment(dataset)]
        assert await projected([one], dataset_id=dataset, experiment_ids=experiments) is None
        await clock.turn(DAY + 1)
        assert await projected([one], project_id=project) == 0


async def test_projection_counts_the_spans_of_exactly_24_hours() -> None:
    clock = ManualClock()
    async with engine(clock=clock) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 10)
        evaluator = await it.seed_code_evaluator()

        async def projected() -> int:
            task = await it.seed_task([evaluator], project_id=project)  # of which no estimate is cached
            answer: int = (await it.ask("GET", f"/v2/tasks/{task}"))["projected_rows_per_day"]
            return answer

        await clock.turn(DAY)
        assert await projected() == 10
        await clock.turn(0.000001)
        assert await projected() == 0


async def test_projection_of_a_busy_day_is_estimated_from_evenly_spread_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "SAMPLE_MAX", 10)
    async with engine(clock=ManualClock()) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 6, kind="CHAIN")
        evaluator = await it.seed_code_evaluator()

        async def projected(kind: str) -> int:
            task = await it.seed_task([evaluator], project_id=project, query_filter=f"span_kind = '{kind}'")
            answer: int = (await it.ask("GET", f"/v2/tasks/{task}"))["projected_rows_per_day"]
            return answer

        await it.seed_spans(project, 4, first=6)
        assert (await projected("CHAIN"), await projected("LLM")) == (6, 4), "all ten are read"
        await it.seed_spans(project, 10, first=10)
        assert (await projected("CHAIN"), await projected("LLM")) == (6, 14), "every second one is read"


def _task(number: int, updated_at: datetime = datetime(2026, 4, 1, tzinfo=UTC)) -> Task:
    return Task(id=f"t{number}", name="t", type=TaskType.CODE_EVALUATION, created_at=updated_at, updated_at=updated_at)


def test_projections_keep_an_estimate_for_a_minute_unless_the_task_or_a_span_is_new() -> None:
    projections, task = Projections(), _task(1)
    assert projections.recent(task, 7, 100.0) is None
    projections.keep(task, 7, 100.0, None)
    assert projections.recent(task, 7, 160.0) == (None,)
    assert projections.recent(task, 7, 160.5) is None
    assert projections.recent(task, 8, 100.0) is None
    assert projections.recent(_task(1, datetime(2026, 4, 2, tzinfo=UTC)), 7, 100.0) is None
    assert projections.recent(_task(2), 7, 100.0) is None


def test_projections_keep_the_estimates_of_1000_tasks_at_most() -> None:
    projections = Projections()
    for number in range(1000):
        projections.keep(_task(number), 7, 0.0, number)
    assert all(projections.recent(_task(number), 7, 0.0) == (number,) for number in range(1000))
    projections.keep(_task(1000), 7, 0.0, 1000)
    assert projections.recent(_task(0), 7, 0.0) is None
    assert projections.recent(_task(1000), 7, 0.0) == (1000,)


async def test_projection_is_computed_again_after_a_change_a_new_span_or_a_new_day() -> None:
    clock = ManualClock()
    async with engine(clock=clock) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 10)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)

        async def projected() -> int:
            answer: int = (await it.ask("GET", f"/v2/tasks/{task}"))["projected_rows_per_day"]
            return answer

        assert [await projected(), await projected()] == [10, 10]
        await it.seed_spans(project, 5, first=10)
        assert await projected() == 15
        await it.ask("PATCH", f"/v2/tasks/{task}", {"query_filter": "span_kind = 'CHAIN'"})
        assert await projected() == 0
        await it.ask("PATCH", f"/v2/tasks/{task}", {"query_filter": None})
        assert await projected() == 15
        await clock.turn(DAY + 1)
        assert await projected() == 0


async def test_projection_of_a_busy_day_is_estimated_from_a_sample() -> None:
    async with engine() as it:
        project, other = await it.seed_project(), await it.seed_project()
        for first in range(0, 4000, 500):
            await it.seed_spans(project if first in (500, 3000) else other, 500, first=first)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        projected = (await it.ask("GET", f"/v2/tasks/{task}"))["projected_rows_per_day"]
        assert 950 <= projected <= 1050
