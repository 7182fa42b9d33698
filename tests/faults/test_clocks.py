"""With clocks that jump and computers that sleep, living owners keep task runs and dead ones are replaced soon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine
from tests.support.judges import JudgeServer, judge_server

NOW = datetime(2026, 4, 1, tzinfo=UTC)
HOUR = 3600.0
SPANS = 40


@dataclass
class Pair:
    """An owner whose judge is blocked in the middle of a task run, and another engine on the same store."""

    judge: JudgeServer
    owner: EngineInTest
    other: EngineInTest
    owners_clock: ManualClock
    clock: ManualClock
    task_run: str

    async def let_pass(self, seconds: float, *, both: bool = True) -> None:
        """Advance the clocks in steps of a second; both engines do what is due."""
        for _ in range(int(seconds)):
            if both:
                await self.owners_clock.turn(1)
            await self.clock.turn(1)
            # The other engine polls once more; its polling uses real time.
            looked = self.other.engine.executor.poll_count
            with anyio.fail_after(10):
                while True:
                    if self.other.engine.executor.poll_count >= looked + 2:
                        break
                    await anyio.sleep(0.001)

    def is_with_its_owner(self) -> bool:
        return (
            self.owner.engine.executor.active_task_run_ids == {self.task_run}
            and not self.other.engine.executor.active_task_run_ids
        )

    async def finish(self) -> None:
        self.judge.release()
        await self.owner.ended(self.task_run)


@asynccontextmanager
async def pair(path: Path) -> AsyncIterator[Pair]:
    owners_clock, clock = ManualClock(NOW), ManualClock(NOW)
    async with judge_server() as judge, engine(path, clock=owners_clock) as owner:
        project = await owner.seed_project()
        await owner.seed_spans(project, SPANS)
        evaluator = await owner.seed_template_evaluator(judge.base_url)
        task = await owner.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        judge.hold()
        task_run = await owner.trigger(task, **WINDOW)
        with anyio.fail_after(20):
            await judge.wait_for_requests(QUICK.in_flight_max)
        async with engine(path, clock=clock) as other:
            yield Pair(judge, owner, other, owners_clock, clock, task_run["id"])


@pytest.mark.parametrize("hours", [-5, 5])
async def test_clock_jump_of_another_process_takes_no_task_run_from_a_living_owner(tmp_path: Path, hours: int) -> None:
    async with pair(tmp_path / "store.db") as it:
        it.clock.jump(hours * HOUR)
        await it.let_pass(30)
        assert it.is_with_its_owner()
        await it.finish()
        assert set(it.judge.num_by_prompt.values()) == {1}


@pytest.mark.parametrize("hours", [-5, 5])
async def test_owner_whose_clock_jumps_keeps_its_task_run(tmp_path: Path, hours: int) -> None:
    async with pair(tmp_path / "store.db") as it:
        await it.let_pass(3)
        it.owners_clock.jump(hours * HOUR)
        await it.let_pass(30)
        assert it.is_with_its_owner()
        await it.finish()
        assert set(it.judge.num_by_prompt.values()) == {1}


@pytest.mark.parametrize("hours", [-5, 0, 5])
async def test_dead_owner_with_a_wrong_clock_is_replaced_within_its_lease(tmp_path: Path, hours: int) -> None:
    async with pair(tmp_path / "store.db") as it:
        it.owners_clock.jump(hours * HOUR)
        await it.let_pass(4)  # a renewal with the wrong time
        # From here on its clock does not advance, so it does not renew.
        await it.let_pass(QUICK.lease_seconds + 2, both=False)
        assert it.other.engine.executor.active_task_run_ids == {it.task_run}
        await it.finish()
        assert (await it.other.task_run(it.task_run))["num_successes"] == SPANS


async def test_owner_continues_after_a_long_suspension(tmp_path: Path) -> None:
    async with pair(tmp_path / "store.db") as it:
        await it.let_pass(2)
        # Both were suspended. The other engine wakes first, and all leases are hours old.
        it.owners_clock.jump(8 * HOUR)
        await it.clock.turn(8 * HOUR)
        await it.let_pass(30)
        assert it.is_with_its_owner()
        await it.finish()
        assert set(it.judge.num_by_prompt.values()) == {1}
