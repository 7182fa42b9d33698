"""Record outcomes: the ledger row, what the job stores, and the counts, all in ONE transaction.

Outcomes are gathered for a moment, so that many of them share a commit. The transaction first checks that the claim
still owns the task run (`ClaimLost` if not), and only a pending ledger row gets an outcome: so nothing is recorded
twice, and the counts agree with the ledger at every commit.
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

ProcessedRow = tuple[LedgerRow, Outcome]
_BATCH_MAX = 500
_FLUSH_SECONDS = 5.0


class ClaimLost(Exception):
    """The claim no longer owns the task run: it was cancelled, deleted, or taken over after the lease expired."""


async def record_all(
    services: Services,
    claim: Claim,
    job: Job,
    processed: MemoryObjectReceiveStream[ProcessedRow],
    all_processed: anyio.Event,
    gather_seconds: float,
) -> None:
    """Record outcomes until the stream ends.

    A single outcome is committed at once, many of them every `gather_seconds`. When cancelled, the outcomes that have
    arrived are still written, because judge answers that were paid for are not thrown away.

    Args:
        services: The services of the engine.
        claim: The task run.
        job: Stores what the outcomes produce.
        processed: The stream of outcomes.
        all_processed: Set when no more outcomes follow, so that the last ones are committed at once.
        gather_seconds: The shortest time between two commits.

    Raises:
        ClaimLost: The claim no longer owns the task run.
        StoreError: A storage error that does not go away.
        PermanentFailure: What the outcomes belong to is gone.
    """
    batch: list[ProcessedRow] = []
    recorded_at = -gather_seconds
    try:
        async for first in processed:
            batch.append(first)
            with anyio.move_on_after(recorded_at + gather_seconds - anyio.current_time()):
                await all_processed.wait()
            _drain(batch, processed)
            await _record(services, claim, job, batch)
            recorded_at = anyio.current_time()
            batch.clear()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_FLUSH_SECONDS, shield=True):
            _drain(batch, processed)
            while batch:
                await _record(services, claim, job, batch)
                batch.clear()
                _drain(batch, processed)
        raise


def _drain(batch: list[ProcessedRow], processed: MemoryObjectReceiveStream[ProcessedRow]) -> None:
    while len(batch) < _BATCH_MAX:
        try:
            batch.append(processed.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return


async def _record(services: Services, claim: Claim, job: Job, batch: Sequence[ProcessedRow]) -> None:
    now_us = to_us(services.clock.now())
    write = partial(services.store.write, lambda tx: record(tx, claim, job, batch, now_us))
    if not await retry_until_store_available(services.clock, write):
        raise ClaimLost


def record(tx: Transaction, claim: Claim, job: Job, batch: Sequence[ProcessedRow], now_us: int) -> bool:
    """Record a batch of outcomes; return False, with nothing written, if the claim was lost."""
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
