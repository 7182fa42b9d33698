"""Subscribers are notified of changed task runs, tasks and lists; without subscribers nothing is polled."""

from __future__ import annotations

import anyio
import pytest

from evaltasks.api.tasks import UpdateTask
from evaltasks.face.addresses import RESULTS, TASK, TASK_RUN, TASK_RUNS, parse_address
from tests.support.agents import MODES, Agent, agent, subscribed
from tests.support.engines import WINDOW
from tests.support.judges import judge_server

# The older era's way is deprecated in the SDK, and the way that hosts of today use.
pytestmark = [
    pytest.mark.parametrize("mode", MODES),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]


async def _task(it: Agent) -> str:
    project = await it.seed.seed_project()
    await it.seed.seed_spans(project, 3)
    evaluator = await it.seed.seed_code_evaluator()
    return await it.seed.seed_task([evaluator], project_id=project)


async def test_a_changed_task_is_reported(mode: str) -> None:
    async with agent(mode) as it:
        task = await _task(it)
        async with subscribed(it, mode, TASK.uri(task_id=task)) as next_update:
            await it.backend.tasks.update(task, UpdateTask(name="renamed"))
            await next_update()


async def test_a_new_run_of_a_task_is_reported(mode: str) -> None:
    async with agent(mode) as it:
        task = await _task(it)
        async with subscribed(it, mode, TASK_RUNS.uri(task_id=task)) as next_update:
            await it.seed.trigger(task, **WINDOW)
            await next_update()


async def test_a_task_run_is_reported_on_progress_and_at_its_end(mode: str) -> None:
    async with judge_server() as judge, agent(mode) as it:
        judge.hold()
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 3)
        evaluator = await it.seed.seed_template_evaluator(judge.base_url)
        task = await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        task_run = (await it.seed.trigger(task, **WINDOW))["id"]
        await judge.wait_for_requests(3)
        async with (
            subscribed(it, mode, TASK_RUN.uri(run_id=task_run)) as next_update,
            subscribed(it, mode, RESULTS.uri(run_id=task_run)) as results_changed,
        ):
            judge.release()
            await next_update()
            await results_changed()
        assert (await it.seed.ended(task_run))["status"] == "COMPLETED"


async def test_a_deleted_task_is_reported(mode: str) -> None:
    async with agent(mode) as it:
        task = await _task(it)
        async with subscribed(it, mode, TASK.uri(task_id=task)) as next_update:
            await it.backend.tasks.delete(task)
            await next_update()


async def test_nothing_is_polled_without_subscribers(mode: str) -> None:
    async with agent(mode) as it:
        assert it.server is not None
        task = await _task(it)
        watched = it.server.subscriptions._watched
        assert watched == {}
        async with subscribed(it, mode, TASK.uri(task_id=task)):
            assert list(watched) == [TASK.uri(task_id=task)]
        with anyio.fail_after(5):
            while watched:
                await anyio.lowlevel.checkpoint()


async def test_a_foreign_uri_is_accepted_and_never_polled(mode: str) -> None:
    async with agent(mode) as it:
        assert it.server is not None
        assert parse_address("test://other") is None
        async with subscribed(it, mode, "test://other"):
            assert it.server.subscriptions._watched == {}
