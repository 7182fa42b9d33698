"""Process the pending ledger rows of one task run.

    fetcher ──ledger rows──> workers ──outcomes──> recorder
                             │     ^
                             └─────┴─ rows that back off

The fetcher reads ledger rows in batches, in the order of their positions. A worker processes one row at a time: it
acquires a permit of the provider's rate limiter, then one of the process's call slots, which it holds only during the
call. Call slots are granted in the order of requests, so task runs share them evenly.

A row that the provider refuses for now backs off in a task of its own, without a worker and without a call slot, for as
long as the provider asked, else for pauses that double. The total of these pauses is limited, not the number of
attempts: at a low rate a row may wait long for its permit, which says nothing about the row. When too many rows back
off, the worker waits with its row, so that a provider that is down does not get ever more rows.

Two things end the whole task run early, as PermanentFailure does: a provider that accepts nothing for as long as a row
is retried, and a judge whose first answers all fail for the same reason (`fail_fast`).
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
from evaltasks.engine.runs.recording import ProcessedRow, record_all
from evaltasks.engine.runs.store_retry import retry_until_store_available
from evaltasks.engine.store.task_runs import task_run_row_by_seq

_UNRECORDED_MAX = 200
# Rows that were refused together should not return together: the random part of a pause that the provider asked for,
# and of a pause of our own.
_RETRY_AFTER_JITTER = 0.02
_BACKOFF_JITTER = 0.1


class RowProcessor:
    """Processes one claimed task run, once."""

    def __init__(
        self,
        services: Services,
        limits: ExecutorLimits,
        call_slots: anyio.Semaphore,
        limiters: RateLimiters,
        claim: Claim,
        job: Job,
    ) -> None:
        self._services = services
        self._limits = limits
        self._call_slots = call_slots
        self._limiters = limiters
        self._claim = claim
        self._job = job
        self._num_backing_off = 0
        self._stop_reason: str | None = None
        self._fail_fast = FailFast(limits.same_failures_max)
        self._processed: MemoryObjectSendStream[ProcessedRow]

    async def process_all(self) -> str | None:
        """Process all pending rows.

        Returns:
            None if every row has an outcome in the ledger; otherwise why the task run was stopped early.

        Raises:
            BaseExceptionGroup: Contains ClaimLost, StoreError, or any other error.
        """
        seq = self._claim.seq
        row = await self._services.store.read_by_key(lambda tx: task_run_row_by_seq(tx, seq))
        if row is not None and row["num_successes"]:
            # A resumed task run has already shown that its judge works.
            self._fail_fast.is_over = True
        self._processed, processed = anyio.create_memory_object_stream[ProcessedRow](_UNRECORDED_MAX)
        all_processed = anyio.Event()
        gather = self._limits.gather_seconds
        with processed:
            try:
                async with anyio.create_task_group() as recorder:
                    recorder.start_soon(
                        record_all, self._services, self._claim, self._job, processed, all_processed, gather
                    )
                    with self._processed:
                        await self._run_workers()
                    all_processed.set()
            except* PermanentFailure as failures:
                # What the outcomes belong to is gone, such as a deleted experiment.
                self._stop_reason = _first_of(failures).reason
        return self._stop_reason

    async def _run_workers(self) -> None:
        into, ledger_rows = anyio.create_memory_object_stream[LedgerRow](self._limits.rows_per_fetch)
        try:
            with into, ledger_rows:
                async with anyio.create_task_group() as workers:
                    workers.start_soon(self._fetch_rows, into)
                    for _ in range(self._limits.in_flight_max):
                        workers.start_soon(self._run_worker, ledger_rows, workers)
        except* PermanentFailure as failures:
            # No other row can succeed: all workers are stopped, and recorded outcomes are kept.
            self._stop_reason = _first_of(failures).reason

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

    async def _run_worker(self, ledger_rows: MemoryObjectReceiveStream[LedgerRow], workers: TaskGroup) -> None:
        async for ledger_row in ledger_rows:
            integration_id = await self._job.rate_limit_key(ledger_row)
            limiter = None if integration_id is None else self._limiters.for_integration(integration_id)
            try:
                outcome = await self._process(ledger_row, limiter)
            except RetryLater as refusal:
                if self._num_backing_off < self._limits.backing_off_rows_max:
                    self._num_backing_off += 1
                    workers.start_soon(self._back_off, ledger_row, limiter, refusal)
                else:
                    await self._retry(ledger_row, limiter, refusal)
            else:
                await self._send_outcome(ledger_row, outcome)

    async def _process(
        self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, *, is_retry: bool = False
    ) -> Outcome:
        if limiter is None:
            # Nothing here may ever have to wait, so other tasks get a chance to run between two rows.
            await checkpoint()
            async with self._call_slots:
                return await self._job.process(ledger_row)
        await limiter.acquire(is_retry=is_retry)
        async with self._call_slots:
            sent_at = self._services.clock.monotonic_seconds()
            try:
                outcome = await self._job.process(ledger_row)
            except RetryLater:
                limiter.record_refused(sent_at)
                raise
        if outcome.provenance:
            limiter.record_accepted(sent_at)
        else:
            # The provider was not called, for example because the row lacks a value.
            limiter.record_unsent(sent_at)
        return outcome

    async def _send_outcome(self, ledger_row: LedgerRow, outcome: Outcome) -> None:
        try:
            # Not `send`, which yields to all other tasks: a row that called a judge has yielded already.
            self._processed.send_nowait((ledger_row, outcome))
        except anyio.WouldBlock:
            await self._processed.send((ledger_row, outcome))
        reason = None if self._fail_fast.is_over else self._fail_fast.early_stop_reason(ledger_row, outcome)
        if reason is not None:
            raise PermanentFailure(reason)

    async def _back_off(self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, refusal: RetryLater) -> None:
        try:
            await self._retry(ledger_row, limiter, refusal)
        finally:
            self._num_backing_off -= 1

    async def _retry(self, ledger_row: LedgerRow, limiter: AdaptiveRateLimiter | None, refusal: RetryLater) -> None:
        """Retry the row until it has an outcome, or fail it when its pauses would exceed the limit."""
        clock, limits = self._services.clock, self._limits
        retry_seconds_max, pause = limits.row_retry_seconds_max, limits.retry_seconds
        waited = 0.0
        while True:
            if limiter is not None and limiter.seconds_since_accepted() > retry_seconds_max:
                raise PermanentFailure(f"{refusal.reason}; the provider accepted no call for {retry_seconds_max:.0f} s")
            requested = refusal.after_seconds
            seconds, jitter = (pause, _BACKOFF_JITTER) if requested is None else (requested, _RETRY_AFTER_JITTER)
            seconds *= 1 + random.random() * jitter  # noqa: S311  not used for security
            if waited + seconds > retry_seconds_max:
                failed = Failed(f"{refusal.reason}; the row failed after {retry_seconds_max:.0f} s of retries")
                await self._send_outcome(ledger_row, failed)
                return
            started_at = clock.monotonic_seconds()
            await clock.sleep(seconds)
            pause = min(pause * 2, limits.retry_seconds_max)
            waited += clock.monotonic_seconds() - started_at
            try:
                outcome = await self._process(ledger_row, limiter, is_retry=True)
            except RetryLater as next_refusal:
                refusal = next_refusal
            else:
                await self._send_outcome(ledger_row, outcome)
                return


def _first_of(group: BaseExceptionGroup[PermanentFailure]) -> PermanentFailure:
    for error in group.exceptions:
        return error if isinstance(error, PermanentFailure) else _first_of(error)
    raise AssertionError("an exception group contains an exception")
