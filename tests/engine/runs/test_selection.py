"""The selection of a task run's rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engines import WINDOW, EngineInTest, engine


async def selected(it: EngineInTest, task_id: str, **options: object) -> list[str]:
    done = await it.finish(task_id, **{**WINDOW, **options})
    return [row["row_id"] for row in await it.rows(done["id"])]


async def task_with(it: EngineInTest, project: str, attachments: list[dict[str, Any]], **fields: object) -> str:
    body = {"name": "t", "type": "CODE_EVALUATION", "project_id": project, "evaluators": attachments, **fields}
    return str((await it.ask("POST", "/v2/tasks", body))["id"])


@pytest.mark.promise("select.window")
async def test_window_includes_both_ends() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 10)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        window = {"data_start_time": "2026-03-01T00:00:02Z", "data_end_time": "2026-03-01T00:00:05Z"}
        assert await selected(it, task, **window) == ["span-00005", "span-00004", "span-00003", "span-00002"]


@pytest.mark.promise("select.newest")
async def test_newest_rows_are_selected_up_to_max_spans() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 10)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        assert await selected(it, task, max_spans=3) == ["span-00009", "span-00008", "span-00007"]


@pytest.mark.promise("select.filters")
async def test_filters_of_task_and_evaluator_are_and_ed() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 4, attributes={"team": "a"})
        await it.seed_spans(project, 4, first=4, attributes={"team": "b"})
        await it.seed_spans(project, 4, first=8, kind="CHAIN", attributes={"team": "b"})
        one = await it.seed_code_evaluator(evaluation_name="one")
        two = await it.seed_code_evaluator(evaluation_name="two")
        task = await task_with(
            it,
            project,
            [
                {"evaluator_id": one, "query_filter": "attributes.team = 'b'"},
                {"evaluator_id": two, "query_filter": "attributes.input.value = 'question 1'"},
            ],
            query_filter="span_kind = 'LLM'",
        )
        done = await it.finish(task, **WINDOW)
        rows = [(row["row_id"], row["evaluation_name"]) for row in await it.rows(done["id"])]
        assert rows == [*((f"span-0000{i}", "one") for i in (7, 6, 5, 4)), ("span-00001", "two")]


@pytest.mark.parametrize("spans", [1, 3])
async def test_task_run_is_cancelled_without_rows_if_every_row_is_already_labelled(spans: int) -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, spans)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_selected"], done["num_skipped"]) == ("COMPLETED", spans, 0)
        again = await it.finish(task, **WINDOW)
        assert (again["status"], again["num_selected"], again["num_skipped"]) == ("CANCELLED", 0, 0)
        assert "Every selected row already has this task's evaluations" in again["failure_reason"]
        assert await it.rows(again["id"]) == []
        await it.seed_spans(project, 1, first=spans)
        more = await it.finish(task, **WINDOW)
        assert (more["status"], more["num_selected"], more["num_skipped"]) == ("COMPLETED", spans + 1, spans)


async def test_task_run_without_any_row_is_completed() -> None:
    async with engine() as it:
        project = await it.seed_project()
        done = await it.finish(await it.seed_task([await it.seed_code_evaluator()], project_id=project), **WINDOW)
        counts = (done["num_selected"], done["num_skipped"], done["failure_reason"])
        assert (done["status"], *counts) == ("COMPLETED", 0, 0, None)


@pytest.mark.promise("select.sample")
async def test_sampling_is_deterministic_and_grows_with_the_rate() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 400)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, sampling_rate=0.3)
        first = await selected(it, task)
        assert 60 < len(first) < 180
        assert await selected(it, task, override_evaluations=True) == first
        await it.ask("PATCH", f"/v2/tasks/{task}", {"sampling_rate": 0.6})
        assert set(first) < set(await selected(it, task, override_evaluations=True))
        await it.ask("PATCH", f"/v2/tasks/{task}", {"sampling_rate": 0})
        assert await selected(it, task, override_evaluations=True) == []


@pytest.mark.promise("select.experiments")
async def test_dataset_task_selects_runs_of_its_experiments_or_of_the_named_ones() -> None:
    async with engine() as it:
        dataset = await it.seed_dataset()
        first = await it.seed_experiment(dataset, ["answer 1", "answer 2", "no"])
        second = await it.seed_experiment(dataset)
        task = await it.seed_task([await it.seed_code_evaluator()], dataset_id=dataset, experiment_ids=[first])
        done = await it.finish(task)
        rows = await it.rows(done["id"])
        assert {row["row_kind"] for row in rows} == {"experiment_run"}
        page = await it.ask("GET", f"/v2/experiments/{first}/runs")
        runs = {run["id"]: run for run in page["experiment_runs"]}
        assert runs.keys() == {row["row_id"] for row in rows}
        assert {run["output"]: run["eval.is_answer.label"] for run in runs.values()} == {
            "answer 1": "true",
            "answer 2": "true",
            "no": "false",
        }
        again = await it.finish(task, experiment_ids=[second], max_spans=2)
        assert again["num_selected"] == 2


async def test_pinned_version_is_used_and_an_unpinned_one_follows_the_latest() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1)
        pinned, free = await it.seed_code_evaluator(), await it.seed_code_evaluator(evaluation_name="free")
        first = (await it.ask("GET", f"/v2/evaluators/{pinned}"))["version"]["id"]
        task = await task_with(
            it, project, [{"evaluator_id": pinned, "evaluator_version_id": first}, {"evaluator_id": free}]
        )
        for evaluator, name in ((pinned, "is_answer"), (free, "free")):
            config = {
                "type": "MANAGED",
                "name": name,
                "managed_evaluator": "JSON_PARSEABLE",
                "variables": ["output"],
            }
            await it.ask("POST", f"/v2/evaluators/{evaluator}/versions", {"commit_message": "2", "code_config": config})
        done = await it.finish(task, **WINDOW)
        labels = {row["evaluation_name"]: row["label"] for row in await it.rows(done["id"])}
        assert labels["is_answer"] == "true" and labels["free"] != "true"
