"""Retries: which calls are repeated, and after which wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.problems import NotBuilt, Problem, RateLimited, ServerError, Unavailable
from evaltasks.api.spans import ListSpans
from evaltasks.api.task_runs import TriggerTaskRun
from evaltasks.api.tasks import ListTasks, UpdateTask
from evaltasks.client.client import Client
from evaltasks.client.errors import TimedOut, Unreachable
from evaltasks.client.retries import RetryBudget
from evaltasks.client.transport import open_remote_client
from tests.support.transports import (
    MOMENT,
    RecordedSleeps,
    Scripted,
    Step,
    answers,
    cut_mid_body,
    drips,
    fails,
    html,
    problem,
)

TASK_RUN = {"id": "r", "task_id": "t", "status": "PENDING", "created_at": MOMENT}
NO_TASKS = answers(200, {"tasks": [], "pagination": {"has_more": False}})
NO_SPANS = answers(200, {"spans": [], "pagination": {"has_more": False}})
TRIGGERED = answers(201, TASK_RUN)

NEVER_SENT = [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError]
BROKEN_OFF = [httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError, httpx2.ReadTimeout, httpx2.WriteTimeout]


class Line:
    """A client over a scripted network, with the waits it took."""

    def __init__(self, client: Client, network: Scripted, naps: RecordedSleeps) -> None:
        self.client = client
        self.network = network
        self.naps = naps

    @property
    def attempts(self) -> int:
        return len(self.network.sent)


@asynccontextmanager
async def line(
    *steps: Step, retry_budget: RetryBudget | None = None, timeout_seconds: float = 30
) -> AsyncIterator[Line]:
    network, naps = Scripted(*steps), RecordedSleeps()
    async with open_remote_client(
        "https://ax.test", "key", is_engine=False, transport=network, sleep=naps, retry_budget=retry_budget,
        timeout_seconds=timeout_seconds,
    ) as client:  # fmt: skip
        yield Line(client, network, naps)


@pytest.mark.parametrize(
    "step",
    [
        *[fails(kind) for kind in NEVER_SENT + BROKEN_OFF],
        problem(429, "Slow down."), html(502), problem(503, "Busy."), html(504), cut_mid_body(200, b'{"tasks"'),
    ],
)  # fmt: skip
@pytest.mark.promise("repeat.reading")
async def test_a_read_is_retried_after_a_transient_error(step: Step) -> None:
    async with line(step, step, NO_TASKS) as it:
        page = await it.client.tasks.list(ListTasks())
    assert page.tasks == []
    assert it.attempts == 3
    assert len(it.naps.seconds) == 2


@pytest.mark.promise("repeat.reading")
async def test_a_list_operation_with_post_is_retried_like_any_read() -> None:
    async with line(fails(httpx2.ReadError), html(502), NO_SPANS) as it:
        assert (await it.client.spans.list(ListSpans(project_id="p"))).spans == []
    assert it.attempts == 3
    assert it.network.sent[0] == it.network.sent[2], "the same request, body and all"


@pytest.mark.parametrize("step", [*[fails(kind) for kind in NEVER_SENT], problem(429, "Slow down.")])
@pytest.mark.promise("repeat.unsent")
async def test_a_trigger_is_retried_if_it_cannot_have_taken_effect(step: Step) -> None:
    async with line(step, TRIGGERED) as it:
        assert (await it.client.tasks.trigger("t", TriggerTaskRun())).id == "r"
    assert it.attempts == 2


@pytest.mark.parametrize("step", [*[fails(kind) for kind in BROKEN_OFF], cut_mid_body(201, b'{"id"')])
@pytest.mark.promise("repeat.never")
async def test_a_trigger_that_may_have_taken_effect_is_never_retried_and_says_so(step: Step) -> None:
    async with line(step, TRIGGERED) as it:
        with pytest.raises(Unreachable, match="look before repeating") as caught:
            await it.client.tasks.trigger("t", TriggerTaskRun())
    assert caught.value.may_have_taken_effect
    assert it.attempts == 1


@pytest.mark.promise("repeat.never")
async def test_a_trigger_that_times_out_is_never_retried() -> None:
    async with line(drips(), TRIGGERED, timeout_seconds=0.05) as it:
        with pytest.raises(TimedOut, match="look before repeating") as caught:
            await it.client.tasks.trigger("t", TriggerTaskRun())
    assert caught.value.may_have_taken_effect
    assert it.attempts == 1


@pytest.mark.parametrize("step", [html(502), problem(503, "Busy."), html(504)])
async def test_a_gateway_error_of_a_write_is_raised_with_a_warning(step: Step) -> None:
    async with line(step) as it:
        changes = [
            it.client.tasks.trigger("t", TriggerTaskRun()),
            it.client.tasks.update("t", UpdateTask(name="n")),
            it.client.tasks.delete("t"),
            it.client.task_runs.cancel("r"),
        ]
        for change in changes:
            with pytest.raises(ServerError, match="look before repeating"):
                await change
    assert (it.attempts, it.naps.seconds) == (4, [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500, 501, 505])
@pytest.mark.promise("repeat.bounded")
async def test_a_permanent_error_is_not_retried(status: int) -> None:
    async with line(problem(status, "No."), NO_TASKS) as it:
        with pytest.raises(Problem):
            await it.client.tasks.list(ListTasks())
    assert (it.attempts, it.naps.seconds) == (1, [])


@pytest.mark.promise("repeat.bounded")
async def test_a_persistent_error_is_raised_after_the_last_attempt() -> None:
    async with line(fails(httpx2.ConnectError)) as it:
        with pytest.raises(Unreachable, match="nothing was sent") as caught:
            await it.client.tasks.list(ListTasks())
    assert it.attempts == RetryBudget().attempts_max
    assert not caught.value.may_have_taken_effect


async def test_retry_waits_double_and_are_half_random() -> None:
    low, high = RetryBudget(jitter=lambda: 0.0), RetryBudget(jitter=lambda: 1.0)
    async with line(html(502), retry_budget=low) as calm, line(html(502), retry_budget=high) as eager:
        for it in (calm, eager):
            with pytest.raises(ServerError):
                await it.client.tasks.list(ListTasks())
    assert calm.naps.seconds == [0.25, 0.5, 1.0]
    assert eager.naps.seconds == [0.5, 1.0, 2.0]


@given(attempt=st.integers(1, 60), share=st.floats(0, 1))
def test_retry_waits_are_positive_and_at_most_the_maximum(attempt: int, share: float) -> None:
    retry_budget = RetryBudget(jitter=lambda: share)
    assert 0 < retry_budget.wait_seconds(attempt, None) <= retry_budget.wait_seconds_max


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.promise("repeat.asked")
async def test_a_retry_waits_as_long_as_retry_after_says(status: int) -> None:
    retry_budget = RetryBudget(jitter=lambda: 1.0)
    async with line(problem(status, "Later.", **{"retry-after": "7"}), NO_TASKS, retry_budget=retry_budget) as it:
        await it.client.tasks.list(ListTasks())
    assert it.naps.seconds == [7.5]


async def test_a_retry_after_date_is_counted_from_the_clock_of_the_service() -> None:
    theirs = datetime(2031, 5, 1, 12, 0, 0, tzinfo=UTC)
    headers = {
        "date": format_datetime(theirs, usegmt=True),
        "retry-after": format_datetime(theirs + timedelta(seconds=42), usegmt=True),
    }
    retry_budget = RetryBudget(jitter=lambda: 0.0)
    async with line(problem(429, "Later.", **headers), NO_TASKS, retry_budget=retry_budget) as it:
        await it.client.tasks.list(ListTasks())
    assert it.naps.seconds == [42.0]


@pytest.mark.promise("repeat.asked")
async def test_a_retry_after_beyond_the_maximum_is_raised_instead_of_waited() -> None:
    async with line(problem(429, "Later.", **{"retry-after": "75"}), NO_TASKS) as it:
        with pytest.raises(RateLimited) as caught:
            await it.client.tasks.list(ListTasks())
    assert caught.value.retry_after_seconds == 75
    assert (it.attempts, it.naps.seconds) == (1, [])


@pytest.mark.promise("repeat.bounded")
async def test_all_retry_waits_together_stay_within_the_budget() -> None:
    retry_budget = RetryBudget(attempts_max=50, jitter=lambda: 0.0)
    async with line(problem(503, "Later.", **{"retry-after": "40"}), retry_budget=retry_budget) as it:
        with pytest.raises(Unavailable):
            await it.client.tasks.list(ListTasks())
    assert it.naps.seconds == [40.0, 40.0], "a third would end after 90 s"


async def test_an_unsupported_operation_is_not_retried() -> None:
    async with line(problem(501, "Not in this slice.", **{"retry-after": "1"})) as it:
        with pytest.raises(NotBuilt):
            await it.client.tasks.list(ListTasks())
    assert it.attempts == 1
