"""Processes the waiting lines of one task run.

    feed ──lines──> workers ──done──> recorder
                      │  ^
                      └──┴─ rows that wait apart

The feed reads lines in batches, in the order of their positions. A worker does one line at a time: it waits for its
turn in the provider's pace (`pace`), then for one of the process's places for calls, and holds that only while the call
is under way; places are handed out in turn, so task runs share them evenly.

A row the provider refuses for now waits in a task of its own, without a worker and without a place, for as long as
the provider asked, else for pauses that double. It is bounded by the time it has waited so, not by a number of tries:
at a slow pace a row may be in the queue for long, which says nothing against it. When too many wait, the worker
waits with its row, so a provider that is down is not offered ever more rows.

Two things end the whole task run early, as `Broken` does: a provider that accepts nothing for as long as a row is
patient, and a judge whose first answers are failures, all for one reason (`opening`).
"""

from __future__ import annotations

import random
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Failed, Outcome
from evaltasks.engine.providers.provider import Broken, RetryLater
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.job import Job, Line
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.runs.opening import Opening
from evaltasks.engine.runs.pace import Pace, Paces
from evaltasks.engine.runs.patience import until_the_store_works
from evaltasks.engine.runs.recording import Done, record_all

_DONE_WAITING_MAX = 200
# Rows refused together need not come back together: of the pause that was asked for, and of one of our own making.
_JITTER_ASKED = 0.02
_JITTER = 0.1


class RowWork:
    """One pass over one claimed task run."""

    def __init__(
        self,
        services: Services,
        limits: ExecutorLimits,
        places: anyio.Semaphore,
        paces: Paces,
        claim: Claim,
        job: Job,
    ) -> None:
        self._services = services
        self._limits = limits
        self._places = places
        self._paces = paces
        self._claim = claim
        self._job = job
        self._waiting_apart = 0
        self._broken: str | None = None
        self._opening = Opening(limits.same_failures_max)
        self._done: MemoryObjectSendStream[Done]

    async def work_off(self) -> str | None:
        """Do all waiting lines; None when each has its outcome on record, or the reason why the others were left.

        Raises an exception group that holds Lost, StoreError, or whatever else went wrong.
        """
        seq = self._claim.seq
        row = await self._services.store.read_point(lambda tx: tx.one("task_runs.by_seq", {"seq": seq}))
        if row is not None and row["num_successes"]:
            # Gone on with: its opening is long over.
            self._opening.is_over = True
        self._done, done = anyio.create_memory_object_stream[Done](_DONE_WAITING_MAX)
        all_done = anyio.Event()
        gather = self._limits.gather_seconds
        with done:
            try:
                async with anyio.create_task_group() as recorder:
                    recorder.start_soon(record_all, self._services, self._claim, self._job, done, all_done, gather)
                    with self._done:
                        await self._do_all()
                    all_done.set()
            except* Broken as failures:
                # There is no place any more for what the lines leave behind.
                self._broken = _first_of(failures).reason
        return self._broken

    async def _do_all(self) -> None:
        into, lines = anyio.create_memory_object_stream[Line](self._limits.rows_per_fetch)
        try:
            with into, lines:
                async with anyio.create_task_group() as workers:
                    workers.start_soon(self._feed, into)
                    for _ in range(self._limits.in_flight_max):
                        workers.start_soon(self._worker, lines, workers)
        except* Broken as failures:
            # No other row can fare better: all are stopped, what is done is kept.
            self._broken = _first_of(failures).reason

    async def _feed(self, into: MemoryObjectSendStream[Line]) -> None:
        after, limit = -1, self._limits.rows_per_fetch
        with into:
            while True:
                lines = partial(self._job.lines, after_position=after, limit=limit)
                batch = await until_the_store_works(self._services.clock, partial(self._services.store.read, lines))
                for line in batch:
                    await into.send(line)
                if len(batch) < limit:
                    return
                after = batch[-1].position

    async def _worker(self, lines: MemoryObjectReceiveStream[Line], workers: TaskGroup) -> None:
        async for line in lines:
            integration_id = await self._job.paced_by(line)
            pace = None if integration_id is None else self._paces.of(integration_id)
            try:
                outcome = await self._do(line, pace)
            except RetryLater as refusal:
                if self._waiting_apart < self._limits.waiting_rows_max:
                    self._waiting_apart += 1
                    workers.start_soon(self._wait_apart, line, pace, refusal)
                else:
                    await self._try_again(line, pace, refusal)
            else:
                await self._say(line, outcome)

    async def _do(self, line: Line, pace: Pace | None, *, was_refused: bool = False) -> Outcome:
        if pace is None:
            # Nothing here may ever have to wait: others get their turn between two lines all the same.
            await checkpoint()
            async with self._places:
                return await self._job.do(line)
        await pace.turn(was_refused=was_refused)
        async with self._places:
            sent_at = self._services.clock.monotonic_seconds()
            try:
                outcome = await self._job.do(line)
            except RetryLater:
                pace.refused(sent_at)
                raise
        if outcome.provenance:
            pace.accepted(sent_at)
        else:
            # No one was asked: the row lacks a value, say.
            pace.unsent(sent_at)
        return outcome

    async def _say(self, line: Line, outcome: Outcome) -> None:
        try:
            # Not `send`, which gives way to everybody else: a line that was sent to a judge has done so.
            self._done.send_nowait((line, outcome))
        except anyio.WouldBlock:
            await self._done.send((line, outcome))
        reason = None if self._opening.is_over else self._opening.hopeless_after(line, outcome)
        if reason is not None:
            raise Broken(reason)

    async def _wait_apart(self, line: Line, pace: Pace | None, refusal: RetryLater) -> None:
        try:
            await self._try_again(line, pace, refusal)
        finally:
            self._waiting_apart -= 1

    async def _try_again(self, line: Line, pace: Pace | None, refusal: RetryLater) -> None:
        clock, limits = self._services.clock, self._limits
        patience, pause = limits.row_patience_seconds, limits.retry_seconds
        waited = 0.0
        while True:
            if pace is not None and pace.silent_seconds() > patience:
                raise Broken(f"{refusal.reason}; it was asked for {patience:.0f} s and accepted nothing")
            asked = refusal.after_seconds
            seconds, jitter = (pause, _JITTER) if asked is None else (asked, _JITTER_ASKED)
            seconds *= 1 + random.random() * jitter  # noqa: S311  nothing is kept secret by it
            if waited + seconds > patience:
                await self._say(line, Failed(f"{refusal.reason}; given up after {patience:.0f} s of trying again"))
                return
            began = clock.monotonic_seconds()
            await clock.sleep(seconds)
            pause = min(pause * 2, limits.retry_seconds_max)
            waited += clock.monotonic_seconds() - began
            try:
                outcome = await self._do(line, pace, was_refused=True)
            except RetryLater as again:
                refusal = again
            else:
                await self._say(line, outcome)
                return


def _first_of(group: BaseExceptionGroup[Broken]) -> Broken:
    for error in group.exceptions:
        return error if isinstance(error, Broken) else _first_of(error)
    raise AssertionError("an exception group holds an exception")
