"""Processes the waiting lines of one task run.

    feed ──lines──> workers ──done──> recorder
                      │  ^
                      └──┴─ rows that wait apart

The feed reads lines in batches, in the order of their positions. A worker does one line at a time: it waits for its
turn in the provider's pace (`limiter`), then for one of the process's places for calls, and holds that only while the
call is under way; places are handed out in turn, so task runs share them evenly.

A row the provider refuses for now waits in a task of its own, without a worker and without a place, for as long as
the provider asked, else for pauses that double. It is bounded by the time it has waited so, not by a number of tries:
at a slow pace a row may be in the queue for long, which says nothing against it. When too many wait, the worker
waits with its row, so a provider that is down is not offered ever more rows.

Two things end the whole task run early, as `PermanentFailure` does: a provider that accepts nothing for as long as a
row is patient, and a judge whose first answers are failures, all for one reason (`fail_fast`).
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
from evaltasks.engine.providers.provider import PermanentFailure, RetryLater
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.fail_fast import FailFast
from evaltasks.engine.runs.job import Job, LedgerRow
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.runs.rate_limiter import AdaptiveRateLimiter, RateLimiters
from evaltasks.engine.runs.recording import Done, record_all
from evaltasks.engine.runs.store_retry import retry_until_store_available
from evaltasks.engine.store.task_runs import task_run_row_by_seq

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
        limiters: RateLimiters,
        claim: Claim,
        job: Job,
    ) -> None:
        self._services = services
        self._limits = limits
        self._places = places
        self._limiters = limiters
        self._claim = claim
        self._job = job
        self._num_backing_off = 0
        self._broken: str | None = None
        self._fail_fast = FailFast(limits.same_failures_max)
        self._done: MemoryObjectSendStream[Done]

    async def process_all(self) -> str | None:
        """Do all waiting lines; None when each has its outcome on record, or the reason why the others were left.

        Raises an exception group that holds Lost, StoreError, or whatever else went wrong.
        """
        seq = self._claim.seq
        row = await self._services.store.read_by_key(lambda tx: task_run_row_by_seq(tx, seq))
        if row is not None and row["num_successes"]:
            # Gone on with: its opening is long over.
            self._fail_fast.is_over = True
        self._done, done = anyio.create_memory_object_stream[Done](_DONE_WAITING_MAX)
        all_done = anyio.Event()
        gather = self._limits.gather_seconds
        with done:
            try:
                async with anyio.create_task_group() as recorder:
                    recorder.start_soon(record_all, self._services, self._claim, self._job, done, all_done, gather)
                    with self._done:
                        await self._process_all()
                    all_done.set()
            except* PermanentFailure as failures:
                # There is no place any more for what the lines leave behind.
                self._broken = _first_of(failures).reason
        return self._broken

    async def _process_all(self) -> None:
        into, ledger_rows = anyio.create_memory_object_stream[LedgerRow](self._limits.rows_per_fetch)
        try:
            with into, ledger_rows:
                async with anyio.create_task_group() as workers:
                    workers.start_soon(self._fetch_rows, into)
                    for _ in range(self._limits.in_flight_max):
                        workers.start_soon(self._worker, ledger_rows, workers)
        except* PermanentFailure as failures:
            # No other row can fare better: all are stopped, what is done is kept.
            self._broken = _first_of(failures).reason

    async def _fetch_rows(self, into: MemoryObjectSendStream[LedgerRow]) -> None:
        after, limit = -1, self._limits.rows_per_fetch
        with into:
            while True:
                ledger_rows = partial(self._job.pending_rows, after_position=after, limit=limit)
                batch = await retry_until_store_available(
                    self._services.clock, partial(self._services.store.read, ledger_rows)
                )
                for ledger_row in batch:
                    await into.send(ledger_row)
                if len(batch) < limit:
                    return
                after = batch[-1].position

    async def _worker(self, ledger_rows: MemoryObjectReceiveStream[LedgerRow], workers: TaskGroup) -> None:
        async for ledger_row in ledger_rows:
            integration_id = await self._job.rate_limit_key(ledger_row)
            limiter = None if integration_id is None else self._limiters.of(integration_id)
            try:
                outcome = await self._process(ledger_row, limiter)
            except RetryLater as refusal:
                if self._num_backing_off < self._limits.waiting_rows_max:
                    self._num_backing_off += 1
                    workers.start_soon(self._back_off, ledger_row, limiter, refusal)
                else:
                    await self._try_again(ledger_row, limiter, refusal)
            else:
                await self._report(ledger_row, outcome)

    async def _process(
        self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, *, was_refused: bool = False
    ) -> Outcome:
        if limiter is None:
            # Nothing here may ever have to wait: others get their turn between two lines all the same.
            await checkpoint()
            async with self._places:
                return await self._job.process(ledger_row)
        await limiter.turn(was_refused=was_refused)
        async with self._places:
            sent_at = self._services.clock.monotonic_seconds()
            try:
                outcome = await self._job.process(ledger_row)
            except RetryLater:
                limiter.refused(sent_at)
                raise
        if outcome.provenance:
            limiter.accepted(sent_at)
        else:
            # No one was asked: the row lacks a value, say.
            limiter.unsent(sent_at)
        return outcome

    async def _report(self, ledger_row: LedgerRow, outcome: Outcome) -> None:
        try:
            # Not `send`, which gives way to everybody else: a line that was sent to a judge has done so.
            self._done.send_nowait((ledger_row, outcome))
        except anyio.WouldBlock:
            await self._done.send((ledger_row, outcome))
        reason = None if self._fail_fast.is_over else self._fail_fast.early_stop_reason(ledger_row, outcome)
        if reason is not None:
            raise PermanentFailure(reason)

    async def _back_off(self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, refusal: RetryLater) -> None:
        try:
            await self._try_again(ledger_row, limiter, refusal)
        finally:
            self._num_backing_off -= 1

    async def _try_again(self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, refusal: RetryLater) -> None:
        clock, limits = self._services.clock, self._limits
        retry_seconds_max, pause = limits.row_retry_seconds_max, limits.retry_seconds
        waited = 0.0
        while True:
            if limiter is not None and limiter.silent_seconds() > retry_seconds_max:
                raise PermanentFailure(
                    f"{refusal.reason}; it was asked for {retry_seconds_max:.0f} s and accepted nothing"
                )
            asked = refusal.after_seconds
            seconds, jitter = (pause, _JITTER) if asked is None else (asked, _JITTER_ASKED)
            seconds *= 1 + random.random() * jitter  # noqa: S311  nothing is kept secret by it
            if waited + seconds > retry_seconds_max:
                await self._report(
                    ledger_row, Failed(f"{refusal.reason}; given up after {retry_seconds_max:.0f} s of trying again")
                )
                return
            began = clock.monotonic_seconds()
            await clock.sleep(seconds)
            pause = min(pause * 2, limits.retry_seconds_max)
            waited += clock.monotonic_seconds() - began
            try:
                outcome = await self._process(ledger_row, limiter, was_refused=True)
            except RetryLater as again:
                refusal = again
            else:
                await self._report(ledger_row, outcome)
                return


def _first_of(group: BaseExceptionGroup[PermanentFailure]) -> PermanentFailure:
    for error in group.exceptions:
        return error if isinstance(error, PermanentFailure) else _first_of(error)
    raise AssertionError("an exception group holds an exception")
