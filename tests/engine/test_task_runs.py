"""Task runs over REST: trigger, list, cancel, and the outcome of each row."""

from __future__ import annotations

from typing import Any

import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine

# An executor that claims nothing: task runs stay pending.
IDLE = ExecutorLimits(task_runs_max=0)


async def project_task(it: EngineInTest, spans: int = 3, **fields: object) -> str:
    project = await it.seed_project()
    if spans:
        await it.seed_spans(project, spans)
    return await it.seed_task([await it.seed_code_evaluator()], project_id=project, **fields)


async def test_finished_task_run_has_times_counts_and_rows() -> None:
    async with engine() as it:
        task = await project_task(it)
        pending = await it.trigger(task, **WINDOW)
        assert pending["status"] == "PENDING" and pending["num_selected"] is None
        done = await it.ended(pending["id"])
        assert done == {
            "id": pending["id"],
            "task_id": task,
            "status": "COMPLETED",
            "run_started_at": done["run_started_at"],
            "run_finished_at": done["run_finished_at"],
            "data_start_time": "2026-03-01T00:00:00.000Z",
            "data_end_time": "2026-03-02T00:00:00.000Z",
            "num_successes": 3,
            "num_errors": 0,
            "num_skipped": 0,
            "num_selected": 3,
            "experiment_id": None,
            "failure_reason": None,
            "chained_task_run_ids": None,
            "created_at": pending["created_at"],
            "created_by_user_id": None,
        }
        assert (await it.ask("GET", f"/v2/tasks/{task}"))["last_run_at"] == pending["created_at"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "data_start_time"),
        ({"data_end_time": "2026-03-02T00:00:00Z"}, 400, "data_start_time"),
        ({"data_start_time": "2026-03-02T00:00:00Z", "data_end_time": "2026-03-01T00:00:00Z"}, 422, "before"),
        ({"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-01T00:00:00Z"}, 422, "before"),
        ({"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-31T00:00:01Z"}, 422, "30 days"),
        ({**WINDOW, "max_spans": 0}, 400, "max_spans"),
        ({**WINDOW, "experiment_ids": ["x"]}, 400, "experiment_ids"),
        ({**WINDOW, "experiment_name": "x", "max_examples": 1}, 400, "max_examples"),
        ({**WINDOW, "query_filter": "name = 'x'", "tracing_metadata": {}}, 400, "query_filter"),
        ({**WINDOW, "surprise": 1}, 400, "surprise"),
    ],
)
async def test_trigger_refuses_invalid_options(body: dict[str, Any], status: int, said: str) -> None:
    async with engine() as it:
        task = await project_task(it, 0)
        problem = await it.ask("POST", f"/v2/tasks/{task}/trigger", body, status=status)
        assert said in problem["detail"]
        assert (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"] == []


async def test_trigger_accepts_a_window_of_30_days_and_reads_times_without_offset_as_utc() -> None:
    async with engine() as it:
        task = await project_task(it, 0)
        window = {"data_start_time": "2026-03-01T00:00:00", "data_end_time": "2026-03-31T00:00:00"}
        done = await it.finish(task, **window)
        assert (done["status"], done["data_start_time"], done["data_end_time"], done["failure_reason"]) == (
            "COMPLETED",
            "2026-03-01T00:00:00.000Z",
            "2026-03-31T00:00:00.000Z",
            None,
        )


async def test_trigger_without_window_continues_after_the_last_run() -> None:
    clock = ManualClock()
    async with engine(clock=clock) as it:
        task = await project_task(it)
        await it.finish(task, data_start_time="2026-03-20T00:00:00Z")
        await clock.turn(60)
        second = await it.trigger(task)
        assert second["data_start_time"] == "2026-04-01T12:00:00.000Z"
        assert second["data_end_time"] == "2026-04-01T12:01:00.000Z"


async def test_trigger_without_window_repeats_a_window_that_was_not_finished() -> None:
    async with engine(clock=ManualClock(), limits=IDLE) as it:
        task = await project_task(it)
        first = await it.trigger(task, data_start_time="2026-03-20T00:00:00Z")
        await it.ask("POST", f"/v2/task-runs/{first['id']}/cancel")
        assert (await it.trigger(task))["data_start_time"] == "2026-03-20T00:00:00.000Z"


@pytest.mark.promise("skip.labelled", "skip.override", "skip.all")
async def test_rows_already_labelled_are_skipped_unless_overridden() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 3)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        await it.finish(task, **WINDOW)
        again = await it.finish(task, **WINDOW)
        assert (again["status"], again["num_successes"], again["num_errors"], again["num_skipped"]) == (
            "CANCELLED",
            0,
            0,
            0,
        )
        assert "override_evaluations" in again["failure_reason"] and await it.rows(again["id"]) == []
        await it.seed_spans(project, 2, first=3)
        mixed = await it.finish(task, **WINDOW)
        assert (mixed["status"], mixed["num_successes"], mixed["num_skipped"]) == ("COMPLETED", 2, 3)
        assert {row["reason"] for row in await it.rows(mixed["id"], outcome="skipped")} == {"already labelled"}
        over = await it.finish(task, **WINDOW, override_evaluations=True)
        assert (over["num_successes"], over["num_skipped"]) == (5, 0)


