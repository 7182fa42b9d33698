"""Trigger, wait for and cancel task runs, on a running engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from evaltasks.api.problems import NotFound
from evaltasks.client.errors import WrongValue
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools import (
    cancel_task_run,
    create_run_experiment_task,
    get_task_run,
    list_task_runs,
    trigger_task_run,
    wait_for_task_run,
)
from evaltasks.tools.context import Declined, Refused, ToolSettings
from tests.support.engines import WINDOW
from tests.support.judges import judge_server
from tests.support.tool_calls import ToolsInTest, tools_in_test


async def monitor(it: ToolsInTest, spans: int = 20, name: str = "monitor", **fields: Any) -> str:
    """Seed a code evaluation task on a project with spans."""
    project = await it.seed.seed_project()
    await it.seed.seed_spans(project, spans)
    return await it.seed.seed_task([await it.seed.seed_code_evaluator()], name=name, project_id=project, **fields)


@asynccontextmanager
async def slow_task(it: ToolsInTest, latency_seconds: float, spans: int = 40) -> AsyncIterator[str]:
    """Seed a task whose judge is slow."""
    async with judge_server(latency_seconds) as judge:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, spans)
        evaluator = await it.seed.seed_template_evaluator(judge.base_url)
        yield await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "slow", project_id=project)


async def generation(it: ToolsInTest, base_url: str, name: str = "generate") -> str:
    await it.seed.seed_dataset([{"question": f"q{i}"} for i in range(3)], name="questions")
    integration = await it.seed.seed_ai_integration(base_url)
    answer = await it.call(
        create_run_experiment_task.SPEC,
        name=name,
        dataset="questions",
        run_configuration={
            "experiment_type": "llm_generation",
            "ai_integration_id": integration,
            "model_name": "judge",
            "messages": [{"role": "user", "content": "{{question}}"}],
        },
    )
    return str(answer.task.task_id)


async def until(it: ToolsInTest, spec: Any, is_so: Callable[[Any], bool], **arguments: Any) -> None:
    """Poll until a condition holds, at most for a fixed number of polls."""
    with anyio.fail_after(10):
        while not is_so(await it.call(spec, **arguments)):  # noqa: ASYNC110  the outcome is only there to be polled
            await anyio.sleep(0.01)


# --- triggering ---------------------------------------------------------------------------------------------------
async def test_a_trigger_returns_at_once_and_its_next_call_waits_until_the_end() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        started = await it.call(trigger_task_run.SPEC, task="monitor", **WINDOW)
        assert (started.outcome, started.started, started.task_run.status) == ("started", True, "pending")
        assert started.next_call.tool == "wait_for_task_run"
        ended = await it.call(wait_for_task_run.SPEC, **started.next_call.arguments)
    assert (ended.outcome, ended.task_run.done, ended.task_run.num_successes) == ("finished", "20 of 20", 20)
    assert ended.task_run.data_start_time == "2026-03-01T00:00:00.000Z"


async def test_trigger_with_wait_reports_rising_progress_and_returns_the_finished_run() -> None:
    async with tools_in_test() as it, slow_task(it, 0.02, spans=60):
        answer = await it.call(trigger_task_run.SPEC, task="slow", wait=True, poll_interval=0.05, **WINDOW)
        values = [done for done, _, _ in it.progress]
    assert (answer.outcome, answer.task_run.done) == ("finished", "60 of 60")
    assert values == sorted(values)
    assert values[-1] == 60


async def test_a_wait_beyond_the_limit_of_one_call_is_resumed_by_its_next_call() -> None:
    async with tools_in_test() as it, slow_task(it, 0.05, spans=60):
        it.settings = ToolSettings(call_wait_seconds_max=0.05)
        answer = await it.call(trigger_task_run.SPEC, task="slow", wait=True, timeout=30, **WINDOW)
        calls = 1
        with anyio.fail_after(20):
            while not answer.finished:
                assert answer.outcome == "still_running"
                answer = await it.call(wait_for_task_run.SPEC, **answer.next_call.arguments)
                calls += 1
    assert calls > 1
    assert (answer.outcome, answer.task_run.done) == ("finished", "60 of 60")


async def test_the_first_run_without_a_window_covers_30_days_with_a_note() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        answer = await it.call(trigger_task_run.SPEC, task="monitor", wait=True)
        assert "first run" in it.notes
    assert answer.finished
    assert answer.task_run.data_start_time
    assert answer.task_run.data_end_time


async def test_max_spans_and_override_reach_the_engine() -> None:
    async with tools_in_test() as it:
        await monitor(it)

        async def counts(**arguments: Any) -> tuple[str, int, int]:
            run = (await it.call(trigger_task_run.SPEC, task="monitor", wait=True, **WINDOW, **arguments)).task_run
            return run.status, run.num_successes, run.num_skipped

        assert (await counts(max_spans="5"))[:2] == ("completed", 5)
        assert (await counts(override_evaluations=True))[:2] == ("completed", 20)
        status, successes, _ = await counts()
    assert (status, successes) == ("cancelled", 0)


async def test_a_dataset_task_evaluates_the_experiments_of_the_call() -> None:
    async with tools_in_test() as it:
        dataset = await it.seed.seed_dataset()
        first = await it.seed.seed_experiment(dataset, name="first")
        await it.seed.seed_experiment(dataset, ["an answer"] * 3, name="second")
        evaluator = await it.seed.seed_code_evaluator()
        await it.seed.seed_task([evaluator], name="t", dataset_id=dataset, experiment_ids=[first])
        answer = await it.call(trigger_task_run.SPEC, task="t", experiment_ids="second", wait=True)
        rows = await it.seed.ask("GET", f"/v2/experiments/{(await experiment(it, 'second'))}/runs")
    assert answer.task_run.num_successes == 3
    assert all(row["eval.is_answer.label"] for row in rows["experiment_runs"])


async def experiment(it: ToolsInTest, name: str) -> str:
    return (await it.client.resolve.experiment(name)).id


async def test_a_run_experiment_task_creates_its_experiment_and_triggers_the_chained_tasks() -> None:
    async with tools_in_test() as it, judge_server() as judge:
        await generation(it, judge.base_url)
        dataset = (await it.client.resolve.dataset("questions")).id
        seeded = await it.seed.seed_experiment(dataset, name="seeded")
        chained = await it.seed.seed_task(
            [await it.seed.seed_code_evaluator()], name="chained", dataset_id=dataset, experiment_ids=[seeded]
        )
        answer = await it.call(
            trigger_task_run.SPEC,
            task="generate", experiment_name="GPT 1", max_examples=2, evaluation_task_ids="chained",
            tracing_metadata={"run": 7}, wait=True,
        )  # fmt: skip
        assert (answer.outcome, answer.task_run.done) == ("finished", "2 of 2")
        assert answer.task_run.experiment.name == "GPT 1"
        await until(it, list_task_runs.SPEC, lambda listed: bool(listed.task_runs), task=chained, status="completed")


async def test_all_errors_of_a_trigger_are_reported_together_whatever_their_kind() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        with pytest.raises(ValidationErrors) as refused:
            await it.call(
                trigger_task_run.SPEC,
                task="monitor", max_spans=0, experiment_name="x", example_ids=["a"], max_examples=3,
                data_start_time="2026-03-02", data_end_time="2026-03-01",
            )  # fmt: skip
        assert (await it.call(list_task_runs.SPEC, task="monitor")).task_runs == []
    assert refused.value.subject == "trigger_task_run (code_evaluation on a project)"
    assert {issue.argument for issue in refused.value.issues} == {
        "max_spans", "experiment_name", "example_ids", "max_examples", "data_start_time",
    }  # fmt: skip


# --- the guard ----------------------------------------------------------------------------------------------------
async def test_the_same_task_run_is_not_started_twice_while_it_is_running() -> None:
    async with tools_in_test() as it, slow_task(it, 30):
        first = await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)
        again = await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)
        assert "No task run was started" in it.notes
        bare = await it.call(trigger_task_run.SPEC, task="slow")
        assert len((await it.call(list_task_runs.SPEC, task="slow")).task_runs) == 1
        other = await it.call(
            trigger_task_run.SPEC, task="slow", data_start_time="2026-03-05", data_end_time="2026-03-06"
        )
        assert "still running" in it.notes
        older = await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)
        assert (older.started, older.task_run.run_id) == (False, first.task_run.run_id), "it is not the newest one"
    assert (again.outcome, again.started, again.task_run.run_id) == ("already_running", False, first.task_run.run_id)
    assert bare.task_run.run_id == first.task_run.run_id
    assert (other.outcome, other.started) == ("started", True)


async def test_a_finished_task_run_can_be_started_again() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        first = await it.call(trigger_task_run.SPEC, task="monitor", wait=True, **WINDOW)
        second = await it.call(trigger_task_run.SPEC, task="monitor", wait=True, override_evaluations=True, **WINDOW)
    assert first.task_run.run_id != second.task_run.run_id


async def test_another_experiment_name_is_another_run() -> None:
    async with tools_in_test() as it, judge_server(30) as judge:
        await generation(it, judge.base_url)
        first = await it.call(trigger_task_run.SPEC, task="generate", experiment_name="one")
        run_id = first.task_run.run_id
        await until(it, get_task_run.SPEC, lambda got: got.task_run.experiment is not None, run_id=run_id)
        same = await it.call(trigger_task_run.SPEC, task="generate", experiment_name="one")
        other = await it.call(trigger_task_run.SPEC, task="generate", experiment_name="two")
    assert (same.started, same.task_run.run_id) == (False, first.task_run.run_id)
    assert other.started


# --- looking ------------------------------------------------------------------------------------------------------
async def test_runs_are_listed_newest_first_by_status_and_in_pages() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        ids = [
            (
                await it.call(trigger_task_run.SPEC, task="monitor", wait=True, override_evaluations=True, **WINDOW)
            ).task_run.run_id
            for _ in range(3)
        ]
        page = await it.call(list_task_runs.SPEC, task="monitor", limit=2)
        rest = await it.call(list_task_runs.SPEC, task="monitor", limit=2, cursor=page.next_cursor)
        assert [run.run_id for run in (*page.task_runs, *rest.task_runs)] == ids[::-1]
        assert (page.has_more, rest.has_more) == (True, False)
        assert len((await it.call(list_task_runs.SPEC, task="monitor", status="COMPLETED")).task_runs) == 3
        assert (await it.call(list_task_runs.SPEC, task="monitor", status="failed")).task_runs == []
        got = await it.call(get_task_run.SPEC, run_id=ids[0])
    assert (got.task_run.task_name, got.task_run.done, got.task_run.unexplained) == ("monitor", "20 of 20", None)


async def test_a_run_without_evaluations_is_reported_as_unexplained() -> None:
    async with tools_in_test() as it:
        await monitor(it)
        answer = await it.call(
            trigger_task_run.SPEC, task="monitor", data_start_time="2025-01-01", data_end_time="2025-01-02", wait=True
        )
    assert answer.task_run.unexplained or answer.task_run.failure_reason


@pytest.mark.parametrize("spec", [get_task_run.SPEC, wait_for_task_run.SPEC, cancel_task_run.SPEC])
async def test_an_unknown_run_id_is_not_found_and_a_hostile_one_is_never_sent(spec: Any) -> None:
    async with tools_in_test() as it:
        with pytest.raises(NotFound):
            await it.call(spec, run_id="VGFza1J1bjoxOmFCM2Q=")
        with pytest.raises(WrongValue):
            await it.call(spec, run_id="..")


# --- cancelling ---------------------------------------------------------------------------------------------------
async def test_cancelling_asks_first_stops_the_run_and_reports_what_was_evaluated() -> None:
    async with tools_in_test() as it, slow_task(it, 30):
        run_id = (await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)).task_run.run_id
        it.person.agrees = False
        with pytest.raises(Declined):
            await it.call(cancel_task_run.SPEC, run_id=run_id)
        assert not (await it.call(get_task_run.SPEC, run_id=run_id)).task_run.finished
        [(question, confirm_with)] = it.person.asked
        assert '"slow"' in question
        assert confirm_with == run_id
        it.person.agrees = True
        answer = await it.call(cancel_task_run.SPEC, run_id=run_id)
        assert (answer.task_run.status, answer.task_run.finished) == ("cancelled", True)
        assert "are kept" in answer.evaluated_so_far
        with pytest.raises(Refused, match="already cancelled"):
            await it.call(cancel_task_run.SPEC, run_id=run_id)


@pytest.mark.parametrize("how", ["force", "confirm"])
async def test_force_or_the_run_id_cancels_without_a_question(how: str) -> None:
    async with tools_in_test() as it, slow_task(it, 30):
        run_id = (await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)).task_run.run_id
        it.person.agrees = False
        arguments = {"force": True} if how == "force" else {"confirm": run_id}
        assert (await it.call(cancel_task_run.SPEC, run_id=run_id, **arguments)).task_run.status == "cancelled"
        assert it.person.asked == []


async def test_a_wrong_confirmation_cancels_nothing() -> None:
    async with tools_in_test() as it, slow_task(it, 30):
        run_id = (await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)).task_run.run_id
        assert set(await it.issues(cancel_task_run.SPEC, run_id=run_id, confirm="yes")) == {"confirm"}
        assert not (await it.call(get_task_run.SPEC, run_id=run_id)).task_run.finished


async def test_ending_a_wait_does_not_change_the_run() -> None:
    async with tools_in_test() as it, slow_task(it, 30):
        run_id = (await it.call(trigger_task_run.SPEC, task="slow", **WINDOW)).task_run.run_id
        with anyio.move_on_after(0.05) as scope:
            await it.call(wait_for_task_run.SPEC, run_id=run_id)
        assert scope.cancelled_caught
        assert not (await it.call(get_task_run.SPEC, run_id=run_id)).task_run.finished
