"""Isolation of spaces on one engine: resources and names of one space are not visible from another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from evaltasks.client.client import Client
from evaltasks.client.errors import NotResolved
from evaltasks.client.transport import open_app_client, open_remote_client
from evaltasks.tools.context import ToolSettings
from tests.support.agents import agent_of
from tests.support.backends import BACKENDS, KEY, served
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.otlp import span_request

LISTS = {
    "tasks": "/v2/tasks", "projects": "/v2/projects", "datasets": "/v2/datasets", "evaluators": "/v2/evaluators",
    "experiments": "/v2/experiments", "annotation_configs": "/v2/annotation-configs",
    "ai_integrations": "/v2/ai-integrations", "integrations": "/v2/integrations",
}  # fmt: skip
_MANAGED = {"type": "MANAGED", "name": "tone", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"]}


async def _furnish(it: EngineInTest, space: str) -> dict[str, str]:
    """Create one resource of every kind in the space, with the same names in each; return ids by resource."""

    async def make(path: str, **body: object) -> str:
        return str((await it.ask("POST", path, body))["id"])

    scopings = [{"organization_id": None, "space_id": space}]
    made = {"projects": await make("/v2/projects", name="chat", space_id=space)}
    made["datasets"] = await make("/v2/datasets", name="gold", space_id=space, examples=[{"question": "q"}])
    made["evaluators"] = await make(
        "/v2/evaluators", name="tone", space_id=space, type="CODE",
        version={"commit_message": "first", "code_config": _MANAGED},
    )  # fmt: skip
    (example,) = await it.example_ids(made["datasets"])
    made["experiments"] = await make(
        "/v2/experiments", name="baseline", dataset_id=made["datasets"],
        experiment_runs=[{"example_id": example, "output": "a"}],
    )  # fmt: skip
    made["annotation_configs"] = await make(
        "/v2/annotation-configs", name="human", space_id=space, annotation_config_type="FREEFORM"
    )
    made["ai_integrations"] = await make(
        "/v2/ai-integrations", name=f"judge of {space}", provider="CUSTOM", base_url="http://127.0.0.1:9/v1",
        scopings=scopings,
    )  # fmt: skip
    made["integrations"] = await make(
        "/v2/integrations", type="AGENT", name=f"agent of {space}", scopings=scopings,
        config={"endpoint": "http://127.0.0.1:9/agent", "input_schema": {"type": "object"}},
    )  # fmt: skip
    made["tasks"] = await it.seed_task([made["evaluators"]], name="nightly", project_id=made["projects"])
    return made


async def _two_spaces(it: EngineInTest) -> tuple[str, str]:
    first = await it.space_id()
    return first, str((await it.ask("POST", "/v2/spaces", {"name": "team-b"}))["id"])


@asynccontextmanager
async def _client(backend: str, it: EngineInTest, default_space: str | None) -> AsyncIterator[Client]:
    if backend == "in_process":
        async with open_app_client(it.engine.app, default_space=default_space) as client:
            yield client
        return
    async with (
        served(it.engine.app) as address,
        open_remote_client(address, KEY, default_space=default_space) as client,
    ):
        yield client


@pytest.mark.parametrize("resource", LISTS)
async def test_a_list_of_one_space_contains_nothing_of_another(resource: str) -> None:
    async with engine() as it:
        one, two = await _two_spaces(it)
        made = {space: await _furnish(it, space) for space in (one, two)}
        path = LISTS[resource]

        async def listed(**query: Any) -> set[str]:
            page = await it.ask("GET", path, **{"limit": 50, **query})
            # The built-in judge is visible in every space.
            return {item["id"] for item in page[resource] if not item.get("is_heuristic")}

        theirs = {space: await listed(space_id=space) for space in (one, two)}
        # The list of experiments of AX has no space name.
        by_name = await listed(**({"space_id": two} if resource == "experiments" else {"space_name": "TEAM-b"}))
        everywhere = await listed()
        cursor = (await it.ask("GET", path, limit=1))["pagination"]["next_cursor"]
        await it.ask("GET", path, limit=1, cursor=cursor, space_id=two, status=400)
        await it.ask("GET", path, space_id="U3BhY2U6MTphYmNk", status=404)
    assert theirs == {space: {made[space][resource]} for space in (one, two)}
    assert by_name == theirs[two]
    assert everywhere == theirs[one] | theirs[two]


async def test_a_resource_of_one_space_cannot_refer_to_another_space() -> None:
    async with engine() as it:
        one, two = await _two_spaces(it)
        here, there = await _furnish(it, one), await _furnish(it, two)
        foreign_evaluator = {
            "name": "mixed", "type": "CODE_EVALUATION", "project_id": here["projects"],
            "evaluators": [{"evaluator_id": there["evaluators"]}],
        }  # fmt: skip
        problem = await it.ask("POST", "/v2/tasks", foreign_evaluator, status=422)
        await it.ask("PATCH", f"/v2/tasks/{here['tasks']}", {
            "evaluators": [{"evaluator_id": there["evaluators"]}]}, status=422)  # fmt: skip
        foreign_experiment = {
            "name": "mixed", "type": "CODE_EVALUATION", "dataset_id": here["datasets"],
            "experiment_ids": [there["experiments"]], "evaluators": [{"evaluator_id": here["evaluators"]}],
        }  # fmt: skip
        await it.ask("POST", "/v2/tasks", foreign_experiment, status=422)
        foreign_judge = {
            "name": "mixed", "space_id": one, "type": "TEMPLATE",
            "version": {"commit_message": "first", "template_config": {
                "name": "mixed", "template": "Is {output} right?", "include_explanations": True,
                "classification_choices": {"yes": 1, "no": 0},
                "llm_config": {"ai_integration_id": there["ai_integrations"], "model_name": "m"}}},
        }  # fmt: skip
        judged = await it.http.post("/v2/evaluators", json=foreign_judge)
    assert "another space" in problem["detail"]
    assert judged.status_code in {404, 422}, judged.text


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_same_task_name_in_two_spaces_is_ambiguous_only_without_a_space(backend: str) -> None:
    async with engine() as it:
        one, two = await _two_spaces(it)
        made = {space: await _furnish(it, space) for space in (one, two)}
        tasks = {space: things["tasks"] for space, things in made.items()}
        async with _client(backend, it, None) as client:
            with pytest.raises(NotResolved) as caught:
                await client.resolve.task("nightly")
            assert sorted(caught.value.candidates) == sorted(("nightly", task) for task in tasks.values())
            assert (await client.resolve.task("nightly", space="team-b")).id == tasks[two]
            assert (await client.resolve.task("nightly", space=one)).id == tasks[one]
        async with _client(backend, it, "team-b") as client:
            assert (await client.resolve.task("nightly")).id == tasks[two]
            assert (await client.resolve.evaluator("tone")).id == made[two]["evaluators"]
            assert (await client.resolve.task("nightly", space="default")).id == tasks[one]


async def test_tools_stay_in_the_space_the_server_was_started_with_unless_a_call_names_another() -> None:
    async with engine() as it:
        one, two = await _two_spaces(it)
        made = {space: await _furnish(it, space) for space in (one, two)}
        async with (
            open_app_client(it.engine.app, default_space="team-b") as client,
            agent_of(client, settings=ToolSettings(default_space="team-b")) as mcp,
        ):
            seen = (await mcp.answer("get_task", {"task": "nightly"}))["task"]
            other = (await mcp.answer("get_task", {"task": "nightly", "space": "default"}))["task"]
            listed = (await mcp.answer("list_tasks"))["tasks"]
            found = (await mcp.answer("find", {"kind": "project", "text": "chat"}))["matches"]
            await mcp.answer(
                "import_spans",
                {"project": "chat", "rows": [{"name": "a", "start_time": WINDOW["data_start_time"], "attributes": {}}]},
            )
            counts = [
                len((await it.ask("POST", "/v2/spans", {"project_id": made[space]["projects"],
                                                        "start_time": "2026-02-01T00:00:00Z"}))["spans"])
                for space in (one, two)
            ]  # fmt: skip
        async with open_app_client(it.engine.app) as client, agent_of(client) as mcp:
            refused = await mcp.refusal("get_task", {"task": "nightly"})
            homeless = await mcp.refusal("create_dataset", {"name": "new", "rows": [{"question": "q"}]})
    assert (seen["task_id"], other["task_id"]) == (made[two]["tasks"], made[one]["tasks"])
    assert [task["task_id"] for task in listed] == [made[two]["tasks"]]
    assert [match["id"] for match in found] == [made[two]["projects"]]
    assert counts == [0, 1]
    assert made[one]["tasks"] in refused and made[two]["tasks"] in refused
    assert "space" in homeless


async def test_telemetry_is_stored_in_the_space_named_in_its_header() -> None:
    content = span_request(project="chat").SerializeToString()
    async with engine() as it:
        one, two = await _two_spaces(it)
        headers = {"content-type": "application/x-protobuf", "arize-space-id": "team-b"}
        assert (await it.http.post("/v1/traces", content=content, headers=headers)).status_code == 200
        projects = {
            space: [item["name"] for item in (await it.ask("GET", "/v2/projects", space_id=space))["projects"]]
            for space in (one, two)
        }
    assert projects == {one: [], two: ["chat"]}
