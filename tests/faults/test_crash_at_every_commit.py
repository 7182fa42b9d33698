"""A crash at any commit, before or after it, costs nothing but the calls that are under way.

Each kind of task run (`tests.support.workload`) first runs without a crash to count its commits. Then for each commit,
the engine is killed right before and right after it, and the same file is opened again. The result must equal that of
the run without a crash, with exactly as many further calls as answers were not recorded.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import anyio
import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.contradictions import contradictions
from tests.support.engines import EngineInTest, engine
from tests.support.judges import judge_server
from tests.support.workload import PARTS, Part, num_judge_answers, run_part_to_end

# Small batches and few call slots, so that a task run takes many commits. A dead owner's lease expires at once.
LIMITS = ExecutorLimits(
    in_flight_max=2,
    rows_per_fetch=2,
    poll_seconds=0.01,
    lease_seconds=0.0,
    gather_seconds=0.0,
    continuous_seconds=0.0,
    quiet_seconds=0.0,
)
IDLE = ExecutorLimits(task_runs_max=0)
Moment = Literal["before", "after"]


class Dead(BaseException):
    """Raised for any commit after the simulated crash."""


class Killer:
    """Crashes at a commit, counted from the moment it is armed; from then on nothing is committed."""

    def __init__(self, at: int | None, moment: Moment) -> None:
        self._at = at
        self._moment = moment
        self.commits = 0
        self.is_armed = False
        self.died = anyio.Event()
        self._is_dead = False

    def __call__(self, moment: Moment) -> None:
        if self._is_dead:
            raise Dead
        if not self.is_armed:
            return
        self.commits += moment == "before"
        if self.commits == self._at and moment == self._moment:
            self._is_dead = True
            anyio.from_thread.run_sync(self.died.set)
            raise Dead


async def killed(path: Path, part: Part, killer: Killer) -> None:
    """Run until the crash; or to the end, because the number of commits varies."""

    async def work(it: EngineInTest, group: anyio.abc.TaskGroup) -> None:
        await run_part_to_end(it, part)
        group.cancel_scope.cancel()

    try:
        with anyio.fail_after(20):
            async with engine(path, limits=LIMITS, on_commit=killer) as it, anyio.create_task_group() as group:
                killer.is_armed = True
                group.start_soon(work, it, group)
                await killer.died.wait()
                group.cancel_scope.cancel()
    except Dead:
        pass
    except BaseExceptionGroup as deaths:
        others = deaths.split(Dead)[1]
        if others is not None:
            raise others from None


@pytest.mark.promise("record.at_once", "select.resumed", "survive.finished", "survive.recorded")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", PARTS)
async def test_kill_at_any_commit_leads_to_the_same_end_without_repeated_rows(tmp_path: Path, kind: str) -> None:
    seed = tmp_path / "seed.db"
    async with judge_server() as judge:
        async with engine(seed, limits=IDLE) as it:
            part = await PARTS[kind](it, judge)
        rows = sum(part.tasks[task] for task in part.asking)
        shutil.copy(seed, tmp_path / "undisturbed.db")
        counter = Killer(None, "before")
        async with engine(tmp_path / "undisturbed.db", limits=LIMITS, on_commit=counter) as it:
            counter.is_armed = True
            expected = await run_part_to_end(it, part)
        assert contradictions(tmp_path / "undisturbed.db") == []
        assert counter.commits >= 4 and len(judge.requests) == rows
        for moment in ("before", "after"):
            for at in range(1, counter.commits + 1):
                path, where = tmp_path / f"{at} {moment}.db", f"killed {moment} commit {at}"
                shutil.copy(seed, path)
                await killed(path, part, Killer(at, moment))
                on_record = num_judge_answers(path, part)
                asked = len(judge.requests)
                async with engine(path, limits=LIMITS) as it:
                    assert await run_part_to_end(it, part) == expected, where
                assert len(judge.requests) - asked == rows - on_record, where
                assert contradictions(path) == [], where
