"""Works off the waiting lines of one task run.

    feed ──lines──> workers ──done──> recorder
                      │  ^
                      └──┴─ rows that wait apart

The feed reads lines in batches, in the order of their positions. A worker does one line at a time and holds one of the
process's places for judge calls only while the call is under way; places are handed out in turn, so task runs share
them evenly. A row the provider refuses for now waits in a task of its own, without a worker and without a place, and
is bounded by elapsed time; when too many wait, the worker waits with its row, so a provider that is down is not
offered ever more rows.
"""

from __future__ import annotations

import random
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Failed, Outcome
from evaltasks.engine.providers.provider import Broken, RetryLater
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.job import Job, Line
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.runs.recording import Done, record_all

_DONE_WAITING_MAX = 200
_JITTER = 0.2


class RowWork:
    """One pass over one claimed task run."""

    def __init__(
        self, services: Services, limits: ExecutorLimits, places: anyio.Semaphore, claim: Claim, job: Job
    ) -> None:
        self._services = services
        self._limits = limits
        self._places = places
        self._claim = claim
        self._job = job
        self._waiting_apart = 0
        self._broken: str | None = None
        self._done: MemoryObjectSendStream[Done]

    async def work_off(self) -> str | None:
        """Do all waiting lines; None when each has its outcome on record, or the reason why none can be done.

        Raises an exception group that holds Lost, StoreError, or whatever else went wrong.
        """
        self._done, done = anyio.create_memory_object_stream[Done](_DONE_WAITING_MAX)
        with done:
            try:
                async with anyio.create_task_group() as recorder:
                    recorder.start_soon(record_all, self._services, self._claim, self._job, done)
                    with self._done:
                        await self._do_all()
            except* Broken as troubles:
                # There is no place any more for what the lines leave behind.
                self._broken = _first_of(troubles).reason
        return self._broken

    async def _do_all(self) -> None:
        into, lines = anyio.create_memory_object_stream[Line](self._limits.rows_per_fetch)
        try:
            with into, lines:
                async with anyio.create_task_group() as workers:
                    workers.start_soon(self._feed, into)
                    for _ in range(self._limits.in_flight_max):
                        workers.start_soon(self._worker, lines, workers)
        except* Broken as troubles:
            # No other row can fare better: all are stopped, what is done is kept.
            self._broken = _first_of(troubles).reason

    async def _feed(self, into: MemoryObjectSendStream[Line]) -> None:
        after, limit = -1, self._limits.rows_per_fetch
        with into:
            while True:
                batch = await self._services.store.read(partial(self._job.lines, after_position=after, limit=limit))
                for line in batch:
                    await into.send(line)
                if len(batch) < limit:
                    return
                after = batch[-1].position

    async def _worker(self, lines: MemoryObjectReceiveStream[Line], workers: TaskGroup) -> None:
        async for line in lines:
            try:
                outcome = await self._do(line)
            except RetryLater as refusal:
                if self._waiting_apart < self._limits.waiting_rows_max:
                    self._waiting_apart += 1
                    workers.start_soon(self._wait_apart, line, refusal)
                else:
                    await self._try_again(line, refusal)
            else:
                await self._done.send((line, outcome))

    async def _do(self, line: Line) -> Outcome:
        async with self._places:
            return await self._job.do(line)

    async def _wait_apart(self, line: Line, refusal: RetryLater) -> None:
        try:
            await self._try_again(line, refusal)
        finally:
            self._waiting_apart -= 1

    async def _try_again(self, line: Line, refusal: RetryLater) -> None:
        clock, limits = self._services.clock, self._limits
        give_up = clock.monotonic_seconds() + limits.row_patience_seconds
        pause = limits.retry_seconds
        while True:
            seconds = max(refusal.after_seconds or 0.0, pause)
            # Rows refused together must not come back together.
            seconds *= 1 + random.random() * _JITTER  # noqa: S311  nothing is kept secret by it
            if clock.monotonic_seconds() + seconds > give_up:
                waited = f"given up after {limits.row_patience_seconds:.0f} s of trying again"
                await self._done.send((line, Failed(f"{refusal.reason}; {waited}")))
                return
            await clock.sleep(seconds)
            pause = min(pause * 2, limits.retry_seconds_max)
            try:
                outcome = await self._do(line)
            except RetryLater as again:
                refusal = again
            else:
                await self._done.send((line, outcome))
                return


def _first_of(group: BaseExceptionGroup[Broken]) -> Broken:
    for error in group.exceptions:
        return error if isinstance(error, Broken) else _first_of(error)
    raise AssertionError("an exception group holds an exception")
