"""Processes task runs in the task group that the engine owns. How it works:

One loop, woken by a signal (a trigger, a cancel, a task run that ended) or after `poll_seconds` (work of other
processes): drop what is no longer ours, make the task runs of continuous tasks, claim what no one works on. Every
claimed task run is processed by a task of its own; judge calls of all of them share `in_flight_max` places.

    PENDING ──claim, select rows: one transaction──> RUNNING ──lines recorded, batch by batch──> one of three ends

* Rows are chosen before the claim (`run_start`), so that a long walk keeps no one from writing.
* A task run that is RUNNING has its rows. Going on with one that a dead process left behind is the same as going on
  with one's own: read the WAITING lines, do them.
* Every write is fenced by the claim's owner (`claims`), and outcome, evaluation and counts are one transaction
  (`recording`). Killed at any moment, only calls under way, or answered and not yet committed, are made again;
  nothing is recorded twice.
* A second task renews all leases every `heartbeat_seconds` and stops the work on those that are no longer held. A
  cancel in this process is noticed at once, by the signal; one in another process by the next recording or heartbeat.
* Leaving the engine stops the work between two commits and gives the task runs back, RUNNING and without an owner.

What goes wrong: `PermanentFailure` (no row can be judged) ends the task run FAILED with its reason, and keeps what is
done. A store that cannot be written for now (`store_retry`) holds the task run up: no more calls are made, what was
answered is kept until it is recorded. A storage error that lasts (a damaged file) ends it as far as this process goes.
Anything else is a bug: logged with a reference number, and the task run ends FAILED with that number. The executor
continues.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from functools import partial

import anyio
from anyio.abc import TaskGroup

from evaltasks.api.problems import Problem
from evaltasks.api.task_runs import RowOutcome, TaskRunStatus
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.providers.catalog import Judges
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs import claims
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.experiment import ExperimentJob
from evaltasks.engine.runs.group_evaluation import evaluation_job
from evaltasks.engine.runs.job import Job
from evaltasks.engine.runs.lifecycle import Step, after
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.runs.rate_limiter import RateLimiters
from evaltasks.engine.runs.recording import Lost
from evaltasks.engine.runs.rows import RowWork
from evaltasks.engine.runs.run_start import RunInitializer
from evaltasks.engine.runs.schedule import make_continuous_runs
from evaltasks.engine.runs.selection import ALREADY_LABELLED
from evaltasks.engine.runs.simulated_cancellation import simulate_cancellation
from evaltasks.engine.runs.store_retry import retry_until_store_available
from evaltasks.engine.runs.watch import Lease, Watch
from evaltasks.engine.store.ledger import outcome_counts
from evaltasks.engine.store.store import StoreError, Transaction, owner_name
from evaltasks.engine.store.task_runs import end_task_run

__all__ = ["Executor", "ExecutorLimits"]

logger = logging.getLogger(__name__)

_SECOND_US = 1_000_000
_RELEASE_SECONDS = 5.0
_CRASHED = "The engine failed on its own account; its log has this under reference {reference}."


@dataclass(frozen=True, slots=True)
class _ActiveClaim:
    claim: Claim
    scope: anyio.CancelScope


class Executor:
    def __init__(self, services: Services, limits: ExecutorLimits, judges: Judges) -> None:
        self._services = services
        self._limits = limits
        self._judges = judges
        self._places = anyio.Semaphore(limits.in_flight_max, fast_acquire=True)
        self._limiters = RateLimiters(services.clock, judges.rate_limit_status)
        self._in_hand: dict[str, _ActiveClaim] = {}  # by owner
        self._abandoned: set[int] = set()  # by the number of the task run: what this process cannot finish
        self._watch = Watch(limits.lease_seconds, limits.heartbeat_seconds)
        self._last_logged_error = ""
        self.poll_count = 0  # how often it has looked for work

    @property
    def active_task_run_ids(self) -> frozenset[str]:
        """The ids of the task runs this process is working on."""
        return frozenset(held.claim.run_id for held in self._in_hand.values())

    async def work(self) -> None:
        """Until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_leases)
                while True:
                    await self._turn(tasks)
                    await self._services.wake_signal.wait(self._limits.poll_seconds)
        finally:
            await self._release_all()

    async def _turn(self, tasks: TaskGroup) -> None:
        try:
            await self._drop_lost()
            await make_continuous_runs(self._services, self._limits)
            await self._claim_more(tasks)
            self.poll_count += 1
            self._last_logged_error = ""
        except StoreError as error:
            # Others could not renew either.
            self._watch.reset()
            if str(error) != self._last_logged_error:  # said once, not every second
                logger.error("the store failed; trying again: %s", error)
                self._last_logged_error = str(error)
        except Exception:
            logger.exception("crash %s in the executor's loop", secrets.token_hex(4))

    # --- claims ---------------------------------------------------------------------------------------------------

    async def _claim_more(self, tasks: TaskGroup) -> None:
        services = self._services
        room = self._limits.task_runs_max - len(self._in_hand)
        if room <= 0:
            return
        clock = services.clock
        busy = [*self._abandoned, *(held.claim.seq for held in self._in_hand.values())]
        free, leased = await services.store.read_by_key(
            lambda tx: (claims.claimable(tx, room, services.fault_injection), claims.leased_elsewhere(tx, busy))
        )
        looked_at = clock.monotonic_seconds()
        dead = self._watch.look(leased, now_us=to_us(clock.now()), monotonic_seconds=looked_at)
        for seen in sorted([*free, *dead], key=lambda lease: lease.seq)[:room]:
            claim = await self._claim(seen, looked_at)
            if claim is not None:
                self._in_hand[claim.owner] = _ActiveClaim(claim, anyio.CancelScope())
                tasks.start_soon(self._drive, self._in_hand[claim.owner])

    async def _claim(self, seen: Lease, looked_at: float) -> Claim | None:
        services, owner = self._services, owner_name()
        now_us = to_us(services.clock.now())
        lease_us = int(self._limits.lease_seconds * _SECOND_US)
        beginning = RunInitializer(services, seen, now_us)

        def work(tx: Transaction) -> Claim | None:
            waited = services.clock.monotonic_seconds() - looked_at
            if seen.owner is not None and waited > self._limits.heartbeat_seconds:
                # Whoever kept us from writing kept the owner from renewing.
                self._watch.reset()
                return None
            return claims.claim(tx, seen, owner=owner, now_us=now_us, lease_us=lease_us, start=beginning.select)

        try:
            await beginning.choose()
            return await services.store.write(work)
        except PermanentFailure as failure:
            reason = failure.reason
        except Problem as problem:
            # A filter that was right when the task was made, and is not any more.
            reason = problem.detail
        except StoreError:
            raise
        except Exception:
            reason = _log_crash(f"selecting rows of task run {seen.seq}")
        await services.store.write(lambda tx: _fail_unclaimed(tx, seen, reason, now_us))
        return None

    async def _keep_leases(self) -> None:
        services, limits = self._services, self._limits
        while True:
            await services.clock.sleep(limits.heartbeat_seconds)
            owners = list(self._in_hand)
            if not owners:
                continue
            until_us = to_us(services.clock.now()) + int(limits.lease_seconds * _SECOND_US)
            try:
                renew = partial(claims.renew, owners=owners, lease_until_us=until_us)
                held = await services.store.write(renew)
            except StoreError as error:
                # No one else can take them over meanwhile: that is writing, too.
                logger.warning("leases could not be renewed; trying again: %s", error)
                continue
            self._stop(set(owners) - held)

    async def _drop_lost(self) -> None:
        owners = list(self._in_hand)
        if owners:
            held = await self._services.store.read_by_key(lambda tx: claims.owned(tx, owners))
            self._stop(set(owners) - held)

    def _stop(self, owners: set[str]) -> None:
        for owner in owners & self._in_hand.keys():
            self._in_hand[owner].scope.cancel()

    async def _release_all(self) -> None:
        owners = list(self._in_hand)
        if not owners:
            return
        with anyio.move_on_after(_RELEASE_SECONDS, shield=True):
            try:
                await self._services.store.write(lambda tx: claims.release(tx, owners))
            except StoreError as error:
                logger.error("task runs could not be given back, their leases will run out: %s", error)

    # --- one task run ---------------------------------------------------------------------------------------------

    async def _drive(self, held: _ActiveClaim) -> None:
        claim = held.claim
        try:
            with held.scope:
                await self._execute(claim)
        except* Lost:
            logger.info("task run %s was cancelled, deleted or taken over", claim.run_id)
        except* StoreError as errors:
            await self._give_up(claim, _one_of(errors))
        except* Exception:
            await self._crashed(claim, _log_crash(f"task run {claim.run_id}"))
        # Not in a `finally`: what is still in hand when the engine is left is given back.
        del self._in_hand[claim.owner]
        self._services.wake_signal.notify()

    def _job(self, claim: Claim) -> Job:
        if claim.task.evaluates:
            return evaluation_job(self._services, self._judges, claim)
        return ExperimentJob(self._services, self._judges, claim)

    async def _execute(self, claim: Claim) -> None:
        injected_cancellation = self._services.fault_injection.injected_cancellation(claim.task)
        if injected_cancellation is not None:
            await simulate_cancellation(
                self._services,
                claim,
                injected_cancellation,
                None if injected_cancellation.comes_before_rows else self._job(claim),
            )
            return
        job = self._job(claim)
        try:
            broken = await RowWork(self._services, self._limits, self._places, self._limiters, claim, job).process_all()
        finally:
            await job.close()
        now_us = to_us(self._services.clock.now())
        finish = partial(self._services.store.write, lambda tx: _finish(tx, claim, job, broken, now_us))
        await retry_until_store_available(self._services.clock, finish)

    async def _give_up(self, claim: Claim, error: StoreError) -> None:
        """Leave the task run to its lease if the storage error may pass, else end it, FAILED if that can be written:
        judging rows again and again that cannot be recorded costs money."""
        if error.may_pass:
            logger.error("task run %s is left to its lease: %s", claim.run_id, error)
            return
        logger.error("task run %s is given up by this process: %s", claim.run_id, error)
        self._abandoned.add(claim.seq)
        await self._crashed(claim, str(error))

    async def _crashed(self, claim: Claim, reason: str) -> None:
        now_us = to_us(self._services.clock.now())
        try:
            await self._services.store.write(lambda tx: claims.end(tx, claim, Step.FAIL, reason, now_us))
        except StoreError as error:
            logger.error("task run %s is left to its lease: %s", claim.run_id, error)


