"""Process task runs, in the task group that the engine owns.

One loop, woken by a signal (a trigger, a cancel, a task run that ended) or after `poll_seconds` (work of other
processes): cancel the work on lost claims, make the task runs of continuous tasks, claim available task runs. A task of
its own processes each claimed task run; judge calls of all of them share `in_flight_max` call slots.

    PENDING ──claim, write ledger: one transaction──> RUNNING ──outcomes recorded in batches──> one of three ends

* Rows are found before the claim (`run_start`), so that a long search does not block writers.
* A task run that is RUNNING has its rows. Resuming a task run that a dead process left is the same as continuing one's
  own: read the pending rows and process them.
* Every write is fenced by the owner of the claim (`claims`), and outcome, evaluation and counts are one transaction
  (`recording`). If the process is killed, only calls that are under way, or answered and not yet committed, are
  repeated; nothing is recorded twice.
* A second task renews all leases every `heartbeat_seconds` and cancels the work on those that were lost. A cancel in
  this process takes effect at once, by the signal; one in another process at the next recording or heartbeat.
* Closing the engine stops the work between two commits and releases the task runs: RUNNING and without an owner.

Errors: `PermanentFailure` (no row can be judged) ends the task run FAILED with its reason, and keeps the recorded
outcomes. While the store cannot be written (`store_retry`), no more calls are made, and answers are kept until they are
recorded. A storage error that does not go away (a damaged file) ends the task run as far as this process can. Any other
error is a bug: it is logged with a reference number, and the task run ends FAILED with that number. The executor
continues.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import anyio
from anyio.abc import TaskGroup

from evaltasks.api.problems import Problem
from evaltasks.api.task_runs import RowOutcome, TaskRunStatus
from evaltasks.edge.internal_error import log_internal_error
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.internal_error import report_internal_error
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs import claims
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.experiment import ExperimentJob
from evaltasks.engine.runs.group_evaluation import evaluation_job
from evaltasks.engine.runs.job import Job
from evaltasks.engine.runs.lease_monitor import Lease, LeaseMonitor
from evaltasks.engine.runs.lifecycle import Step, after
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.runs.rate_limiter import RateLimiters
from evaltasks.engine.runs.recording import ClaimLost
from evaltasks.engine.runs.row_processor import RowProcessor
from evaltasks.engine.runs.run_start import RunInitializer
from evaltasks.engine.runs.schedule import make_continuous_runs
from evaltasks.engine.runs.selection import ALREADY_LABELLED
from evaltasks.engine.runs.simulated_cancellation import simulate_cancellation
from evaltasks.engine.runs.store_retry import retry_until_store_available
from evaltasks.engine.store.ledger import outcome_counts
from evaltasks.engine.store.store import StoreError, Transaction, owner_name
from evaltasks.engine.store.task_runs import end_task_run

__all__ = ["Executor", "ExecutorLimits"]

logger = logging.getLogger(__name__)

_SECOND_US = 1_000_000
_RELEASE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _ActiveClaim:
    claim: Claim
    scope: anyio.CancelScope


class Executor:
    def __init__(self, services: Services, limits: ExecutorLimits, providers: Providers) -> None:
        self._services = services
        self._limits = limits
        self._providers = providers
        self._call_slots = anyio.Semaphore(limits.in_flight_max, fast_acquire=True)
        self._limiters = RateLimiters(services.clock, providers.rate_limit_status)
        self._active_claims: dict[str, _ActiveClaim] = {}  # by owner
        self._abandoned: set[int] = set()  # the `seq` of task runs that this process cannot finish
        self._lease_monitor = LeaseMonitor(limits.lease_seconds, limits.heartbeat_seconds)
        self._last_logged_error = ""
        self.poll_count = 0  # how often it has looked for work

    @property
    def active_task_run_ids(self) -> frozenset[str]:
        """The ids of the task runs that this process is working on."""
        return frozenset(active.claim.run_id for active in self._active_claims.values())

    async def run(self) -> None:
        """Process task runs until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_leases)
                while True:
                    await self._poll_once(tasks)
                    await self._services.wake_signal.wait(self._limits.poll_seconds)
        finally:
            await self._release_all()

    async def _poll_once(self, tasks: TaskGroup) -> None:
        try:
            await self._drop_lost()
            await make_continuous_runs(self._services, self._limits)
            await self._claim_available(tasks)
            self.poll_count += 1
            self._last_logged_error = ""
        except StoreError as error:
            # Other processes could not renew their leases either.
            self._lease_monitor.reset()
            if str(error) != self._last_logged_error:  # logged once, not every second
                logger.error("the store failed; trying again: %s", error)
                self._last_logged_error = str(error)
        except Exception:
            log_internal_error(logger, "the executor's loop")

    # --- claims ---------------------------------------------------------------------------------------------------

    async def _claim_available(self, tasks: TaskGroup) -> None:
        services = self._services
        num_free = self._limits.task_runs_max - len(self._active_claims)
        if num_free <= 0:
            return
        clock = services.clock
        busy = [*self._abandoned, *(active.claim.seq for active in self._active_claims.values())]
        claimable, leased = await services.store.read_by_key(
            lambda tx: (claims.claimable(tx, num_free, services.fault_injection), claims.leased_elsewhere(tx, busy))
        )
        checked_at = clock.monotonic_seconds()
        dead = self._lease_monitor.find_dead(leased, now_us=to_us(clock.now()), monotonic_seconds=checked_at)
        for lease in sorted([*claimable, *dead], key=lambda each: each.seq)[:num_free]:
            claim = await self._claim(lease, checked_at)
            if claim is not None:
                self._active_claims[claim.owner] = _ActiveClaim(claim, anyio.CancelScope())
                tasks.start_soon(self._run_claim, self._active_claims[claim.owner])

    async def _claim(self, lease: Lease, checked_at: float) -> Claim | None:
        services, owner = self._services, owner_name()
        now_us = to_us(services.clock.now())
        lease_us = int(self._limits.lease_seconds * _SECOND_US)
        initializer = RunInitializer(services, lease, now_us)

        def write_claim(tx: Transaction) -> Claim | None:
            waited = services.clock.monotonic_seconds() - checked_at
            if lease.owner is not None and waited > self._limits.heartbeat_seconds:
                # What kept this process from writing kept the owner from renewing.
                self._lease_monitor.reset()
                return None
            return claims.claim(
                tx, lease, owner=owner, now_us=now_us, lease_us=lease_us, write_ledger=initializer.write_ledger
            )

        try:
            await initializer.prepare()
            return await services.store.write(write_claim)
        except PermanentFailure as failure:
            reason = failure.reason
        except Problem as problem:
            # A filter that was valid when the task was made, and no longer is.
            reason = problem.detail
        except StoreError:
            raise
        except Exception:
            reason = report_internal_error(logger, f"selecting rows of task run {lease.seq}")
        await services.store.write(lambda tx: _fail_unclaimed(tx, lease, reason, now_us))
        return None

    async def _keep_leases(self) -> None:
        services, limits = self._services, self._limits
        while True:
            await services.clock.sleep(limits.heartbeat_seconds)
            owners = list(self._active_claims)
            if not owners:
                continue
            until_us = to_us(services.clock.now()) + int(limits.lease_seconds * _SECOND_US)
            try:
                renew = partial(claims.renew, owners=owners, lease_until_us=until_us)
                held = await services.store.write(renew)
            except StoreError as error:
                # No other process can take them over in the meantime, because that is a write, too.
                logger.warning("leases could not be renewed; trying again: %s", error)
                continue
            self._cancel_claims(set(owners) - held)

    async def _drop_lost(self) -> None:
        owners = list(self._active_claims)
        if owners:
            held = await self._services.store.read_by_key(lambda tx: claims.owned(tx, owners))
            self._cancel_claims(set(owners) - held)

    def _cancel_claims(self, owners: set[str]) -> None:
        for owner in owners & self._active_claims.keys():
            self._active_claims[owner].scope.cancel()

    async def _release_all(self) -> None:
        owners = list(self._active_claims)
        if not owners:
            return
        with anyio.move_on_after(_RELEASE_SECONDS, shield=True):
            try:
                await self._services.store.write(lambda tx: claims.release(tx, owners))
            except StoreError as error:
                logger.error("task runs could not be released; they are resumed when their leases expire: %s", error)

    # --- one task run ---------------------------------------------------------------------------------------------

    async def _run_claim(self, active: _ActiveClaim) -> None:
        claim = active.claim
        try:
            with active.scope:
                await self._execute(claim)
        except* ClaimLost:
            logger.info("task run %s was cancelled, deleted or taken over", claim.run_id)
        except* StoreError as errors:
            await self._abandon(claim, _one_of(errors))
        except* Exception:
            await self._fail(claim, report_internal_error(logger, f"task run {claim.run_id}"))
        # Not in a `finally`: claims that are active when the engine closes are released instead.
        del self._active_claims[claim.owner]
        self._services.wake_signal.notify()

    def _job(self, claim: Claim) -> Job:
        if claim.task.evaluates:
            return evaluation_job(self._services, self._providers, claim)
        return ExperimentJob(self._services, self._providers, claim)

    async def _execute(self, claim: Claim) -> None:
        injected_cancellation = self._services.fault_injection.injected_cancellation(claim.task)
        if injected_cancellation is not None:
            await simulate_cancellation(
                self._services,
                claim,
                injected_cancellation,
                None if injected_cancellation.is_before_selection else self._job(claim),
            )
            return
        job = self._job(claim)
        try:
            processor = RowProcessor(self._services, self._limits, self._call_slots, self._limiters, claim, job)
            stop_reason = await processor.process_all()
        finally:
            await job.close()
        now_us = to_us(self._services.clock.now())
        finish = partial(self._services.store.write, lambda tx: _finish(tx, claim, job, stop_reason, now_us))
        await retry_until_store_available(self._services.clock, finish)

    async def _abandon(self, claim: Claim, error: StoreError) -> None:
        """Stop working on a task run after a storage error.

        If the error may pass, the task run is resumed when its lease expires. Otherwise it ends FAILED, if that can be
        written: judging rows again and again that cannot be recorded costs money.
        """
        if error.may_pass:
            logger.error("task run %s is resumed when its lease expires: %s", claim.run_id, error)
            return
        logger.error("this process abandons task run %s: %s", claim.run_id, error)
        self._abandoned.add(claim.seq)
        await self._fail(claim, str(error))

    async def _fail(self, claim: Claim, reason: str) -> None:
        now_us = to_us(self._services.clock.now())
        try:
            await self._services.store.write(lambda tx: claims.end(tx, claim, Step.FAIL, reason, now_us))
        except StoreError as error:
            logger.error("task run %s is resumed when its lease expires: %s", claim.run_id, error)


