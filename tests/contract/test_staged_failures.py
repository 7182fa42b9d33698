"""Each staged failure as a client sees it: status, counts, times and reason, as AX shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from evaltasks.api.spans import ListSpans
from evaltasks.api.task_runs import ListTaskRunRows, ListTaskRuns, TaskRun, TriggerTaskRun
from evaltasks.api.traces import ListTraces
from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client, open_remote_client
from evaltasks.engine.fault_injection import parse_fault_injection
from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.backends import BACKENDS, KEY, served
from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine
from tests.support.groups import put, span
from tests.support.judges import judge_server

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

UNREACHABLE_JUDGE = "http://127.0.0.1:9/v1"
HOUR = 3600.0
NOTHING_AT_ONCE = ExecutorLimits(task_runs_max=0, poll_seconds=0.02, continuous_seconds=0.0)
GONE_QUIET = ExecutorLimits(poll_seconds=0.02, continuous_seconds=0.0, quiet_seconds=60.0)


@dataclass
class World:
    """An engine with injected faults and a clock that the test sets, and a client of it."""

    client: Client
    seed: EngineInTest
    clock: ManualClock

    async def trigger(self, task: str, **options: Any) -> TaskRun:
        return await self.client.tasks.trigger(task, TriggerTaskRun(**options))

    async def ended(self, run_id: str) -> TaskRun:
        await self.seed.ended(run_id)
        return await self.client.task_runs.get(run_id)

    async def started(self, run_id: str) -> TaskRun:
        """Return the task run once the executor works on it and sleeps (one task for it, one that renews leases)."""
        with anyio.fail_after(10):
            await self.clock.until_sleeping(2)
        return await self.client.task_runs.get(run_id)

    async def judged_task(self, spans: int = 5, **fields: object) -> str:
        project = await self.seed.seed_project()
        await self.seed.seed_spans(project, spans)
        evaluator = await self.seed.seed_template_evaluator(UNREACHABLE_JUDGE)
        return await self.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project, **fields)

    async def code_task(self, project: str, granularity: str | None = None, **fields: object) -> str:
        evaluator = await self.seed.seed_code_evaluator(granularity=granularity)
        return await self.seed.seed_task([evaluator], project_id=project, **fields)

    async def rows(self, run_id: str) -> list[Any]:
        return [row async for row in self.client.task_runs.all_rows(run_id, ListTaskRunRows())]


@asynccontextmanager
async def world(
    backend: str, stage: str, path: str | Path = ":memory:", limits: ExecutorLimits = QUICK
) -> AsyncIterator[World]:
    clock = ManualClock()
    async with engine(path, fault_injection=parse_fault_injection(stage), clock=clock, limits=limits) as it:
        if backend == "in_process":
            async with open_app_client(it.engine.app, default_space="default") as client:
                yield World(client, it, clock)
            return
        async with served(it.engine.app) as address, open_remote_client(address, KEY) as client:
            yield World(client, it, clock)


def wire(task_run: TaskRun) -> dict[str, Any]:
    """The fields of a task run that are the same for every client."""
    reported = (
        "status",
        "num_successes",
        "num_errors",
        "num_skipped",
        "failure_reason",
        "experiment_id",
        "num_selected",
    )
    return {name: getattr(task_run, name) for name in reported}


def cancelled(**reported: object) -> dict[str, Any]:
    nothing = {"num_successes": 0, "num_errors": 0, "num_skipped": 0, "failure_reason": None}
    return {"status": "CANCELLED", **nothing, "experiment_id": None, "num_selected": None, **reported}


def lasted(task_run: TaskRun) -> timedelta:
    assert task_run.run_started_at is not None and task_run.run_finished_at is not None
    return task_run.run_finished_at - task_run.run_started_at


# --- indexing ---------------------------------------------------------------------------------------------------------


async def test_delayed_indexing_completes_with_nothing_until_the_lag_is_over(backend: str) -> None:
    async with world(backend, "delayed-indexing") as it:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 3)
        task = await it.code_task(project)
        early = await it.ended((await it.trigger(task, **WINDOW)).id)
        await it.clock.turn(2 * HOUR - 1)
        still = await it.ended((await it.trigger(task, **WINDOW)).id)
        await it.clock.turn(1)
        late = await it.ended((await it.trigger(task, **WINDOW)).id)
    for empty in (early, still):
        assert wire(empty) == cancelled(status="COMPLETED", num_selected=0)
    assert (late.status, late.num_successes) == ("COMPLETED", 3)


async def test_delayed_indexing_keeps_spans_from_filters_of_every_kind(backend: str) -> None:
    async with world(backend, "delayed-indexing=60") as it:
        project = await it.seed.seed_project()
        await put(it.seed, project, [span("t", 0, "answer", id="old")])
        await it.clock.turn(60)
        await put(it.seed, project, [span("t", 1, "answer new", id="new"), span("u", 2, "answer new")])
        spans = await it.code_task(project, query_filter="attributes.output.value CONTAINS 'answer'")
        filters = {"filters": [{"id": "A", "filter": "attributes.output.value CONTAINS 'new'"}]}
        traces = await it.code_task(project, "TRACE", query_filters=filters)
        some = await it.code_task(project, "TRACE")
        before = [await it.ended((await it.trigger(task, **WINDOW)).id) for task in (spans, traces, some)]
        await it.clock.turn(60)
        options = {**WINDOW, "override_evaluations": True}
        after = [await it.ended((await it.trigger(task, **options)).id) for task in (spans, traces, some)]
    assert [one.num_successes for one in before] == [1, 0, 1]
    assert [one.num_successes for one in after] == [3, 2, 2]


async def test_lists_lag_longer_but_a_trace_id_finds_its_spans_at_once(backend: str) -> None:
    window = {"start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-02T00:00:00Z"}
    async with world(backend, "delayed-indexing") as it:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 2)
        whole = {"project_id": project, **window}
        by_id = {**whole, "filter": "context.trace_id = 'trace-00001'"}

        async def seen() -> list[int]:
            return [
                len((await it.client.spans.list(ListSpans.model_validate(whole))).spans),
                len((await it.client.traces.list(ListTraces.model_validate(whole))).traces),
                len((await it.client.spans.list(ListSpans.model_validate(by_id))).spans),
                len((await it.client.traces.list(ListTraces.model_validate(by_id))).traces),
            ]

        assert await seen() == [0, 0, 1, 1]
        await it.clock.turn(2 * HOUR)
        assert await seen() == [0, 0, 1, 1]
        await it.clock.turn(10 * HOUR)
        assert await seen() == [2, 2, 1, 1]


@pytest.mark.parametrize("granularity", [None, "TRACE"])
async def test_continuous_task_evaluates_delayed_spans_later_each_once(backend: str, granularity: str | None) -> None:
    async with world(backend, "delayed-indexing=100", limits=GONE_QUIET) as it:
        project = await it.seed.seed_project()
        task = await it.code_task(project, granularity, is_continuous=True)
        other = await it.seed.seed_project()
        probe = await it.code_task(other)

        async def taken(expected: int) -> list[str]:
            """The rows of all its task runs, after the executor has polled."""
            with anyio.fail_after(10):
                while True:
                    turns = it.seed.engine.executor.poll_count
                    await it.ended((await it.trigger(probe, **WINDOW)).id)
                    runs = (await it.client.tasks.list_task_runs(task, ListTaskRuns())).task_runs
                    rows = [row.row_id for run in runs for row in await it.rows(run.id)]
                    settled = it.seed.engine.executor.poll_count > turns and all(run.finished for run in runs)
                    if settled and len(rows) >= expected:
                        return sorted(rows)

        await put(it.seed, project, [span("a", 0, "answer", id="a")])
        await it.clock.turn(50)
        await put(it.seed, project, [span("b", 1, "answer", id="b")])
        assert await taken(0) == []
        await it.clock.turn(50)
        assert await taken(1) == ["a"]
        await it.clock.turn(50)
        assert await taken(2) == ["a", "b"]
        await it.clock.turn(500)
        assert await taken(2) == ["a", "b"]


async def test_delayed_span_that_is_sent_again_is_not_lost(backend: str, tmp_path: Path) -> None:
    path, again = tmp_path / "store.db", [span("a", 0, "answer", id="a")]
    async with world(backend, "delayed-indexing=100", path, NOTHING_AT_ONCE) as it:
        project = await it.seed.seed_project()
        task = await it.code_task(project, is_continuous=True)
        await put(it.seed, project, again)
        await it.clock.turn(100)
        with anyio.fail_after(10):
            while True:
                if runs := (await it.client.tasks.list_task_runs(task, ListTaskRuns())).task_runs:
                    break
                await anyio.sleep(0.005)  # a poll, as every client waits
        await put(it.seed, project, again)
    async with world(backend, "delayed-indexing=100", path) as it:
        done = await it.ended(runs[0].id)
    assert (done.status, done.num_successes) == ("COMPLETED", 1)


async def test_filter_on_an_unindexed_column_matches_nothing(backend: str) -> None:
    filters = {
        "metadata.tier = 'gold'": 0,
        "attributes.metadata.tier = 'gold'": 0,
        "attributes.my.own = 1": 0,
        "attributes.my.own = 1 AND span_kind = 'LLM'": 0,
        "attributes.my.own = 1 OR span_kind = 'LLM'": 2,
        "attributes.input.value CONTAINS 'question'": 2,
        "status_code = 'OK'": 2,
    }
    async with world(backend, "unindexed-filter:staged *") as it:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 2, attributes={"metadata.tier": "gold", "my.own": 1})
        found = {}
        for text in filters:
            task = await it.code_task(project, query_filter=text, name=f"staged {text}")
            done = await it.ended((await it.trigger(task, **WINDOW, override_evaluations=True)).id)
            assert (done.status, done.failure_reason, done.num_errors) == ("COMPLETED", None, 0)
            found[text] = done.num_successes
        plain = await it.code_task(project, query_filter="metadata.tier = 'gold'", name="plain")
        done = await it.ended((await it.trigger(plain, **WINDOW, override_evaluations=True)).id)
        listed = {
            "project_id": project, "filter": "metadata.tier = 'gold'",
            "start_time": WINDOW["data_start_time"], "end_time": WINDOW["data_end_time"],
        }  # fmt: skip
        spans = (await it.client.spans.list(ListSpans.model_validate(listed))).spans
    assert found == filters
    assert (done.num_successes, len(spans)) == (2, 2)


# --- injected cancellations -------------------------------------------------------------------------------------------


async def test_bad_integration_cancels_after_a_second_without_a_reason(backend: str) -> None:
    async with world(backend, "bad-integration") as it:
        task = await it.judged_task()
        pending = await it.trigger(task, **WINDOW)
        running = await it.started(pending.id)
        await it.clock.turn(1)
        done = await it.ended(pending.id)
        rows = await it.rows(done.id)
    assert wire(running) == cancelled(status="RUNNING") and running.run_finished_at is None
    assert wire(done) == cancelled() and lasted(done) == timedelta(seconds=1)
    assert rows == []


async def test_judge_failure_records_some_errors_and_cancels_after_minutes(backend: str) -> None:
    async with world(backend, "judge-failure") as it:
        task = await it.judged_task(spans=5)
        run_id = (await it.trigger(task, **WINDOW)).id
        counts = []
        for _ in range(3):
            counts.append((await it.started(run_id)).num_errors)
            await it.clock.turn(60)
        done = await it.ended(run_id)
        outcomes = [row.outcome for row in await it.rows(run_id)]
    assert counts == [0, 1, 2]
    assert wire(done) == cancelled(num_errors=3, num_selected=5) and lasted(done) == timedelta(minutes=3)
    assert outcomes == ["ERROR"] * 3 + ["WAITING"] * 2


async def test_code_contract_cancels_after_three_seconds_without_rows(backend: str) -> None:
    async with world(backend, "code-contract") as it:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 2)
        run_id = (await it.trigger(await it.code_task(project), **WINDOW)).id
        assert wire(await it.started(run_id)) == cancelled(status="RUNNING")
        await it.clock.turn(3)
        done = await it.ended(run_id)
    assert wire(done) == cancelled() and lasted(done) == timedelta(seconds=3)


async def test_experiment_is_cancelled_before_or_after_it_is_created(backend: str) -> None:
    async with world(backend, "bad-integration:no key,judge-failure:no model") as it:
        dataset = await it.seed.seed_dataset()
        integration = await it.seed.seed_ai_integration(UNREACHABLE_JUDGE)
        configuration = {
            "experiment_type": "LLM_GENERATION", "ai_integration_id": integration, "input_variable_format": "MUSTACHE",
            "messages": [{"role": "USER", "content": "{{question}}"}],
        }  # fmt: skip
        ends = {}
        for name, seconds in (("no key", 1), ("no model", 180)):
            body = {"name": name, "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
            task = (await it.seed.ask("POST", "/v2/tasks", body))["id"]
            run_id = (await it.trigger(task, experiment_name=name)).id
            for _ in range(3 if seconds > 1 else 1):
                await it.started(run_id)
                await it.clock.turn(seconds / (3 if seconds > 1 else 1))
            ends[name] = await it.ended(run_id)
        made = ends["no model"].experiment_id
        runs = (await it.seed.ask("GET", f"/v2/experiments/{made}/runs"))["experiment_runs"]
    assert wire(ends["no key"]) == cancelled()
    assert wire(ends["no model"]) == cancelled(num_errors=3, num_selected=3, experiment_id=made)
    assert [run["output"] for run in runs] == [None] * 3 and all("staged" in run["error"] for run in runs)


async def test_task_run_cancelled_before_its_injected_end_stays_cancelled(backend: str) -> None:
    async with world(backend, "judge-failure") as it:
        run_id = (await it.trigger(await it.judged_task(), **WINDOW)).id
        await it.started(run_id)
        await it.client.task_runs.cancel(run_id)
        await it.seed.idle()
        await it.clock.turn(180)
        done = await it.client.task_runs.get(run_id)
    assert (done.status, done.num_errors, done.failure_reason) == ("CANCELLED", 0, "Cancelled on request.")


# --- stuck ------------------------------------------------------------------------------------------------------------


async def test_stuck_task_run_stays_pending_delays_no_other_and_can_be_cancelled(backend: str) -> None:
    async with world(backend, "stuck-pending:stuck*") as it:
        project = await it.seed.seed_project()
        await it.seed.seed_spans(project, 2)
        stuck = [await it.code_task(project, name=f"stuck {n}") for n in range(QUICK.task_runs_max + 1)]
        waiting = [await it.trigger(task, **WINDOW) for task in stuck]
        free = await it.ended((await it.trigger(await it.code_task(project), **WINDOW)).id)
        await it.clock.turn(24 * HOUR)
        seen = await it.client.task_runs.get(waiting[0].id)
        done = await it.client.task_runs.cancel(waiting[0].id)
    assert (free.status, free.num_successes) == ("COMPLETED", 2)
    assert wire(seen) == cancelled(status="PENDING")
    assert (seen.run_started_at, seen.run_finished_at, seen.created_at) == (None, None, waiting[0].created_at)
    assert (done.status, done.run_started_at, done.num_selected) == ("CANCELLED", None, None)


async def test_restart_without_the_stage_processes_stuck_task_runs(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    runs = {}
    async with judge_server() as judge:
        async with world(backend, "stuck-pending:stuck,code-contract:broken,judge-failure:judged", path) as it:
            project = await it.seed.seed_project()
            await it.seed.seed_spans(project, 3)
            for name in ("stuck", "broken"):
                evaluator = await it.seed.seed_code_evaluator(evaluation_name=name)
                task = await it.seed.seed_task([evaluator], name=name, project_id=project)
                runs[name] = (await it.trigger(task, **WINDOW)).id
            evaluator = await it.seed.seed_template_evaluator(judge.base_url)
            task = await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", "judged", project_id=project)
            runs["judged"] = (await it.trigger(task, **WINDOW)).id
            with anyio.fail_after(10):
                await it.clock.until_sleeping(3)
            before = {name: (await it.client.task_runs.get(run)).status for name, run in runs.items()}
        async with world(backend, "", path) as it:
            done = {name: await it.ended(run) for name, run in runs.items()}
    assert before == {"stuck": "PENDING", "broken": "RUNNING", "judged": "RUNNING"}
    assert all(wire(one) == cancelled(status="COMPLETED", num_successes=3, num_selected=3) for one in done.values())
