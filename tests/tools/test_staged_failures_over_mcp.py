"""Task runs with staged failures as an agent sees them, in both protocol eras."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from evaltasks.engine.fault_injection import parse_fault_injection
from tests.support.agents import MODES, Agent, agent, text_of
from tests.support.engines import WINDOW

pytestmark = pytest.mark.parametrize("mode", MODES)


@asynccontextmanager
async def staged(mode: str, stage: str, **settings: Any) -> AsyncIterator[Agent]:
    """Yield an agent and a task `check` over three spans with an unreachable judge."""
    async with agent(mode, engine_options={"fault_injection": parse_fault_injection(stage)}, **settings) as it:
        project = await it.seed.seed_project("app")
        await it.seed.seed_spans(project, 3)
        evaluator = await it.seed.seed_template_evaluator("http://127.0.0.1:9/v1")
        await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "check", project_id=project)
        yield it


async def test_stuck_task_run_is_not_finished_after_any_wait_and_can_be_cancelled(mode: str) -> None:
    async with staged(mode, "stuck-pending", call_wait_seconds_max=0.2) as it:
        started = await it.answer("trigger_task_run", {"task": "check", "wait": True, **WINDOW})
        run_id = started["task_run"]["run_id"]
        on = started["next_call"]
        going_on = await it.call("wait_for_task_run", on["arguments"])
        waited = await it.answer("wait_for_task_run", {**on["arguments"], "timeout": 0.1})
        ended = await it.call("cancel_task_run", {"run_id": run_id, "force": True})
        after = await it.answer("wait_for_task_run", {"run_id": run_id})
    assert (started["outcome"], started["finished"], started["task_run"]["status"]) == (
        "still_running",
        False,
        "pending",
    )
    assert (on["tool"], on["arguments"]["run_id"]) == ("wait_for_task_run", run_id)
    assert "Not started yet" in text_of(going_on) and "not an error" not in text_of(going_on)
    assert (waited["outcome"], waited["finished"], waited["task_run"]["status"]) == ("timed_out", False, "pending")
    assert not ended.is_error and "cancelled" in text_of(ended)
    assert (after["outcome"], after["task_run"]["status"]) == ("finished", "cancelled")


async def test_bad_integration_ends_the_wait_with_a_cancelled_task_run(mode: str) -> None:
    async with staged(mode, "bad-integration=0.05") as it:
        answer = await it.answer("trigger_task_run", {"task": "check", "wait": True, **WINDOW})
    run = answer["task_run"]
    assert (answer["outcome"], run["status"]) == ("finished", "cancelled")
    assert (run["num_successes"], run["num_errors"], run["num_skipped"]) == (0, 0, 0)
    assert run.get("failure_reason") is None


async def test_delayed_indexing_completes_a_task_run_with_no_rows(mode: str) -> None:
    async with staged(mode, "delayed-indexing") as it:
        answer = await it.answer("trigger_task_run", {"task": "check", "wait": True, **WINDOW})
    run = answer["task_run"]
    assert (answer["outcome"], run["status"]) == ("finished", "completed")
    assert (run["num_successes"], run["num_errors"], run["num_skipped"]) == (0, 0, 0)


async def test_no_tool_has_a_fault_injection_argument_or_mentions_one(mode: str) -> None:
    async with staged(mode, "stuck-pending") as it:
        tools = (await it.mcp.list_tools()).tools
        words = await it.refusal("trigger_task_run", {"task": "check", "stage": "judge-failure", **WINDOW})
    assert "stage: " in words
    assert not [tool.name for tool in tools if "staged" in f"{tool.description}{tool.input_schema}"]
