"""Progress notifications rise, repeat without change, and are not sent without a progress token."""

from __future__ import annotations

import pytest

from evaltasks.face.progress import REPEAT_SECONDS, MonotonicProgress
from tests.face.probes import reporting
from tests.support.agents import MODES, agent
from tests.support.engines import ManualClock

Sent = list[tuple[float, float | None, str | None]]


def _progress(clock: ManualClock) -> tuple[MonotonicProgress, Sent]:
    sent: Sent = []

    async def send(value: float, total: float | None, message: str | None) -> None:
        sent.append((value, total, message))

    return MonotonicProgress(send, clock), sent


@pytest.mark.parametrize("mode", MODES)
async def test_progress_sends_only_rising_values(mode: str) -> None:
    async with agent(mode, tools=[reporting((0, 3), (1, 3), (1, 3), (0, 3), (3, 3))]) as it:
        await it.answer("say_word")

    assert it.progress == [(0, 3, "0 done"), (1, 3, "1 done"), (3, 3, "3 done")]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_without_a_progress_token_gets_no_progress(mode: str) -> None:
    async with agent(mode, tools=[reporting((0, 3), (3, 3))]) as it:
        result = await it.mcp.call_tool("say_word", {})

    assert not result.is_error
    assert it.progress == []


async def test_progress_without_change_is_repeated_with_a_rising_value() -> None:
    clock = ManualClock()
    progress, sent = _progress(clock)

    await progress.report(5, 10, "five")
    await progress.report(5, 10, "still five")
    await clock.turn(REPEAT_SECONDS)
    await progress.report(5, 10, "five, waiting")
    await progress.report(6, 10, "six")

    assert [message for _, _, message in sent] == ["five", "five, waiting", "six"]
    values = [value for value, _, _ in sent]
    assert values == sorted(set(values))


async def test_progress_never_exceeds_the_total() -> None:
    clock = ManualClock()
    progress, sent = _progress(clock)

    await progress.report(10, 10, "all")
    await clock.turn(REPEAT_SECONDS)
    await progress.report(10, 10, "all, still")

    assert sent == [(10, 10, "all")]
