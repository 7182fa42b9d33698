"""Every task operation through a real MCP client and server, in both protocol eras."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.agents import MODES, Agent, agent
from tests.support.engines import WINDOW
from tests.support.judges import judge_server

pytestmark = pytest.mark.parametrize("mode", MODES)


async def world(it: Agent, spans: int = 20) -> dict[str, str]:
    project = await it.seed.seed_project("support-bot")
    await it.seed.seed_spans(project, spans)
    evaluator = await it.seed.seed_code_evaluator("Regex")
    return {"project": project, "evaluator": evaluator}


async def monitor(it: Agent, **fields: Any) -> str:
    ids = await world(it)
    return await it.seed.seed_task([ids["evaluator"]], name="monitor", project_id=ids["project"], **fields)


async def test_a_task_is_created_by_each_of_the_three_tools(mode: str) -> None:
    async with agent(mode) as it, judge_server() as judge:
        await world(it)
        await it.seed.seed_dataset(name="questions")
        integration = await it.seed.seed_ai_integration(judge.base_url)
        evaluation = {"task_type": "code_evaluation", "project": "support-bot", "evaluators": ["Regex"]}
        configuration = {
            "experiment_type": "llm_generation", "ai_integration_id": integration, "model_name": "gpt-4o",
            "messages": [{"role": "user", "content": "{{input}}"}],
        }  # fmt: skip
        one = await it.answer("create_task", {"name": "one", **evaluation})
        two = await it.answer("create_evaluation_task", {"name": "two", **evaluation})
        three = await it.answer(
            "create_run_experiment_task",
            {"name": "three", "dataset": "questions", "run_configuration": configuration},
        )
        listed = await it.answer("list_tasks", {"limit": 15})
    assert [answer["task"]["type"] for answer in (one, two, three)] == [
        "code_evaluation", "code_evaluation", "run_experiment",
    ]  # fmt: skip
    assert {task["name"] for task in listed["tasks"]} == {"one", "two", "three"}
    assert any("mustache is used" in note for note in three["notes"])
    assert "project" not in three["task"], "nulls are dropped"


async def test_all_errors_of_a_call_reach_the_model_as_one_text(mode: str) -> None:
    async with agent(mode) as it:
        await world(it)
        words = await it.refusal(
            "create_evaluation_task",
            {
                "name": "x", "task_type": "code_evaluation", "project": "support-bot", "evaluators": ["Regex"],
                "experiment_ids": "e", "sampling_rate": 3, "colour": "red",
            },
        )  # fmt: skip
    assert words.startswith("3 problems with create_evaluation_task (code_evaluation on a project): 1. colour:")
    assert "experiment_ids: only for dataset tasks; remove it." in words


async def test_get_task_takes_a_name_or_an_id_and_lists_candidates_for_an_unknown_name(mode: str) -> None:
    async with agent(mode) as it:
        id_ = await monitor(it)
        by_name = await it.answer("get_task", {"task": "monitor"})
        by_id = await it.answer("get_task", {"task": id_})
        words = await it.refusal("get_task", {"task": "Monitor"})
    assert by_name == by_id
    assert id_ in words


async def test_a_task_is_updated_and_its_filter_cleared(mode: str) -> None:
    async with agent(mode) as it:
        await monitor(it, query_filter="span_kind = 'LLM'")
        answer = await it.answer(
            "update_task", {"task": "monitor", "name": "monitor 2", "sampling_rate": "0.5", "query_filter": ""}
        )
        words = await it.refusal("update_task", {"task": "monitor 2"})
    assert {change["field"] for change in answer["changes"]} == {"name", "sampling_rate", "query_filter"}
    assert "query_filter" not in answer["task"]
    assert "no fields to update" in words


async def test_deleting_without_a_person_needs_the_confirmation_named_in_the_refusal(mode: str) -> None:
    async with agent(mode) as it:
        await monitor(it)
        words = await it.refusal("delete_task", {"task": "monitor"})
        assert 'confirm="monitor"' in words
        answer = await it.answer("delete_task", {"task": "monitor", "confirm": "monitor"})
        assert answer["deleted"]
        assert (await it.answer("list_tasks"))["tasks"] == []


@pytest.mark.parametrize("person", ["accept", "decline"])
async def test_deleting_asks_the_person_where_one_can_be_asked(mode: str, person: str) -> None:
    async with agent(mode, person=person) as it:
        await monitor(it)
        result = await it.call("delete_task", {"task": "monitor"})
        left = (await it.answer("list_tasks"))["tasks"]
    assert bool(result.is_error) is (person == "decline")
    assert len(left) == (1 if person == "decline" else 0)
    assert "0 task runs" in it.questions[0]


async def test_force_deletes_without_a_question(mode: str) -> None:
    async with agent(mode, person="decline") as it:
        await monitor(it)
        assert (await it.answer("delete_task", {"task": "monitor", "force": True}))["deleted"]
    assert it.questions == []


async def test_a_task_run_is_triggered_waited_for_listed_and_read(mode: str) -> None:
    async with agent(mode) as it:
        await monitor(it)
        started = await it.answer("trigger_task_run", {"task": "monitor", "max_spans": 10, **WINDOW})
        ended = await it.answer(started["next_call"]["tool"], started["next_call"]["arguments"])
        run_id = ended["task_run"]["run_id"]
        got = await it.answer("get_task_run", {"run_id": run_id})
        listed = await it.answer("list_task_runs", {"task": "monitor", "status": "completed"})
    assert (started["outcome"], ended["outcome"]) == ("started", "finished")
    assert (got["task_run"]["status"], got["task_run"]["done"]) == ("completed", "10 of 10")
    assert [run["run_id"] for run in listed["task_runs"]] == [run_id]


async def test_a_wait_returns_within_its_limit_reports_rising_progress_and_can_be_continued(mode: str) -> None:
    async with agent(mode, call_wait_seconds_max=0.3) as it, judge_server(0.05) as judge:
        ids = await world(it, spans=200)
        evaluator = await it.seed.seed_template_evaluator(judge.base_url, "Judge")
        await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "judged", project_id=ids["project"])
        answer = await it.answer("trigger_task_run", {"task": "judged", "wait": True, "timeout": 50, **WINDOW})
        assert answer["outcome"] == "still_running"
        assert answer["next_call"]["arguments"]["timeout"] < 50
        # Each call has a separate progress token; its values only increase.
        values = [value for value, _, _ in it.progress]
        assert values == sorted(values)
        assert len(set(values)) == len(values)
        for _ in range(100):
            if answer["finished"]:
                break
            answer = await it.answer(answer["next_call"]["tool"], answer["next_call"]["arguments"])
    assert answer["task_run"]["done"] == "200 of 200"


async def test_cancelling_needs_consent_and_keeps_what_was_evaluated(mode: str) -> None:
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(agent(mode, person="accept"))
        judge = await stack.enter_async_context(judge_server(30))
        ids = await world(it)
        evaluator = await it.seed.seed_template_evaluator(judge.base_url, "Judge")
        await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "judged", project_id=ids["project"])
        started = await it.answer("trigger_task_run", {"task": "judged", **WINDOW})
        answer = await it.answer("cancel_task_run", {"run_id": started["task_run"]["run_id"]})
        words = await it.refusal("cancel_task_run", {"run_id": started["task_run"]["run_id"], "force": True})
    assert answer["task_run"]["status"] == "cancelled"
    assert "and are kept" in answer["evaluated_so_far"]
    assert "already cancelled" in words
    assert len(it.questions) == 1


async def test_reaching_the_timeout_of_the_whole_wait_is_reported_as_timed_out(mode: str) -> None:
    async with agent(mode) as it, judge_server(30) as judge:
        ids = await world(it)
        evaluator = await it.seed.seed_template_evaluator(judge.base_url, "Judge")
        await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "judged", project_id=ids["project"])
        answer = await it.answer("trigger_task_run", {"task": "judged", "wait": True, "timeout": 0.2, **WINDOW})
    assert (answer["outcome"], answer["finished"]) == ("timed_out", False)
    assert answer["next_call"]["tool"] == "get_task_run"
