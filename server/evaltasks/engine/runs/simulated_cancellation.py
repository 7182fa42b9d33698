"""Task runs that are staged to come to a bad end (`engine/fault_injection.py`), as AX brings them to one."""

from __future__ import annotations

from functools import partial

from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.evaluators.outcome import Failed
from evaltasks.engine.fault_injection import InjectedCancellation
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.job import Job
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.runs.recording import record

_REFUSED = Failed("staged failure: the judge refused the call, as for a wrong model name or key")


async def simulate_cancellation(
    services: Services, claim: Claim, injected_cancellation: InjectedCancellation, job: Job | None
) -> None:
    """Record the injected errors, evenly over the failure's time, then cancel without a reason.

    `job` has the rows; None for a cancellation that comes before them. Rows without an outcome stay waiting: they are
    evaluated when the task is triggered again without the injected failure.
    """
    clock, store = services.clock, services.store
    ledger_rows = (
        []
        if job is None
        else await store.read(partial(job.pending_rows, after_position=-1, limit=injected_cancellation.num_calls))
    )
    parts = max(1, injected_cancellation.num_calls)
    for nth in range(parts):
        await clock.sleep(injected_cancellation.seconds / parts)
        for ledger_row in ledger_rows[nth : nth + 1]:
            assert job is not None
            failed = partial(record, claim=claim, job=job, batch=[(ledger_row, _REFUSED)], now_us=to_us(clock.now()))
            await store.write(failed)
    now_us = to_us(clock.now())
    await store.write(lambda tx: end(tx, claim, Step.CANCEL, None, now_us))
