"""Simulate the cancellations of task runs that are injected by `--stage` (`engine/fault_injection.py`), as in AX."""

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
    """Record the injected errors, evenly over the time of the failure, then cancel the task run without a reason.

    Rows without an outcome stay pending: they are evaluated when the task is triggered again without the injected
    failure.

    Args:
        services: The services of the engine.
        claim: The task run.
        injected_cancellation: How many errors are recorded, and after how many seconds the task run is cancelled.
        job: Provides the rows; None for a cancellation before rows are selected.
    """
    clock, store = services.clock, services.store
    num_errors = injected_cancellation.num_failed_rows
    ledger_rows = (
        [] if job is None else await store.read(partial(job.pending_rows, after_position=-1, limit=num_errors))
    )
    num_steps = max(1, num_errors)
    for nth in range(num_steps):
        await clock.sleep(injected_cancellation.seconds / num_steps)
        for ledger_row in ledger_rows[nth : nth + 1]:
            assert job is not None
            failed = partial(record, claim=claim, job=job, batch=[(ledger_row, _REFUSED)], now_us=to_us(clock.now()))
            await store.write(failed)
    now_us = to_us(clock.now())
    await store.write(lambda tx: end(tx, claim, Step.CANCEL, None, now_us))
