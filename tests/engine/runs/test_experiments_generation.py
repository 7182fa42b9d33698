"""run_experiment with llm_generation."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import EngineInTest, engine
from tests.support.judges import Answer, judge_server


async def experiment_task(it: EngineInTest, dataset: str, base_url: str, content: str = "Say {question}") -> str:
    configuration = {
        "experiment_type": "LLM_GENERATION",
        "ai_integration_id": await it.seed_ai_integration(base_url, ["small"]),
        "messages": [{"role": "SYSTEM", "content": "Be short."}, {"role": "USER", "content": content}],
        "input_variable_format": "F_STRING",
        "invocation_parameters": {"temperature": 0},
    }
    body = {"name": "ask", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
    return str((await it.ask("POST", "/v2/tasks", body))["id"])


async def runs_of(it: EngineInTest, experiment_id: str) -> list[dict[str, Any]]:
    page = await it.ask("GET", f"/v2/experiments/{experiment_id}/runs", limit=500)
    runs: list[dict[str, Any]] = page["experiment_runs"]
    return runs


@pytest.mark.promise("experiment.each")
async def test_llm_generation_stores_each_answer_with_its_usage() -> None:
    async with engine() as it, judge_server() as judge:
        dataset = await it.seed_dataset([{"question": f"[[text: answer {i}]]"} for i in range(3)])
        task = await experiment_task(it, dataset, judge.base_url)
        done = await it.finish(task, experiment_name="first", tracing_metadata={"team": "blue"})
        assert (done["status"], done["num_successes"], done["num_selected"]) == ("COMPLETED", 3, 3)
        experiment = await it.ask("GET", f"/v2/experiments/{done['experiment_id']}")
        assert (experiment["name"], experiment["dataset_id"]) == ("first", dataset)
        runs = await runs_of(it, done["experiment_id"])
        by_example = {run["example_id"]: run for run in runs}
        assert [by_example[id_]["output"] for id_ in await it.example_ids(dataset)] == [f"answer {i}" for i in range(3)]
        assert {run["metadata.team"] for run in runs} == {"blue"}
        assert all(run["prompt_tokens"] > 0 for run in runs)
        assert all(run["latency_ms"] >= 0 and run["model"] == "small" for run in runs)
        assert judge.requests[0].body["messages"][0] == {"role": "system", "content": "Be short."}
        assert judge.requests[0].body["temperature"] == 0


@pytest.mark.promise("experiment.first")
async def test_task_run_names_its_experiment_before_the_first_answer() -> None:
    async with engine() as it, judge_server() as judge:
        task = await experiment_task(it, await it.seed_dataset(), judge.base_url)
        judge.hold()
        task_run = await it.trigger(task, experiment_name="first")
        with anyio.fail_after(10):
            await judge.wait_for_requests(1)
        now = await it.task_run(task_run["id"])
        assert now["status"] == "RUNNING" and now["num_selected"] == 3
        assert (await it.ask("GET", f"/v2/experiments/{now['experiment_id']}"))["name"] == "first"
        judge.release()
        await it.ended(task_run["id"])


@pytest.mark.promise("experiment.each", "map.nothing")
async def test_example_without_a_value_or_refused_by_the_model_is_an_error_of_its_own() -> None:
    def script(request: Any) -> Answer | None:
        too_long = "context_length_exceeded"
        return Answer.error(400, "too long", code=too_long) if "long" in request.prompt else None

    async with engine() as it, judge_server(script=script) as judge:
        dataset = await it.seed_dataset([{"question": "fine"}, {"other": "x"}, {"question": "long"}])
        done = await it.finish(await experiment_task(it, dataset, judge.base_url), experiment_name="first")
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 1, 2)
        errors = [run["error"] for run in await runs_of(it, done["experiment_id"]) if run["output"] is None]
        assert len(errors) == 2 and any("'question'" in error for error in errors)
        rows = await it.rows(done["id"], outcome="error")
        assert {row["reason"] for row in rows} == set(errors)


async def test_examples_are_selected_by_id_limit_and_filter() -> None:
    async with engine() as it, judge_server() as judge:
        dataset = await it.seed_dataset([{"question": f"q{i}", "hard": i % 2} for i in range(6)])
        task = await experiment_task(it, dataset, judge.base_url)
        ids = await it.example_ids(dataset)

        async def chosen(name: str, **options: object) -> list[str]:
            done = await it.finish(task, experiment_name=name, **options)
            return [row["row_id"] for row in await it.rows(done["id"])]

        assert await chosen("all") == ids
        assert await chosen("ids", example_ids=[ids[4], ids[1]]) == [ids[1], ids[4]]
        assert await chosen("max", max_examples=2) == ids[:2]
        assert await chosen("filter", query_filter="hard = 1") == ids[1::2]
        assert await chosen("both", query_filter="hard = 1", example_ids=ids[:2]) == [ids[1]]
        assert await chosen("capped", query_filter="hard = 1", max_examples=1) == [ids[1]]
        assert await chosen("none", query_filter="hard = 7") == []


@pytest.mark.promise("experiment.chain")
async def test_chained_evaluation_tasks_run_on_the_completed_experiment() -> None:
    async with engine() as it, judge_server() as judge:
        dataset = await it.seed_dataset([{"question": f"[[text: answer {i}]]"} for i in range(3)])
        earlier = await it.seed_experiment(dataset)
        evaluation = await it.seed_task([await it.seed_code_evaluator()], dataset_id=dataset, experiment_ids=[earlier])
        task = await experiment_task(it, dataset, judge.base_url)
        done = await it.finish(task, experiment_name="first", evaluation_task_ids=[evaluation, evaluation])
        (chained,) = (await it.ask("GET", f"/v2/tasks/{evaluation}/runs"))["task_runs"]
        assert (await it.ended(chained["id"]))["num_successes"] == 3
        runs = await runs_of(it, done["experiment_id"])
        assert {run["eval.is_answer.label"] for run in runs} == {"true"}


async def test_failed_experiment_triggers_no_chained_task() -> None:
    async with engine() as it, judge_server(key="right") as judge:
        dataset = await it.seed_dataset()
        evaluation = await it.seed_task(
            [await it.seed_code_evaluator()],
            dataset_id=dataset,
            experiment_ids=[await it.seed_experiment(dataset)],
        )
        task = await experiment_task(it, dataset, judge.base_url)
        done = await it.finish(task, experiment_name="first", evaluation_task_ids=[evaluation])
        assert done["status"] == "FAILED"
        assert (await it.ask("GET", f"/v2/tasks/{evaluation}/runs"))["task_runs"] == []


async def test_second_task_run_with_the_same_experiment_name_fails() -> None:
    async with engine(limits=ExecutorLimits(task_runs_max=0)) as it:
        task = await experiment_task(it, await it.seed_dataset(), "http://127.0.0.1:9/v1")
        await it.trigger(task, experiment_name="first")
        body = {"experiment_name": "first"}
        await it.ask("POST", f"/v2/tasks/{task}/trigger", body, status=409)


async def test_heuristic_judge_cannot_generate_text() -> None:
    async with engine() as it:
        page = await it.ask("GET", "/v2/ai-integrations")
        heuristic = next(one for one in page["ai_integrations"] if one["is_heuristic"])
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": heuristic["id"],
            "model_name": "heuristic-relevance",
            "messages": [{"role": "USER", "content": "hello"}],
            "input_variable_format": "F_STRING",
        }
        dataset = await it.seed_dataset()
        body = {"name": "t", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        done = await it.finish(task, experiment_name="first")
        assert done["status"] == "FAILED" and "heuristic" in done["failure_reason"]