async def test_cancel_is_possible_only_for_pending_and_running_task_runs() -> None:
    async with engine(limits=IDLE) as it:
        task = await project_task(it)
        task_run = await it.trigger(task, **WINDOW)
        cancelled = await it.ask("POST", f"/v2/task-runs/{task_run['id']}/cancel")
        assert cancelled["status"] == "CANCELLED" and cancelled["run_finished_at"] is not None
        problem = await it.ask("POST", f"/v2/task-runs/{task_run['id']}/cancel", status=400)
        assert "CANCELLED" in problem["detail"]
        await it.ask("POST", "/v2/task-runs/nothing/cancel", status=404)


async def test_list_task_runs_is_newest_first_and_filters_by_status() -> None:
    async with engine(limits=IDLE) as it:
        task = await project_task(it)
        first, second, third = [(await it.trigger(task, **WINDOW))["id"] for _ in range(3)]
        await it.ask("POST", f"/v2/task-runs/{second}/cancel")

        async def ids(**query: object) -> list[str]:
            asked = "&".join(f"{name}={value}" for name, value in query.items())
            page = await it.ask("GET", f"/v2/tasks/{task}/runs?{asked}")
            return [task_run["id"] for task_run in page["task_runs"]]

        assert await ids() == [third, second, first]
        assert await ids(status="pending") == [third, first]
        assert await ids(status="CANCELLED") == [second]
        page = await it.ask("GET", f"/v2/tasks/{task}/runs", limit=2)
        assert await ids(limit=2, cursor=page["pagination"]["next_cursor"]) == [first]
        await it.ask("GET", "/v2/tasks/nothing/runs", status=404)


async def test_list_task_run_rows_is_in_order_and_filters_by_outcome_and_evaluator() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 5)
        first = await it.seed_code_evaluator(evaluation_name="one")
        second = await it.seed_code_evaluator(evaluation_name="two", variables=["nothing"])
        task = await it.seed_task([first, second], project_id=project)
        done = await it.finish(task, **WINDOW)
        assert (done["num_successes"], done["num_errors"], done["num_selected"]) == (5, 5, 10)
        rows = await it.rows(done["id"], limit=3)
        assert [(row["row_id"], row["evaluation_name"]) for row in rows] == [
            (f"span-{i:05d}", name) for i in (4, 3, 2, 1, 0) for name in ("one", "two")
        ]
        errors = await it.rows(done["id"], outcome="error")
        assert {row["evaluator_id"] for row in errors} == {second}
        assert len(await it.rows(done["id"], evaluator_id=first)) == 5
        assert "'nothing'" in errors[0]["reason"] and errors[0]["label"] is None


async def test_trigger_of_an_experiment_reports_all_problems_at_once() -> None:
    async with engine(limits=QUICK) as it:
        dataset = await it.seed_dataset()
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": await it.seed_ai_integration("http://127.0.0.1:9/v1"),
            "messages": [{"role": "user", "content": "{question}"}],
            "input_variable_format": "F_STRING",
        }
        body = {"name": "e", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = (await it.ask("POST", "/v2/tasks", body, status=201))["id"]
        await it.seed_experiment(dataset, name="taken")
        wrong = {
            **WINDOW,
            "max_spans": 5,
            "override_evaluations": True,
            "experiment_ids": ["x"],
            "experiment_name": "taken",
            "example_ids": ["none"],
            "max_examples": 1,
            "query_filter": "===",
            "evaluation_task_ids": ["none", task],
        }
        problem = await it.ask("POST", f"/v2/tasks/{task}/trigger", wrong, status=400)
        assert all(name in problem["detail"] for name in wrong)
        assert "example_ids[0] is not an example of this version of the dataset" in problem["detail"]
        assert "example_ids and max_examples exclude each other" in problem["detail"]
        await it.ask("POST", f"/v2/tasks/{task}/trigger", {}, status=400)
        await it.ask("POST", f"/v2/tasks/{task}/trigger", {"experiment_name": "taken"}, status=409)
        await it.ask("POST", f"/v2/tasks/{task}/trigger", {"experiment_name": 'a"b'}, status=400)
