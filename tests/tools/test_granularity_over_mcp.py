"""Evaluation of traces and sessions through the tools, from creating the evaluator to reading the results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.agents import Agent, agent
from tests.support.engines import WINDOW
from tests.support.groups import put, span
from tests.support.judges import judge_server

LLM = {"id": "A", "filter": "span_kind = 'LLM'"}
TOOL = {"id": "B", "filter": "span_kind = 'TOOL'"}
OUTPUT = {"variable_name": "output", "attribute_path": "attributes.output.value"}


async def world(it: Agent) -> None:
    project = await it.seed.seed_project("support-bot")
    spans = [
        span("one", 0, "[[label: good]] hello", input="hi", session="monday"),
        span("one", 1, "search", kind="TOOL", parent="one-0"),
        span("two", 2, "[[label: good]] bye", input="thanks", session="monday"),
        span("three", 3, "[[label: bad]] what?", input="hm", session="tuesday"),
        span("three", 4, "search", kind="TOOL", parent="three-3"),
    ]
    await put(it.seed, project, spans)


async def made(it: Agent, base_url: str, granularity: str, template: str) -> dict[str, Any]:
    integration = await it.seed.seed_ai_integration(base_url)
    return await it.answer(
        "create_evaluator",
        {
            "name": "tone", "template": template, "choices": {"good": 1, "bad": 0}, "data_granularity": granularity,
            "ai_integration": integration,
        },
    )  # fmt: skip


async def results(it: Agent, task: str) -> dict[str, Any]:
    run = await it.answer("trigger_task_run", {"task": task, "wait": True, **WINDOW})
    assert run["task_run"]["status"] == "completed"
    return await it.answer("task_run_results", {"run_id": run["task_run"]["run_id"]})


def rows_of(answer: dict[str, Any]) -> list[tuple[str, str, float]]:
    (one,) = answer["evaluators"]
    return sorted((row["row_kind"], row["row_id"], row["score"]) for row in one["worst_rows"])


async def test_traces_are_filtered_mapped_judged_and_shown_as_rows() -> None:
    async with agent() as it, judge_server() as judge:
        await world(it)
        await made(it, judge.base_url, "trace", "{output}")
        created = await it.answer(
            "create_evaluation_task",
            {
                "name": "watch", "task_type": "template_evaluation", "project": "support-bot",
                "evaluators": [{"evaluator_id": "tone", "query_mappings": [{**OUTPUT, "query_ids": ["a"]}]}],
                "query_filters": {
                    "filters": [LLM, TOOL],
                    "expression": "A and B",
                },
            },
        )  # fmt: skip
        assert created["task"]["query_filters"]["expression"] == "A and B"
        (attached,) = created["task"]["evaluators"]
        assert attached["query_mappings"] == [{**OUTPUT, "query_ids": ["A"]}]
        answer = await results(it, "watch")
        assert rows_of(answer) == [("trace", "one", 1.0), ("trace", "three", 0.0)]
        assert sorted(request.first_prompt for request in judge.requests) == [
            "[[label: bad]] what?", "[[label: good]] hello"
        ]  # fmt: skip
        changed = await it.answer(
            "update_task", {"task": "watch", "query_filters": {"filters": [LLM, TOOL], "expression": "A AND NOT B"}}
        )
        assert changed["task"]["query_filters"]["expression"] == "A AND NOT B"
        shown = (await it.answer("get_task", {"task": "watch"}))["task"]
        assert shown["query_filters"] == changed["task"]["query_filters"]
        refused = await it.refusal("update_task", {"task": "watch", "query_filters": [TOOL]})
    assert "query_ids names A" in refused


async def test_sessions_are_judged_by_their_conversation_in_a_task_from_create_task() -> None:
    async with agent() as it, judge_server() as judge:
        await world(it)
        await made(it, judge.base_url, "session", "Is this fine? {conversation}")
        await it.answer(
            "create_task",
            {
                "name": "moods", "task_type": "template_evaluation", "project": "support-bot",
                "evaluators": ["tone"],
            },
        )  # fmt: skip
        answer = await results(it, "moods")
        assert rows_of(answer) == [("session", "monday", 1.0), ("session", "tuesday", 0.0)]
        assert any('"input": "hi"' in request.first_prompt for request in judge.requests)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"query_filters": {"filters": [{"id": "A", "filter": "name = 'x'"}], "expression": "A AND"}}, "expression"),
        ({"query_filter": "name = 'x'", "query_filters": [{"id": "A", "filter": "name = 'y'"}]}, "query_filter"),
    ],
)
async def test_structural_errors_of_a_configuration_are_reported_to_the_agent(
    fields: dict[str, Any], said: str
) -> None:
    async with agent() as it, judge_server() as judge:
        await world(it)
        await made(it, judge.base_url, "trace", "{output}")
        body = {"name": "x", "task_type": "template_evaluation", "project": "support-bot", "evaluators": ["tone"]}
        assert said in await it.refusal("create_evaluation_task", {**body, **fields})
