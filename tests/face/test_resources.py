"""Resources: the content of a tool under a URI; pages and completion."""

from __future__ import annotations

import pytest
from mcp import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, ResourceTemplateReference

from evaltasks.client.transport import open_remote_client
from evaltasks.face.addresses import PLACES, RESULTS, TASK, TASK_RUN, TASK_RUNS, parse_address
from evaltasks.face.resources import TASKS_PER_PAGE
from tests.support.agents import MODES, Agent, agent, agent_of
from tests.support.engines import WINDOW

both_eras = pytest.mark.parametrize("mode", MODES)


async def _task_with_a_run(it: Agent, name: str = "task one") -> tuple[str, str]:
    project = await it.seed.seed_project()
    await it.seed.seed_spans(project, 3)
    evaluator = await it.seed.seed_code_evaluator()
    task = await it.seed.seed_task([evaluator], name=name, project_id=project)
    task_run = await it.seed.finish(task, **WINDOW)
    return task, task_run["id"]


async def _all_resources(it: Agent) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    for _ in range(50):
        page = await it.mcp.list_resources(cursor=cursor, cache_mode="bypass")
        found += [str(resource.uri) for resource in page.resources]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


@both_eras
async def test_each_resource_has_the_content_of_its_tool(mode: str) -> None:
    async with agent(mode) as it:
        task, task_run = await _task_with_a_run(it)
        read = {
            "get_task": (TASK.uri(task_id=task), {"task": task}),
            "list_tasks": ("ax://tasks", {}),
            "list_task_runs": (TASK_RUNS.uri(task_id=task), {"task": task}),
            "get_task_run": (TASK_RUN.uri(run_id=task_run), {"run_id": task_run}),
            "task_run_results": (RESULTS.uri(run_id=task_run), {"run_id": task_run}),
            "find": ("ax://spaces", {"kind": "space"}),
        }
        for tool, (uri, arguments) in read.items():
            resource, answer = await it.read(uri), await it.answer(tool, arguments)
            assert _still(resource) == _still(answer), tool


@both_eras
async def test_an_evaluator_resource_is_read_by_id(mode: str) -> None:
    async with agent(mode) as it:
        evaluator = await it.seed.seed_code_evaluator("tone")
        read = await it.read(f"ax://evaluators/{evaluator}")
        with pytest.raises(MCPError) as caught:
            await it.read("ax://evaluators/tonee")

    assert [match["name"] for match in read["matches"]] == ["tone"]
    assert caught.value.error.code == INVALID_PARAMS


@both_eras
@pytest.mark.parametrize(
    "uri",
    ["ax://tasks/no-such-task", "ax://task-runs/none", "ax://task-runs/none/results", "ax://nothing", "ax://tasks/.."],
)
async def test_a_missing_resource_is_reported_with_a_reason(mode: str, uri: str) -> None:
    async with agent(mode) as it:
        with pytest.raises(MCPError) as caught:
            await it.mcp.read_resource(uri)

    assert caught.value.error.code == INVALID_PARAMS
    assert len(caught.value.error.message) > 30
    assert caught.value.error.data == {"uri": uri}


@both_eras
async def test_the_resource_list_has_every_task_and_its_newest_run(mode: str) -> None:
    async with agent(mode) as it:
        task, _ = await _task_with_a_run(it)
        task_run = (await it.seed.finish(task, **WINDOW))["id"]
        project, evaluator = await it.seed.seed_project(), await it.seed.seed_code_evaluator()
        others = [await it.seed.seed_task([evaluator], project_id=project) for _ in range(TASKS_PER_PAGE + 3)]
        listed = await _all_resources(it)

    assert listed[:2] == ["ax://spaces", "ax://tasks"]
    assert len(listed) == len(set(listed))
    wanted = {TASK.uri(task_id=one) for one in [task, *others]} | {TASK_RUN.uri(run_id=task_run)}
    assert set(listed[2:]) == wanted


@both_eras
async def test_an_unknown_resource_cursor_is_rejected(mode: str) -> None:
    async with agent(mode) as it:
        with pytest.raises(MCPError) as caught:
            await it.mcp.list_resources(cursor="made up")

    assert caught.value.error.code == INVALID_PARAMS


@both_eras
async def test_the_tasks_resource_has_pages_by_a_cursor_in_its_uri(mode: str) -> None:
    async with agent(mode) as it:
        project, evaluator = await it.seed.seed_project(), await it.seed.seed_code_evaluator()
        for _ in range(20):
            await it.seed.seed_task([evaluator], project_id=project)
        first = await it.read("ax://tasks")
        second = await it.read(f"ax://tasks?cursor={first['next_cursor']}")

    names = [task["name"] for task in [*first["tasks"], *second["tasks"]]]
    assert len(names) == len(set(names)) == 20


@both_eras
async def test_every_template_is_listed_and_every_argument_of_every_template_completes(mode: str) -> None:
    async with agent(mode) as it:
        task, task_run = await _task_with_a_run(it)
        evaluator = await it.seed.seed_code_evaluator("tone")
        templates = (await it.mcp.list_resource_templates()).resource_templates
        known = {"task_id": task, "run_id": task_run, "evaluator_id": evaluator}
        assert [template.uri_template for template in templates] == [p.template for p in PLACES if "{" in p.template]
        for place in PLACES:
            for argument in place.parameters:
                values = await _completed(it, place.template, argument, known[argument][:5])
                assert known[argument] in values, (place.name, argument)


@both_eras
async def test_completion_matches_names_and_is_empty_for_unknown_arguments(mode: str) -> None:
    async with agent(mode) as it:
        task, _ = await _task_with_a_run(it, name="Faithfulness of answers")
        assert await _completed(it, TASK.template, "task_id", "faithful") == [task]
        assert await _completed(it, TASK.template, "task_id", "zzz") == []
        assert await _completed(it, "test://other/{id}", "id", "") == []


@both_eras
async def test_an_unreachable_service_leaves_the_fixed_resources_and_fails_reads(mode: str) -> None:
    async def no_wait(_: float) -> None:
        return None

    async with (
        open_remote_client("http://127.0.0.1:9", None, is_engine=False, sleep=no_wait) as client,
        agent_of(client, mode) as it,
    ):
        listed = await _all_resources(it)
        with pytest.raises(MCPError) as caught:
            await it.read("ax://tasks")
        assert await _completed(it, TASK.template, "task_id", "") == []

    assert listed == ["ax://spaces", "ax://tasks"]
    assert caught.value.error.code == INTERNAL_ERROR


@pytest.mark.parametrize(
    "uri",
    ["ax://tasks/a/b", "ax://tasks//runs", "http://tasks/a", "ax://tasks/a?cursor=b", "ax://tasks?limit=3", "ax:"],
)
def test_an_unknown_resource_uri_matches_nothing(uri: str) -> None:
    assert parse_address(uri) is None


def test_a_resource_uri_keeps_hostile_values_in_their_segment() -> None:
    address = parse_address(TASK.uri(task_id="a/../b?c#d e"))

    assert address is not None
    assert address.place is TASK
    assert address.values == {"task_id": "a/../b?c#d e"}


async def _completed(it: Agent, template: str, argument: str, typed: str) -> list[str]:
    ref = ResourceTemplateReference(uri=template)
    result = await it.mcp.complete(ref, {"name": argument, "value": typed})
    return list(result.completion.values)


def _still(answer: object) -> object:
    """Remove what changes between two reads without any change of the resource."""
    if isinstance(answer, dict):
        return {key: _still(value) for key, value in answer.items() if not key.endswith("age") and key != "notes"}
    return [_still(item) for item in answer] if isinstance(answer, list) else answer
