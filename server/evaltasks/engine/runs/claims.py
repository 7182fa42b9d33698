"""Who works on a task run: claims under a lease, one transaction each, fenced by their owner.

Every claim has an owner of its own, a text never used again. What a claim's holder writes is written only while the
task run still carries that owner, so a holder that lost its lease unawares (a process that was suspended, say) writes
nothing. Renewing is not tied to the lease's time: as long as no one else took the task run over, it is still held.
When a lease is dead, `watch` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from evaltasks.api.task_runs import TaskRunStatus, TriggerTaskRun
from evaltasks.api.tasks import Task
from evaltasks.engine.fault_injection import NO_FAULTS, FaultInjection
from evaltasks.engine.runs.lifecycle import Step, after
from evaltasks.engine.runs.watch import Lease
from evaltasks.engine.store import task_runs
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.tasks import find_task


@dataclass(frozen=True, slots=True)
class Claim:
    """A task run in the hands of `owner`, with what it needs to know of its task."""

    seq: int
    run_id: str
    owner: str
    task: Task
    options: TriggerTaskRun
    plan: str | None
    experiment_id: str | None


Start = Callable[[Transaction, Claim], None]


def claimable(tx: Transaction, limit: int, fault_injection: FaultInjection = NO_FAULTS) -> list[Lease]:
    """The oldest task runs no one works on and that may begin. Only a hint: `claim` decides."""
    with closing(task_runs.unclaimed_rows(tx)) as rows:
        may_begin = (
            row for row in rows if row["status"] != TaskRunStatus.PENDING or fault_injection.may_begin(row["task_name"])
        )
        return [Lease(row["seq"], None, None) for row in islice(may_begin, limit)]


def leased_elsewhere(tx: Transaction, except_seqs: Sequence[int]) -> list[Lease]:
    """What others work on, or did when they died."""
    rows = task_runs.leased_rows(tx, except_seqs)
    return [Lease(row["seq"], row["owner"], row["lease_until_us"]) for row in rows]


def still_claimable(tx: Transaction, seen: Lease) -> Row | None:
    """The task run, unless somebody took, renewed or ended it since its lease was seen."""
    return task_runs.claimable_row(tx, seen.seq, owner=seen.owner, lease_until_us=seen.until_us)


def without_rows(tx: Transaction, seen: Lease) -> Claim | None:
    """The task run as whoever claims it now would find it, if its rows are still to be selected."""
    row = still_claimable(tx, seen)
    return None if row is None or row["num_selected"] is not None else _claim(tx, row, "")


def claim(tx: Transaction, seen: Lease, *, owner: str, now_us: int, lease_us: int, start: Start) -> Claim | None:
    """Take the task run; None when somebody else was faster or nothing is left to do on it.

    `start` selects the rows of a pending one, in the same transaction: a RUNNING task run always has its rows. (But for
    one that was staged to end without them; whoever takes that over without the stage selects them.)
    """
    row = still_claimable(tx, seen)
    if row is None:
        return None
    status = after(TaskRunStatus(row["status"]), Step.CLAIM)
    assert status is not None
    task_runs.claim_task_run(tx, seen.seq, status=status, owner=owner, now_us=now_us, lease_until_us=now_us + lease_us)
    if row["num_selected"] is None:
        start(tx, _claim(tx, row, owner))
    held = task_runs.owned_row(tx, seen.seq, owner)
    return None if held is None else _claim(tx, held, owner)


def _claim(tx: Transaction, row: Row, owner: str) -> Claim:
    task = find_task(tx, row["task_id"])
    assert task is not None  # a task run goes with its task
    return Claim(
        seq=row["seq"],
        run_id=row["id"],
        owner=owner,
        task=task,
        options=TriggerTaskRun.model_validate_json(row["options"]),
        plan=row["plan"],
        experiment_id=row["experiment_id"],
    )


def owned(tx: Transaction, owners: Sequence[str]) -> set[str]:
    """Those of the owners whose task run is still theirs: not cancelled, deleted or taken over."""
    return task_runs.current_owners(tx, owners)


def renew(tx: Transaction, owners: Sequence[str], lease_until_us: int) -> set[str]:
    """Extend the leases; those that are still held."""
    task_runs.renew_leases(tx, owners, lease_until_us)
    return owned(tx, owners)


def release(tx: Transaction, owners: Sequence[str]) -> None:
    """Give task runs back unfinished; whoever looks next goes on with them at once."""
    task_runs.release_leases(tx, owners)


def end(tx: Transaction, held: Claim, step: Step, reason: str | None, now_us: int) -> bool:
    """Bring the task run to an end; False when it is no longer this claim's to end."""
    row = task_runs.owned_row(tx, held.seq, held.owner)
    if row is None:
        return False
    status = after(TaskRunStatus(row["status"]), step)
    assert status is not None
    return task_runs.end_task_run(tx, held.seq, status=status, from_status=row["status"], reason=reason, now_us=now_us)
