"""Tasks over REST: create, update, list and delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engines import WINDOW, EngineInTest, engine

MESSAGES = [{"role": "user", "content": "{question}"}]


async def llm_generation(it: EngineInTest, **fields: object) -> dict[str, Any]:
    return {
        "experiment_type": "llm_generation",
        "ai_integration_id": await it.seed_ai_integration("http://127.0.0.1:9/v1"),
        "messages": MESSAGES,
        "input_variable_format": "f_string",
        **fields,
    }


async def test_create_task_returns_every_field_and_the_names_of_its_evaluators() -> None:
    async with engine() as it:
        project = await it.seed_project()
        evaluator = await it.seed_code_evaluator("regex")
        made = await it.ask(
            "POST",
            "/v2/tasks",
            {
                "name": "watch",
                "type": "code_evaluation",
                "project_id": project,
                "sampling_rate": 0.5,
                "is_continuous": True,
                "query_filter": "span_kind = 'LLM'",
                "evaluators": [
                    {
                        "evaluator_id": evaluator,
                        "query_filter": "latency_ms > 5",
                        "column_mappings": {"output": "attributes.output.value"},
                        "evaluator_version_id": None,
                    }
                ],
                "dataset_id": None,
                "experiment_ids": None,
            },
            status=201,
        )
        assert made == await it.ask("GET", f"/v2/tasks/{made['id']}")
        assert made == {
            "id": made["id"],
            "name": "watch",
            "type": "CODE_EVALUATION",
            "project_id": project,
            "dataset_id": None,
            "is_continuous": True,
            "projected_rows_per_day": 0,
            "sampling_rate": 0.5,
            "query_filter": "span_kind = 'LLM'",
            "query_filters": None,
            "evaluators": [
                {
                    "evaluator_id": evaluator,
                    "evaluator_name": "regex",
                    "evaluator_version_id": None,
                    "query_filter": "latency_ms > 5",
                    "column_mappings": {"output": "attributes.output.value"},
                    "query_mappings": None,
                }
            ],
            "experiment_ids": [],
            "run_configuration": None,
            "last_run_at": None,
            "created_at": made["created_at"],
            "updated_at": made["updated_at"],
            "created_by_user_id": None,
        }


async def test_create_evaluation_task_reports_all_problems_at_once() -> None:
    async with engine() as it:
        evaluator = await it.seed_code_evaluator()
        project = await it.seed_project()
        problem = await it.ask(
            "POST",
            "/v2/tasks",
            {
                "name": "t",
                "type": "CODE_EVALUATION",
                "project_id": project,
                "experiment_ids": ["x"],
                "query_filter": "nonsense ===",
                "evaluators": [{"evaluator_id": evaluator}, {"evaluator_id": evaluator}, {"evaluator_id": "none"}],
                "run_configuration": await llm_generation(it),
            },
            status=400,
        )
        for finding in ("run_configuration", "experiment_ids", "query_filter", "evaluators[1]", "evaluators[2]"):
            assert finding in problem["detail"]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"evaluators": []}, 400, "evaluators"),
        ({"evaluators": None}, 400, "evaluators"),
        ({"project_id": None}, 400, "project_id or dataset_id"),
        ({"dataset_id": "DATASET"}, 400, "exclude each other"),
        ({"project_id": "missing"}, 404, "project_id"),
        ({"project_id": None, "dataset_id": "missing", "experiment_ids": ["x"]}, 404, "dataset_id"),
        ({"project_id": None, "dataset_id": "DATASET"}, 422, "experiment_ids"),
        ({"project_id": None, "dataset_id": "DATASET", "experiment_ids": ["OTHER"]}, 422, "another dataset"),
        (
            {"project_id": None, "dataset_id": "DATASET", "experiment_ids": ["OWN"], "sampling_rate": 0.1},
            400,
            "sampling_rate",
        ),
        (
            {"project_id": None, "dataset_id": "DATASET", "experiment_ids": ["OWN"], "is_continuous": True},
            400,
            "is_continuous",
        ),
        ({"type": "TEMPLATE_EVALUATION"}, 422, "needs template evaluators"),
        ({"query_filter": "colour = 'red'"}, 422, "query_filter"),
        ({"name": "taken"}, 409, "name"),
        ({"sampling_rate": 2}, 400, "sampling_rate"),
        ({"surprise": 1}, 400, "surprise"),
        ({"query_filters": {"filters": [{"id": "A", "filter": "name = 'x'"}]}}, 400, "cannot be mixed"),
        (
            {"evaluators": [{"evaluator_id": "EVALUATOR", "evaluator_version_id": "OTHER_VERSION"}]},
            422,
            "evaluator_version_id",
        ),
    ],
)
async def test_create_evaluation_task_refuses_invalid_fields(change: dict[str, Any], status: int, said: str) -> None:
    async with engine() as it:
        dataset, other = await it.seed_dataset(), await it.seed_dataset()
        evaluator, another = await it.seed_code_evaluator(), await it.seed_code_evaluator()
        names = {
            "DATASET": dataset,
            "OWN": await it.seed_experiment(dataset),
            "OTHER": await it.seed_experiment(other),
            "EVALUATOR": evaluator,
            "OTHER_VERSION": (await it.ask("GET", f"/v2/evaluators/{another}"))["version"]["id"],
        }
        project = await it.seed_project()
        await it.seed_task([evaluator], name="taken", project_id=project)
        body = {
            "name": "t",
            "type": "CODE_EVALUATION",
            "project_id": project,
            "evaluators": [{"evaluator_id": evaluator}],
            **change,
        }
        problem = await it.ask("POST", "/v2/tasks", _with_names(body, names), status=status)
        assert said in problem["detail"]


def _with_names(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_names(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_names(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


async def test_create_task_refuses_two_evaluators_with_the_same_evaluation_name() -> None:
    async with engine() as it:
        first = await it.seed_code_evaluator(evaluation_name="same")
        second = await it.seed_code_evaluator(evaluation_name="same")
        body = {
            "name": "t",
            "type": "CODE_EVALUATION",
            "project_id": await it.seed_project(),
            "evaluators": [{"evaluator_id": first}, {"evaluator_id": second}],
        }
        assert "same evaluation name" in (await it.ask("POST", "/v2/tasks", body, status=422))["detail"]


async def test_create_run_experiment_task_reports_all_problems_at_once() -> None:
    async with engine() as it:
        evaluator = await it.seed_code_evaluator()
        body = {
            "name": "t",
            "type": "RUN_EXPERIMENT",
            "project_id": await it.seed_project(),
            "evaluators": [{"evaluator_id": evaluator}],
            "experiment_ids": ["x"],
            "sampling_rate": 0.5,
            "is_continuous": True,
            "query_filter": "name = 'x'",
        }
        problem = await it.ask("POST", "/v2/tasks", body, status=400)
        for name in (*body.keys() - {"name", "type"}, "dataset_id", "run_configuration"):
            assert name in problem["detail"]


async def test_create_run_experiment_task_stores_its_configuration_unchanged() -> None:
    async with engine() as it:
        configuration = await llm_generation(it, invocation_parameters={"temperature": 0, "seed": 7})
        body = {"name": "t", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        made = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}, status=201)
        kept = made["run_configuration"]
        assert kept["experiment_type"] == "LLM_GENERATION"
        assert kept["ai_integration_id"] == configuration["ai_integration_id"]
        assert kept["input_variable_format"] == "F_STRING"
        assert kept["messages"][0]["role"] == "USER"
        assert (kept["invocation_parameters"]["temperature"], kept["invocation_parameters"]["seed"]) == (0, 7)


async def test_run_configuration_needs_a_model_if_the_integration_has_none() -> None:
    async with engine() as it:
        configuration = await llm_generation(it)
        configuration["ai_integration_id"] = await it.seed_ai_integration("http://127.0.0.1:9/v1", [])
        body = {"name": "t", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        problem = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}, status=422)
        assert "model_name" in problem["detail"]


@pytest.mark.parametrize(
    ("configuration", "status", "said"),
    [
        ({"ai_integration_id": "x"}, 404, "ai_integration_id"),
        ({"evaluator_version_id": "x"}, 404, "evaluator_version_id"),
        ({"template": "Is {question} hard?"}, 422, "write {{question}} for {question}"),
        ({"template": "Nothing at all"}, 422, "no variable"),
        ({"template": "{{question}} {{#items}}{{.}}{{/items}}"}, 422, "sections"),
        ({"classification_choices": {"Yes": 1, "yes ": 0}}, 422, "letter case"),
        ({"classification_choices": {}}, 422, "leave it out"),
    ],
)
async def test_create_task_refuses_a_template_evaluation_that_cannot_work(
    configuration: dict[str, Any], status: int, said: str
) -> None:
    async with engine() as it:
        sound = {
            "experiment_type": "template_evaluation",
            "ai_integration_id": await it.seed_ai_integration("http://127.0.0.1:9/v1"),
            "template": "Is {{question}} hard?",
            "classification_choices": {"yes": 1, "no": 0},
        }
        body = {"name": "t", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        problem = await it.ask(
            "POST", "/v2/tasks", {**body, "run_configuration": {**sound, **configuration}}, status=status
        )
        assert said in problem["detail"]
        made = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": sound})
        assert made["run_configuration"]["template"] == "Is {{question}} hard?"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"question": 3}, "must be string"),
        ({"age": "{{age}}"}, "lacks 'question'"),
        ({"question": "{{question}}", "unknown": 1}, "not in the agent's input schema"),
        ({"question": "{{#each}}"}, "sections"),
        ({"question": "{{q}}", "tags": [1]}, "tags[0] must be string"),
    ],
)
async def test_create_task_refuses_an_agent_call_that_cannot_match_the_agents_schema(
    template: dict[str, Any], said: str
) -> None:
    async with engine() as it:
        schema = {
            "type": "object",
            "properties": {
                "question": {"type": "string"},
                "age": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["question"],
            "additionalProperties": False,
        }
        config = {"endpoint": "http://127.0.0.1:9/", "input_schema": schema}
        agent = await it.ask("POST", "/v2/integrations", {"type": "AGENT", "name": "a", "config": config})
        body = {"name": "t", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        configuration = {"experiment_type": "AGENT_CALL", "integration_id": agent["id"], "input_template": template}
        problem = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}, status=422)
        assert said in problem["detail"]


async def test_agent_call_needs_an_agent_and_is_stored_without_the_dataset_prefix() -> None:
    async with engine() as it:
        body = {"name": "t", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        judge = await it.seed_ai_integration("http://127.0.0.1:9/v1")
        for id_, status in (("x", 404), (judge, 422)):
            configuration = {"experiment_type": "AGENT_CALL", "integration_id": id_, "input_template": {}}
            problem = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}, status=status)
            assert "integration_id" in problem["detail"]
        config = {"endpoint": "http://127.0.0.1:9/"}
        agent = await it.ask("POST", "/v2/integrations", {"type": "AGENT", "name": "a", "config": config})
        configuration = {
            "experiment_type": "AGENT_CALL",
            "integration_id": agent["id"],
            "input_template": {"a": "{{dataset.question}}", "b": ["x {{ dataset.expected }}"], "dataset.c": 1},
        }
        made = await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration})
        shorter = {"a": "{{question}}", "b": ["x {{ expected }}"], "dataset.c": 1}
        assert made["run_configuration"]["input_template"] == shorter


async def test_update_task_changes_each_field_and_keeps_missing_ones() -> None:
    async with engine() as it:
        first, second = await it.seed_code_evaluator(), await it.seed_code_evaluator(evaluation_name="two")
        task = await it.seed_task(
            [first], project_id=await it.seed_project(), query_filter="name = 'x'", sampling_rate=0.5
        )
        path = f"/v2/tasks/{task}"
        before = await it.ask("GET", path)
        assert (await it.ask("PATCH", path, {"name": "renamed"}))["name"] == "renamed"
        assert (await it.ask("PATCH", path, {"sampling_rate": 1}))["sampling_rate"] == 1
        assert (await it.ask("PATCH", path, {"is_continuous": True}))["is_continuous"] is True
        assert (await it.ask("PATCH", path, {"query_filter": "name = 'y'"}))["query_filter"] == "name = 'y'"
        after = await it.ask("PATCH", path, {"evaluators": [{"evaluator_id": second}]})
        assert [line["evaluator_id"] for line in after["evaluators"]] == [second]
        assert after["created_at"] == before["created_at"] and after["updated_at"] > before["updated_at"]


@pytest.mark.parametrize("nothing", ["", None])
async def test_update_task_clears_the_filter_with_an_empty_value(nothing: str | None) -> None:
    async with engine() as it:
        task = await it.seed_task(
            [await it.seed_code_evaluator()], project_id=await it.seed_project(), query_filter="name = 'x'"
        )
        assert (await it.ask("PATCH", f"/v2/tasks/{task}", {"query_filter": nothing}))["query_filter"] is None


async def test_update_task_refuses_no_fields_and_fields_of_other_task_types() -> None:
    async with engine() as it:
        evaluator = await it.seed_code_evaluator()
        task = await it.seed_task([evaluator], project_id=await it.seed_project())
        await it.ask("PATCH", f"/v2/tasks/{task}", {}, status=400)
        other = {"run_configuration": await llm_generation(it)}
        assert "run_configuration" in (await it.ask("PATCH", f"/v2/tasks/{task}", other, status=400))["detail"]
        body = {"name": "e", "type": "run_experiment", "dataset_id": await it.seed_dataset()}
        experiment = (await it.ask("POST", "/v2/tasks", {**body, **other}, status=201))["id"]
        change = {"sampling_rate": 0.5, "query_filter": "name = 'x'", "evaluators": [{"evaluator_id": evaluator}]}
        problem = await it.ask("PATCH", f"/v2/tasks/{experiment}", change, status=400)
        assert all(name in problem["detail"] for name in change)
        newer = await llm_generation(it, model_name="other")
        changed = await it.ask("PATCH", f"/v2/tasks/{experiment}", {"run_configuration": newer})
        assert changed["run_configuration"]["model_name"] == "other"


async def test_update_task_changes_nothing_if_it_is_refused() -> None:
    async with engine() as it:
        evaluator = await it.seed_code_evaluator()
        project = await it.seed_project()
        await it.seed_task([evaluator], name="taken", project_id=project)
        task = await it.seed_task([evaluator], project_id=project)
        before = await it.ask("GET", f"/v2/tasks/{task}")
        await it.ask("PATCH", f"/v2/tasks/{task}", {"name": "taken", "sampling_rate": 0.1}, status=409)
        assert await it.ask("GET", f"/v2/tasks/{task}") == before


async def test_list_tasks_is_newest_first_and_filters_by_each_field() -> None:
    async with engine() as it:
        evaluator, project, dataset = (
            await it.seed_code_evaluator(),
            await it.seed_project(),
            await it.seed_dataset(),
        )
        experiment = await it.seed_experiment(dataset)
        first = await it.seed_task([evaluator], name="Grüße one", project_id=project)
        second = await it.seed_task([evaluator], name="two", dataset_id=dataset, experiment_ids=[experiment])

        async def ids(**query: object) -> list[str]:
            return [task["id"] for task in (await it.ask("GET", "/v2/tasks", **query))["tasks"]]

        assert await ids() == [second, first]
        assert await ids(project_id=project) == [first]
        assert await ids(dataset_id=dataset) == [second]
        assert await ids(name="GRÜSSE") == [first]
        assert await ids(type="code_evaluation", name="two") == [second]
        assert await ids(type="run_experiment") == []
        assert await ids(space_id=await it.space_id()) == [second, first]
        assert await ids(space_name="EFAUL") == [second, first]
        assert await ids(space_name="nowhere") == []
        await it.ask("GET", "/v2/tasks", status=404, project_id="missing")
        page = await it.ask("GET", "/v2/tasks", limit=1)
        assert [task["id"] for task in page["tasks"]] == [second] and page["pagination"]["has_more"]
        cursor = page["pagination"]["next_cursor"]
        assert await ids(limit=1, cursor=cursor) == [first]
        await it.ask("GET", "/v2/tasks", status=400, limit=1, cursor=cursor, name="two")


async def test_delete_task_also_deletes_its_task_runs() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 2)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        task_run = await it.finish(task, **WINDOW)
        await it.ask("DELETE", f"/v2/tasks/{task}", status=204)
        await it.ask("GET", f"/v2/tasks/{task}", status=404)
        await it.ask("GET", f"/v2/task-runs/{task_run['id']}", status=404)
        await it.ask("DELETE", f"/v2/tasks/{task}", status=404)


async def test_experiment_task_accepts_evaluation_fields_that_have_no_effect() -> None:
    nothing = {
        "query_filter": "", "sampling_rate": None, "is_continuous": False, "evaluators": [], "query_filters": None,
    }  # fmt: skip
    async with engine() as it:
        configuration = {"run_configuration": await llm_generation(it)}
        body = {"name": "e", "type": "run_experiment", "dataset_id": await it.seed_dataset(), **configuration}
        task = await it.ask("POST", "/v2/tasks", {**body, **nothing}, status=201)
        renamed = await it.ask("PATCH", f"/v2/tasks/{task['id']}", {"name": "f", **nothing}, status=200)
        assert renamed == {**task, "name": "f", "updated_at": renamed["updated_at"]}
        for name, value in {"sampling_rate": 1, "is_continuous": True, "query_filter": "name = 'x'"}.items():
            problem = await it.ask("PATCH", f"/v2/tasks/{task['id']}", {name: value}, status=400)
            assert problem["detail"].startswith(f"{name} applies to evaluation tasks"), name
