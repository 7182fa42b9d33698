"""Writes between the search for a task run's rows and its claim are possible and respected."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from evaltasks.engine.fault_injection import parse_fault_injection
from evaltasks.engine.store import functions
from tests.support.engines import SPANS_START, WINDOW, EngineInTest, engine


@dataclass
class BlockedSearch:
    """A search with a sampling rate, which blocks at its first row until `may_continue` is set."""

    started: threading.Event = field(default_factory=threading.Event)
    may_continue: threading.Event = field(default_factory=threading.Event)

    def is_sampled(self, task_id: str, row_id: str, rate: float | None) -> bool:
        self.started.set()
        assert self.may_continue.wait(20)
        return True


@asynccontextmanager
async def searching(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[EngineInTest, str, str]]:
    """Yield an engine during a search over three spans, the task and its task run. The search continues at the end."""
    search = BlockedSearch()
    monkeypatch.setattr(functions, "is_sampled", search.is_sampled)
    async with engine(path) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 3)
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=project, sampling_rate=0.5)
        run_id = (await it.trigger(task, **WINDOW))["id"]
        try:
            with anyio.fail_after(10):
                await to_thread.run_sync(search.started.wait, 10)
                yield it, task, run_id
                search.may_continue.set()
                await it.ended(run_id)
        finally:
            search.may_continue.set()


async def test_search_for_rows_does_not_block_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with searching(tmp_path / "s.db", monkeypatch) as (it, _, run_id):
        await it.seed_project("made meanwhile")
        pending = await it.task_run(run_id)
    assert (pending["status"], pending["num_selected"]) == ("PENDING", None)


async def test_task_run_cancelled_during_the_search_gets_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    async with searching(path, monkeypatch) as (it, _, run_id):
        await it.ask("POST", f"/v2/task-runs/{run_id}/cancel")
    monkeypatch.undo()
    async with engine(path) as it:
        done = await it.task_run(run_id)
        assert (done["status"], done["num_selected"], done["run_started_at"]) == ("CANCELLED", None, None)
        assert await it.rows(run_id) == []


async def test_task_run_uses_the_task_as_it_was_during_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    async with searching(path, monkeypatch) as (it, task, run_id):
        await it.ask("PATCH", f"/v2/tasks/{task}", {"query_filter": "name = 'nothing'"})
    async with engine(path) as it:
        assert (await it.task_run(run_id))["num_successes"] == 3


async def test_span_deleted_after_the_search_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    async with searching(path, monkeypatch) as (it, task, run_id):
        project = (await it.ask("GET", f"/v2/tasks/{task}"))["project_id"]
        body = {"project_id": project, "span_ids": ["span-00001"], "start_time": SPANS_START.isoformat()}
        await it.ask("DELETE", "/v2/spans", body)
    async with engine(path) as it:
        done = await it.task_run(run_id)
        (error,) = await it.rows(run_id, outcome="ERROR")
    assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 2, 1)
    assert error["reason"] == "the span was deleted before it was evaluated"


async def test_rows_labelled_during_the_search_are_not_evaluated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    async with searching(path, monkeypatch) as (it, task, run_id):
        evaluators = (await it.ask("GET", f"/v2/tasks/{task}"))["evaluators"]
        project = (await it.ask("GET", f"/v2/tasks/{task}"))["project_id"]
        # Another process with the same store, which does not claim this task run.
        async with engine(path, fault_injection=parse_fault_injection("stuck-pending:task-*")) as other:
            same = await other.seed_task([evaluators[0]["evaluator_id"]], project_id=project, name="same")
            first = await other.finish(same, **WINDOW)
    async with engine(path) as it:
        done = await it.task_run(run_id)
    assert first["num_successes"] == 3
    assert (done["status"], done["num_successes"]) == ("CANCELLED", 0)
    assert "override_evaluations" in done["failure_reason"]
