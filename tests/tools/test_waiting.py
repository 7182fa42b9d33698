"""Waits for task runs, with simulated time and a scripted service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import anyio
import pytest

from evaltasks.api.problems import NotFound, RateLimited, Unavailable
from evaltasks.api.task_runs import TaskRun
from evaltasks.client.client import Client
from evaltasks.client.errors import TimedOut, Unreachable
from evaltasks.tools import wait_for_task_run
from evaltasks.tools.context import ToolSettings
from evaltasks.tools.views import progress_sentence
from tests.support.tool_calls import SimulatedTime, ToolsInTest

START = SimulatedTime().start


def task_run(done: int = 0, of: int | None = None, status: str = "RUNNING", errors: int = 0) -> TaskRun:
    return TaskRun.model_validate(
        {
            "id": "r", "task_id": "t", "status": status, "created_at": START, "run_started_at": START,
            "run_finished_at": START + timedelta(seconds=100) if status == "COMPLETED" else None,
            "num_successes": done - errors, "num_errors": errors, "num_selected": of,
        }
    )  # fmt: skip


Script = Sequence[TaskRun | Exception]


@dataclass
class ScriptedRuns:
    """Returns the steps of the script in order, then the last one forever."""

    script: Script
    time: SimulatedTime
    looked_at: list[float] = field(default_factory=list)

    async def get(self, run_id: str) -> TaskRun:
        self.looked_at.append(self.time.seconds)
        said = self.script[min(len(self.looked_at), len(self.script)) - 1]
        if isinstance(said, Exception):
            raise said
        return said


@dataclass
class Named:
    name: str = "Relevance"


class Things:
    async def get(self, _: str) -> Named:
        return Named()


class ScriptedClient:
    """The part of a client that a wait uses."""

    def __init__(self, script: Script, time: SimulatedTime, is_engine: bool) -> None:
        self.task_runs = ScriptedRuns(script, time)
        self.tasks = self.experiments = Things()
        self.is_engine = is_engine


def scripted(script: Script, *, is_engine: bool = True, call_wait_seconds_max: float = 45) -> ToolsInTest:
    time = SimulatedTime()
    client = cast(Client, ScriptedClient(script, time, is_engine))
    return ToolsInTest(client, None, time, ToolSettings(call_wait_seconds_max=call_wait_seconds_max))


async def wait(it: ToolsInTest, **arguments: Any) -> Any:
    with anyio.fail_after(10):
        return await it.call(wait_for_task_run.SPEC, run_id="r", **arguments)


def looks(it: ToolsInTest) -> list[float]:
    return cast(Any, it.client).task_runs.looked_at  # type: ignore[no-any-return]


async def test_a_finished_task_run_is_returned_at_once() -> None:
    it = scripted([task_run(5, 5, "COMPLETED")])
    answer = await wait(it)
    assert (answer.outcome, answer.finished, answer.task_run.done) == ("finished", True, "5 of 5")
    assert it.time.sleeps == []
    assert answer.next_call.tool == "task_run_results"


async def test_one_call_waits_until_its_limit_and_returns_the_next_call_with_the_remaining_timeout() -> None:
    it = scripted([task_run(142, 500)])
    answer = await wait(it, timeout=600, poll_interval=5)
    assert (answer.outcome, answer.finished, answer.waited_seconds) == ("still_running", False, 45.0)
    assert answer.next_call.tool == "wait_for_task_run"
    assert answer.next_call.arguments == {"run_id": "r", "poll_interval": 5, "timeout": 555.0}
    assert answer.task_run.done == "142 of 500"
    assert answer.task_run.likely_end


async def test_the_timeout_counts_over_all_calls_and_reaching_it_is_reported_as_timed_out() -> None:
    it = scripted([task_run(1, 500)])
    arguments: dict[str, Any] = {"timeout": 100}
    outcomes = []
    for _ in range(3):
        answer = await wait(it, **arguments)
        outcomes.append(answer.outcome)
        arguments = {**answer.next_call.arguments}
        arguments.pop("run_id")
    assert outcomes == ["still_running", "still_running", "timed_out"]
    assert it.time.seconds == pytest.approx(100)
    assert answer.next_call.tool == "get_task_run"
    assert not answer.finished


async def test_a_timeout_below_the_limit_of_one_call_ends_the_call() -> None:
    it = scripted([task_run(1, 500)])
    answer = await wait(it, timeout=3)
    assert (answer.outcome, answer.waited_seconds) == ("timed_out", 3.0)


@pytest.mark.parametrize("is_engine", [True, False])
async def test_an_engine_is_polled_every_second_and_another_service_at_the_requested_interval(is_engine: bool) -> None:
    it = scripted([task_run(1, 500)], is_engine=is_engine)
    await wait(it, poll_interval=10)
    gaps = [later - earlier for earlier, later in zip(looks(it), looks(it)[1:], strict=False)]
    assert max(gaps) == pytest.approx(1.0 if is_engine else 10.0)


async def test_a_long_interval_still_reports_progress_every_ten_seconds() -> None:
    it = scripted([task_run(142, 500, errors=3)], is_engine=False)
    answer = await wait(it, poll_interval=40)
    assert answer.outcome == "still_running"
    assert max(it.time.sleeps) <= 10
    assert len(it.progress) >= 45 / 15


async def test_progress_reports_rows_errors_and_remaining_time_and_never_decreases() -> None:
    it = scripted([task_run(0), task_run(100, 500), task_run(142, 500, errors=3), task_run(500, 500, "COMPLETED")])
    await wait(it)
    values = [done for done, _, _ in it.progress]
    assert values == sorted(values)
    assert it.progress[-1][:2] == (500.0, 500.0)


@pytest.mark.parametrize(
    ("run", "after_seconds", "sentence"),
    [
        (task_run(142, 500, errors=3), 16, "142 of 500 rows, 3 errors, about 40 s left"),
        (task_run(142), 16, "142 rows"),
        (task_run(0, status="PENDING"), 0, "waiting to start"),
        (task_run(0, 500), 1, "started, 0 of 500 rows"),
        (task_run(500, 500, "COMPLETED"), 100, "500 of 500 rows, completed"),
    ],
)
def test_progress_sentence_for_every_state(run: TaskRun, after_seconds: float, sentence: str) -> None:
    assert progress_sentence(run, START + timedelta(seconds=after_seconds)) == sentence


@pytest.mark.parametrize(
    "failure",
    [
        RateLimited("slow down", retry_after_seconds=7),
        Unavailable("for a while"),
        Unreachable("no connection"),
        TimedOut("no answer"),
    ],
    ids=lambda issue: type(issue).__name__,
)
async def test_transient_failures_while_polling_do_not_end_the_wait(failure: Exception) -> None:
    it = scripted([task_run(1, 9), failure, failure, task_run(9, 9, "COMPLETED")])
    answer = await wait(it)
    assert answer.outcome == "finished"
    if isinstance(failure, RateLimited):
        assert looks(it)[2] - looks(it)[1] >= 7


async def test_a_failure_at_the_end_of_a_call_is_reported_with_the_last_known_counts() -> None:
    it = scripted([task_run(3, 9), Unreachable("no connection")])
    answer = await wait(it, timeout=600)
    assert (answer.outcome, answer.task_run.done) == ("still_running", "3 of 9")
    assert "the counts are older" in answer.notes[0]


async def test_a_service_that_never_answered_raises_its_own_error() -> None:
    it = scripted([Unreachable("no connection")])
    with pytest.raises(Unreachable):
        await wait(it)
    assert it.time.seconds == 45


async def test_a_task_run_that_is_not_visible_ends_the_wait_at_once() -> None:
    it = scripted([NotFound("no such task run")])
    with pytest.raises(NotFound):
        await wait(it)
    assert it.time.sleeps == []


async def test_an_unknown_status_does_not_end_the_wait() -> None:
    it = scripted([task_run(1, 9, "PAUSED"), task_run(9, 9, "COMPLETED")])
    assert (await wait(it)).outcome == "finished"
