"""Requests are strict, and replies of a newer service are accepted.

Two rules over every model of the operations table, and for each resource a reply as a newer AX might send it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError

from evaltasks.api.ai_integrations import ListAiIntegrations
from evaltasks.api.annotation_configs import ListAnnotationConfigs
from evaltasks.api.evaluator_kinds import CustomCodeConfig, OtherCodeConfig
from evaltasks.api.evaluators import CreateEvaluatorVersion, EvaluatorVersion, ListEvaluatorVersions
from evaltasks.api.integrations import ListIntegrations
from evaltasks.api.operations import OPERATIONS, Operation
from evaltasks.api.projects import ListProjects
from evaltasks.api.run_configurations import LlmGeneration, OtherConfiguration
from evaltasks.api.spans import ListSpans
from evaltasks.api.task_runs import ListTaskRuns
from evaltasks.api.tasks import CreateTask, ListTasks, Task
from evaltasks.client.caller import Caller
from evaltasks.client.client import Client
from evaltasks.client.retries import RetryBudget
from tests.support.agents import MODES, agent_of
from tests.support.answers import NEVER_SEEN, at, whole_answers, whole_bodies
from tests.support.transports import MOMENT

REPLIES = [row for row in OPERATIONS if row.reply is not None]
BODIES = [row for row in OPERATIONS if row.body is not None]


class Newer(httpx2.AsyncBaseTransport):
    """A service that answers every path with what stands under it, or with `body`."""

    def __init__(self, bodies: Mapping[str, Any] | None = None) -> None:
        self.body: Any = None
        self.bodies = bodies or {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=self.bodies.get(request.url.path, self.body))


@asynccontextmanager
async def caller_of(service: Newer) -> AsyncIterator[Caller]:
    async with httpx2.AsyncClient(base_url="https://ax.test", transport=service) as http:
        yield Caller(http, "ax.test", 5, RetryBudget())


@asynccontextmanager
async def client_of(bodies: Mapping[str, Any]) -> AsyncIterator[Client]:
    async with caller_of(Newer(bodies)) as caller:
        yield Client(caller, is_engine=False)


# --- the laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: row.name)
async def test_replies_with_unknown_fields_and_enum_values_are_accepted(row: Operation[..., Any]) -> None:
    service = Newer()
    found = whole_answers(row.reply)  # type: ignore[type-var]  # they all have one
    assert found, "no answer of this model could be made up"
    async with caller_of(service) as caller:

        async def reads(body: Any) -> Any:
            service.body = body
            return json.loads((await caller.call(row, dict.fromkeys(row.parameters, "x"))).model_dump_json())

        for whole in found:
            await reads(whole.body)
            for place in whole.objects:
                await reads(whole.newer(objects=[place]))
            for place in whole.words:
                assert at(await reads(whole.newer(words=[place])), place) == NEVER_SEEN, (
                    f"{place} is not shown as it is"
                )
            await reads(whole.newer(objects=whole.objects, words=whole.words))


@pytest.mark.parametrize("row", BODIES, ids=lambda row: row.name)
def test_requests_with_unknown_fields_or_enum_values_are_rejected(row: Operation[..., Any]) -> None:
    model: Any = row.body

    def issues(body: Any) -> set[tuple[Any, ...]]:
        try:
            model.model_validate_json(json.dumps(body), strict=True)
        except ValidationError as error:
            return {(issue["loc"], issue["type"]) for issue in error.errors()}
        return set()

    for whole in whole_bodies(model):
        before = issues(whole.body)
        taken = [place for place in whole.objects if not issues(whole.newer(objects=[place])) - before]
        taken += [place for place in whole.words if not issues(whole.newer(words=[place])) - before]
        assert taken == []


def test_every_variant_of_models_used_in_both_directions_is_tested() -> None:
    """Or they would hold of nothing."""

    def words_of(model: type[BaseModel]) -> set[tuple[int | str, ...]]:
        return {place for whole in whole_answers(model) for place in whole.words}

    task, version = words_of(Task), words_of(EvaluatorVersion)
    for inside in (
        ("run_configuration", "experiment_type"),
        ("run_configuration", "messages", 0, "role"),
        ("run_configuration", "input_variable_format"),
        ("query_filters", "filters", 0, "id"),
        ("evaluators", 0, "query_mappings", 0, "query_ids", 0),
    ):
        assert inside in task
    for inside in (
        ("template_config", "direction"),
        ("template_config", "data_granularity"),
        ("code_config", "type"),
        ("code_config", "managed_evaluator"),
        ("code_config", "static_params", 0, "type"),
        ("code_config", "data_granularity"),
    ):
        assert inside in version
    kinds = {whole.body["run_configuration"].get("experiment_type") for whole in whole_answers(Task)}
    assert {"LLM_GENERATION", "TEMPLATE_EVALUATION", "AGENT_CALL"} <= kinds


# --- resources, as a newer AX might answer them ----------------------------------------------------------------------

ENDS = {"created_at": MOMENT, "updated_at": MOMENT, "created_by_user_id": "VXNlcjox", "a_newer_field": [1]}
LAST_PAGE = {"has_more": False, "total": 7}
PLAIN = {"id": "t1", "name": "plain", "type": "TEMPLATE_EVALUATION", **ENDS}
TASKS = [
    PLAIN,
    {
        **PLAIN, "id": "t2", "name": "generate", "type": "RUN_EXPERIMENT", "dataset_id": "d",
        "run_configuration": {
            "experiment_type": "LLM_GENERATION", "ai_integration_id": "a", "input_variable_format": "JINJA",
            "messages": [{"role": "DEVELOPER", "content": "Answer.", "audio": None}], "reasoning": {"effort": "low"},
        },
    },
    {
        **PLAIN, "id": "t3", "name": "simulate", "type": "RUN_EXPERIMENT", "dataset_id": "d",
        "run_configuration": {"experiment_type": "SIMULATION", "turns": 5, "persona": {"mood": "cross"}},
    },
    {
        **PLAIN, "id": "t4", "name": "whole turns", "type": "GUARDRAIL", "project_id": "p",
        "query_filters": {"filters": [{"id": "F", "filter": "name = 'x'", "on": "SPAN"}], "expression": "F"},
        "evaluators": [
            {
                "evaluator_id": "e", "evaluator_name": "e", "weight": 2,
                "query_mappings": [{"variable_name": "v", "query_ids": ["F", "A"], "attribute_path": "output"}],
            }
        ],
    },
]  # fmt: skip
LLM_CONFIG = {"ai_integration_id": "a", "model_name": "m", "fallbacks": ["b"]}
VERSION = {"evaluator_id": "e", "commit_hash": "0" * 40, "commit_message": "c", **ENDS}
VERSIONS = [
    {
        **VERSION, "id": "v1", "type": "TEMPLATE",
        "template_config": {
            "name": "tone", "template": "{output}", "include_explanations": True, "direction": "TARGET",
            "data_granularity": "TURN", "use_function_calling": True, "llm_config": LLM_CONFIG, "rails": [],
        },
    },
    {
        **VERSION, "id": "v2", "type": "CODE",
        "code_config": {
            "type": "MANAGED", "name": "similar", "managed_evaluator": "EMBEDDING_DISTANCE", "variables": ["output"],
            "static_params": [{"name": "to", "type": "EMBEDDING", "default_value": ["1", "2"], "unit": None}],
        },
    },
    {
        **VERSION, "id": "v3", "type": "CODE",
        "code_config": {"type": "WASM", "name": "fast", "variables": ["output"], "module": "AGFzbQ=="},
    },
]  # fmt: skip


async def test_tasks_with_unknown_run_configurations_are_listed_unchanged() -> None:
    bodies = {"/v2/tasks": {"tasks": TASKS, "pagination": LAST_PAGE}, "/v2/tasks/t3": TASKS[2]}
    async with client_of(bodies) as client:
        plain, generate, simulate, turns = (await client.tasks.list(ListTasks())).tasks
        alone = await client.tasks.get("t3")
    configuration = generate.run_configuration
    assert isinstance(configuration, LlmGeneration)
    assert (configuration.messages[0].role, configuration.input_variable_format) == ("DEVELOPER", "JINJA")
    assert not configuration.messages[0].role.is_known
    assert isinstance(simulate.run_configuration, OtherConfiguration)
    assert simulate.run_configuration.model_dump() == TASKS[2]["run_configuration"]
    assert alone == simulate and plain.run_configuration is None
    assert turns.query_filters is not None and turns.query_filters.filters[0].id == "F"
    assert [str(id_) for id_ in (turns.evaluators[0].query_mappings or [])[0].query_ids] == ["F", "A"]
    assert (turns.type, turns.evaluates) == ("GUARDRAIL", True)


async def test_evaluator_versions_of_unknown_kinds_are_accepted() -> None:
    bodies = {"/v2/evaluators/e/versions": {"evaluator_versions": VERSIONS, "pagination": LAST_PAGE}}
    async with client_of(bodies) as client:
        page = await client.evaluators.list_versions("e", ListEvaluatorVersions())
    template, managed, other = page.evaluator_versions
    assert template.template_config is not None
    assert (template.template_config.direction, template.granularity, template.evaluation_name) == (
        "TARGET", "TURN", "tone",
    )  # fmt: skip
    assert managed.code_config is not None and json.loads(managed.code_config.model_dump_json())["static_params"] == [
        {"name": "to", "type": "EMBEDDING", "default_value": ["1", "2"]}
    ]
    assert isinstance(other.code_config, OtherCodeConfig)
    assert (other.evaluation_name, other.code_config.model_dump()["module"]) == ("fast", "AGFzbQ==")


async def test_other_resources_of_a_newer_service_are_accepted() -> None:
    def page(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
        return {name: [{"id": "x", "name": "n", "space_id": "s", **ENDS, **item}], "pagination": LAST_PAGE}

    span = {
        "context": {"trace_id": "t", "span_id": "s", "flags": 1}, "kind": "MEMORY", "status_code": "PARTIAL",
        "start_time": MOMENT, "end_time": MOMENT, "links": [],
        "evaluations": [{"name": "tone", "label": "good", "confidence": 0.5}],
    }  # fmt: skip
    bodies = {
        "/v2/projects": page("projects", {"project_type": "GALAXY"}),
        "/v2/ai-integrations": page("ai_integrations", {"provider": "XAI", "auth_type": "MTLS", "region": "eu"}),
        "/v2/integrations": page("integrations", {"type": "MEMORY", "config": {"endpoint": "x", "depth": 2}}),
        "/v2/annotation-configs": page("annotation_configs", {"type": "RANKED", "ranks": 3}),
        "/v2/tasks/t/runs": page("task_runs", {"task_id": "t", "status": "PAUSED"}),
        "/v2/spans": page("spans", span),
    }
    async with client_of(bodies) as client:
        project = (await client.projects.list(ListProjects())).projects[0]
        judge = (await client.ai_integrations.list(ListAiIntegrations())).ai_integrations[0]
        integration = (await client.integrations.list(ListIntegrations())).integrations[0]
        config = (await client.annotation_configs.list(ListAnnotationConfigs())).annotation_configs[0]
        task_run = (await client.tasks.list_task_runs("t", ListTaskRuns())).task_runs[0]
        found = (await client.spans.list(ListSpans(project_id="p"))).spans[0]
    assert [project.project_type, judge.provider, judge.auth_type, integration.type, config.type] == [
        "GALAXY", "XAI", "MTLS", "MEMORY", "RANKED",
    ]  # fmt: skip
    assert (task_run.status, task_run.finished, found.kind, found.evaluations[0].label) == (
        "PAUSED", False, "MEMORY", "good",
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
async def test_tools_show_the_tasks_of_a_newer_service(mode: str) -> None:
    bodies = {
        "/v2/tasks": {"tasks": TASKS, "pagination": LAST_PAGE},
        **{f"/v2/tasks/{task['id']}": task for task in TASKS},
    }
    async with client_of(bodies) as client, agent_of(client, mode) as it:
        listed = await it.answer("list_tasks", {})
        generate = await it.answer("get_task", {"task": "generate"})
        simulate = await it.answer("get_task", {"task": "simulate"})
    assert [task["name"] for task in listed["tasks"]] == ["plain", "generate", "simulate", "whole turns"]
    assert "developer" in json.dumps(generate).lower() and "jinja" in json.dumps(generate).lower()
    assert "cross" in json.dumps(simulate) and "simulation" in json.dumps(simulate).lower()


def test_unknown_values_accepted_in_replies_are_rejected_in_requests() -> None:
    for task in TASKS[1:]:
        body = {
            "name": "n",
            "type": "RUN_EXPERIMENT",
            **{name: task[name] for name in task if name in CreateTask.model_fields},
        }
        with pytest.raises(ValidationError):
            CreateTask.model_validate(body)
    for version in VERSIONS:
        config = {name: part for name, part in version.items() if name.endswith("_config")}
        with pytest.raises(ValidationError):
            CreateEvaluatorVersion.model_validate({"commit_message": "c", **config})
        # Nor does the engine take them for its own, when it reads what it stored.
        with pytest.raises(ValidationError):
            EvaluatorVersion.model_validate(version)


def test_a_known_enum_value_in_a_reply_becomes_its_member() -> None:
    version = {**VERSIONS[2], "code_config": {"type": "custom", "name": "n", "code": "c", "variables": ["v"]}}
    assert isinstance(EvaluatorVersion.model_validate(version).code_config, CustomCodeConfig)
