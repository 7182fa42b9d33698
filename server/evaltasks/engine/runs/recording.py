"""Writes outcomes: ledger line, what the job keeps, and the counts, all in ONE transaction.

Outcomes are gathered for a moment, so that a flood of them shares commits. The transaction begins
by asking whether the task run is still this claim's (`Lost` if not), and a line is only ever moved from WAITING: so
nothing is recorded twice, and the counts are the ledger's at every commit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from evaltasks.api.task_runs import RowOutcome
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome, Skipped
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.job import Job, LedgerRow
from evaltasks.engine.runs.store_retry import retry_until_store_available
from evaltasks.engine.store.ledger import record_outcome
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.task_runs import add_counts, owned_row

Done = tuple[LedgerRow, Outcome]
_BATCH_MAX = 500
_FLUSH_SECONDS = 5.0


class Lost(Exception):
    """The task run is no longer ours: cancelled, deleted, or taken over after our lease ran out."""


async def record_all(
    services: Services,
    claim: Claim,
    job: Job,
    done: MemoryObjectReceiveStream[Done],
    all_done: anyio.Event,
    gather_seconds: float,
) -> None:
    """Record until the stream ends. Raises Lost, StoreError, and PermanentFailure when the job can keep nothing any
    more.

    A lone outcome is committed at once, those of a flood every `gather_seconds`; nothing waits any more once
    `all_done` is set. When cancelled, what has arrived is still written: a judge's answer that was paid for is not
    thrown away.
    """
    batch: list[Done] = []
    recorded_at = -gather_seconds
    try:
        async for first in done:
            batch.append(first)
            with anyio.move_on_after(recorded_at + gather_seconds - anyio.current_time()):
                await all_done.wait()
            _take_more(batch, done)
            await _record(services, claim, job, batch)
            recorded_at = anyio.current_time()
            batch.clear()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_FLUSH_SECONDS, shield=True):
            _take_more(batch, done)
            while batch:
                await _record(services, claim, job, batch)
                batch.clear()
                _take_more(batch, done)
        raise


def _take_more(batch: list[Done], done: MemoryObjectReceiveStream[Done]) -> None:
    while len(batch) < _BATCH_MAX:
        try:
            batch.append(done.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return


async def _record(services: Services, claim: Claim, job: Job, batch: Sequence[Done]) -> None:
    now_us = to_us(services.clock.now())
    write = partial(services.store.write, lambda tx: record(tx, claim, job, batch, now_us))
    if not await retry_until_store_available(services.clock, write):
        raise Lost


def record(tx: Transaction, claim: Claim, job: Job, batch: Sequence[Done], now_us: int) -> bool:
    """False, and nothing written, when the task run is not this claim's any more."""
    if owned_row(tx, claim.seq, claim.owner) is None:
        return False
    counts: Counter[RowOutcome] = Counter()
    for ledger_row, outcome in batch:
        recorded = _record_one(tx, claim.seq, ledger_row.position, outcome, now_us)
        if recorded is not None:
            job.persist(tx, ledger_row, outcome, now_us)
            counts[recorded] += 1
    add_counts(
        tx,
        claim.seq,
        successes=counts[RowOutcome.SUCCESS],
        errors=counts[RowOutcome.ERROR],
        skipped=counts[RowOutcome.SKIPPED],
    )
    return True


def _record_one(tx: Transaction, seq: int, position: int, outcome: Outcome, now_us: int) -> RowOutcome | None:
    """Return the outcome as it was recorded, or None if the ledger row has one already."""
    provenance = json.dumps(outcome.provenance, ensure_ascii=False) if outcome.provenance else None
    store = partial(record_outcome, tx, seq, position, now_us=now_us, provenance=provenance)
    match outcome:
        case Evaluated(label=label, score=score, explanation=explanation):
            kind = RowOutcome.SUCCESS
            is_new = store(outcome=kind, label=label, score=score, explanation=explanation)
        case Failed(reason=reason, detail=detail):
            kind = RowOutcome.ERROR
            is_new = store(outcome=kind, reason=reason, detail=detail)
        case Skipped(reason=reason):
            kind = RowOutcome.SKIPPED
            is_new = store(outcome=kind, reason=reason)
    return kind if is_new else None