def _one_of(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error = group.exceptions[0]
    return error if isinstance(error, StoreError) else _one_of(error)


def _fail_unclaimed(tx: Transaction, lease: Lease, reason: str, now_us: int) -> None:
    """End a task run FAILED whose rows could not be selected, unless it was claimed or ended in the meantime."""
    row = claims.still_claimable(tx, lease)
    failed = after(TaskRunStatus(row["status"]), Step.FAIL) if row is not None else None
    if row is not None and failed is not None:
        end_task_run(tx, lease.seq, status=failed, from_status=row["status"], reason=reason, now_us=now_us)


def _stopped(claim: Claim, reason: str, num_pending: int) -> str:
    """Return why the task run was stopped, and how to process the rows that are left."""
    reason = reason[:1].upper() + reason[1:].rstrip(".") + "."
    if not num_pending:
        return reason
    next_step = (
        "trigger the task again: rows that already have its evaluation are skipped"
        if claim.task.evaluates
        else "trigger the task again with another experiment_name"
    )
    rows = f"{num_pending} row{'s were' if num_pending > 1 else ' was'}"
    return f"{reason} {rows} not processed; once that is fixed, {next_step}."


def _finish(tx: Transaction, claim: Claim, job: Job, stop_reason: str | None, now_us: int) -> None:
    """End the task run with the status that follows from its ledger. Does nothing if the claim was lost."""
    tally = outcome_counts(tx, claim.seq)
    if stop_reason is not None:
        num_pending = sum(count["n"] for count in tally if count["outcome"] == RowOutcome.WAITING)
        claims.end(tx, claim, Step.FAIL, _stopped(claim, stop_reason, num_pending), now_us)
        return
    assert all(count["outcome"] != RowOutcome.WAITING for count in tally), "a ledger row was not processed"
    processed = [count for count in tally if count["reason"] != ALREADY_LABELLED]
    if processed and all(count["outcome"] == RowOutcome.ERROR for count in processed):
        total = sum(count["n"] for count in processed)
        most_frequent = processed[0]  # the tally is sorted by frequency
        share = "" if most_frequent["n"] == total else f" (the reason of {most_frequent['n']} of {total})"
        reason = f"Every row was an error{share}: {most_frequent['reason']}"
        claims.end(tx, claim, Step.FAIL, reason, now_us)
    elif claims.end(tx, claim, Step.COMPLETE, None, now_us):
        job.complete(tx, now_us)