def _one_of(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error = group.exceptions[0]
    return error if isinstance(error, StoreError) else _one_of(error)


def _log_crash(where: str) -> str:
    reference = secrets.token_hex(4)
    logger.exception("crash %s in %s", reference, where)
    return _CRASHED.format(reference=reference)


def _fail_unclaimed(tx: Transaction, seen: Lease, reason: str, now_us: int) -> None:
    """A task run whose rows could not be selected; somebody else may have ended it meanwhile."""
    row = claims.still_claimable(tx, seen)
    failed = after(TaskRunStatus(row["status"]), Step.FAIL) if row is not None else None
    if row is not None and failed is not None:
        end_task_run(tx, seen.seq, status=failed, from_status=row["status"], reason=reason, now_us=now_us)


def _stopped(claim: Claim, reason: str, waiting: int) -> str:
    """Why the task run was stopped, and how to go on with what it did not get to."""
    reason = reason[:1].upper() + reason[1:].rstrip(".") + "."
    if not waiting:
        return reason
    again = (
        "trigger the task again: what carries its evaluation already is skipped"
        if claim.task.evaluates
        else "trigger the task again with another experiment_name"
    )
    return f"{reason} {waiting} row{'s were' if waiting > 1 else ' was'} not tried; once that is fixed, {again}."


def _finish(tx: Transaction, claim: Claim, job: Job, broken: str | None, now_us: int) -> None:
    """End the task run by what its ledger says. Does nothing when it is no longer ours."""
    tally = outcome_counts(tx, claim.seq)
    if broken is not None:
        waiting = sum(line["n"] for line in tally if line["outcome"] == RowOutcome.WAITING)
        claims.end(tx, claim, Step.FAIL, _stopped(claim, broken, waiting), now_us)
        return
    assert all(line["outcome"] != RowOutcome.WAITING for line in tally), "a line was left out"
    tried = [line for line in tally if line["reason"] != ALREADY_LABELLED]
    if tried and all(line["outcome"] == RowOutcome.ERROR for line in tried):
        total = sum(line["n"] for line in tried)
        commonest = tried[0]  # the tally begins with the most frequent
        share = "" if commonest["n"] == total else f" (the reason of {commonest['n']} of {total})"
        reason = f"Every row was an error{share}: {commonest['reason']}"
        claims.end(tx, claim, Step.FAIL, reason, now_us)
    elif claims.end(tx, claim, Step.COMPLETE, None, now_us):
        job.complete(tx, now_us)
