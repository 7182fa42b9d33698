"""Claims of task runs: a lease with a fencing token, changed in one transaction each.

Every claim has an owner of its own, a text that is never used again. A write of the claim's holder takes effect only
while the task run still has that owner, so a holder that lost its lease without noticing (a suspended process, for
example) writes nothing. A lease can be renewed after its time: as long as no other process took the task run over, it
is still owned. `lease_monitor` decides when an owner is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from evaltasks.api.task_runs import TaskRunStatus, TriggerTaskRun
from evaltasks.api.tasks import Task
from evaltasks.engine.fault_injection import NO_FAULTS, FaultInjection
from evaltasks.engine.runs.lease_monitor import Lease
from evaltasks.engine.runs.lifecycle import Step, after
from evaltasks.engine.store import task_runs
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.tasks import find_task


@dataclass(frozen=True, slots=True)
class Claim:
    """A task run that `owner` works on, with the task as it was when the claim was made."""

    seq: int
    run_id: str
    owner: str
    task: Task
    options: TriggerTaskRun
    plan: str | None
    experiment_id: str | None


WriteLedger = Callable[[Transaction, Claim], None]


def claimable(tx: Transaction, limit: int, fault_injection: FaultInjection = NO_FAULTS) -> list[Lease]:
    """Return the oldest task runs that no process works on and that may start. Only a hint: `claim` decides."""
    with closing(task_runs.unclaimed_rows(tx)) as rows:
        startable = (
            row for row in rows if row["status"] != TaskRunStatus.PENDING or fault_injection.may_start(row["task_name"])
        )
        return [Lease(row["seq"], None, None) for row in islice(startable, limit)]


def leased_elsewhere(tx: Transaction, except_seqs: Sequence[int]) -> list[Lease]:
    """Return the leases of owners that work on a task run, or did when they died."""
    rows = task_runs.leased_rows(tx, except_seqs)
    return [Lease(row["seq"], row["owner"], row["lease_until_us"]) for row in rows]


def still_claimable(tx: Transaction, lease: Lease) -> Row | None:
    """Return the row of the task run, or None if it was claimed, renewed or ended since its lease was read."""
    return task_runs.claimable_row(tx, lease.seq, owner=lease.owner, lease_until_us=lease.until_us)


def unstarted(tx: Transaction, lease: Lease) -> Claim | None:
    """Return the claim that `claim` would make now, without an owner; None if the task run has its rows already."""
    row = still_claimable(tx, lease)
    return None if row is None or row["num_selected"] is not None else _claim(tx, row, "")


def claim(
    tx: Transaction, lease: Lease, *, owner: str, now_us: int, lease_us: int, write_ledger: WriteLedger
) -> Claim | None:
    """Claim a task run.

    A RUNNING task run always has its rows, because they are written in the same transaction. The one exception is an
    injected cancellation before selection; an owner without the injected fault selects the rows then.

    Args:
        tx: A transaction that writes.
        lease: The lease of the task run when it was last read.
        owner: The new owner, a text that was never used before.
        now_us: The wall clock, in microseconds.
        lease_us: How long the lease lasts without renewal, in microseconds.
        write_ledger: Writes the rows of a task run that has none.

    Returns:
        The claim, or None if another process was faster or the task run ended.
    """
    row = still_claimable(tx, lease)
    if row is None:
        return None
    status = after(TaskRunStatus(row["status"]), Step.CLAIM)
    assert status is not None
    task_runs.claim_task_run(tx, lease.seq, status=status, owner=owner, now_us=now_us, lease_until_us=now_us + lease_us)
    if row["num_selected"] is None:
        write_ledger(tx, _claim(tx, row, owner))
    owned_row = task_runs.owned_row(tx, lease.seq, owner)
    return None if owned_row is None else _claim(tx, owned_row, owner)


def _claim(tx: Transaction, row: Row, owner: str) -> Claim:
    task = find_task(tx, row["task_id"])
    assert task is not None  # a task run is deleted with its task
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
    """Return the owners that still own their task run: it was not cancelled, deleted or taken over."""
    return task_runs.current_owners(tx, owners)


def renew(tx: Transaction, owners: Sequence[str], lease_until_us: int) -> set[str]:
    """Extend the leases and return the owners that still own their task run."""
    task_runs.renew_leases(tx, owners, lease_until_us)
    return owned(tx, owners)


def release(tx: Transaction, owners: Sequence[str]) -> None:
    """Release unfinished task runs; the next executor that looks for work resumes them at once."""
    task_runs.release_leases(tx, owners)


def end(tx: Transaction, claim: Claim, step: Step, reason: str | None, now_us: int) -> bool:
    """End the task run; return False if the claim was lost."""
    row = task_runs.owned_row(tx, claim.seq, claim.owner)
    if row is None:
        return False
    status = after(TaskRunStatus(row["status"]), step)
    assert status is not None
    return task_runs.end_task_run(tx, claim.seq, status=status, from_status=row["status"], reason=reason, now_us=now_us)
