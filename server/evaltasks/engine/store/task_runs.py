"""Task runs in the store: reading, claiming under a lease, counting and ending them."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable

from evaltasks.api.task_runs import TaskRun, TaskRunStatus, TriggerTaskRun
from evaltasks.engine.clock import from_us, from_us_or_none
from evaltasks.engine.store.store import Row, Transaction


def find_task_run(tx: Transaction, run_id: str) -> TaskRun | None:
    row = tx.fetch_one("task_runs.by_id", {"id": run_id})
    return task_run_from_row(row) if row is not None else None


def task_run_from_row(row: Row) -> TaskRun:
    return TaskRun(
        id=row["id"],
        task_id=row["task_id"],
        status=row["status"],
        run_started_at=from_us_or_none(row["started_us"]),
        run_finished_at=from_us_or_none(row["finished_us"]),
        data_start_time=from_us_or_none(row["data_start_us"]),
        data_end_time=from_us_or_none(row["data_end_us"]),
        num_successes=row["num_successes"],
        num_errors=row["num_errors"],
        num_skipped=row["num_skipped"],
        num_selected=row["num_selected"],
        experiment_id=row["experiment_id"],
        failure_reason=row["failure_reason"],
        chained_task_run_ids=json.loads(row["chained_task_run_ids"] or "null"),
        created_at=from_us(row["created_us"]),
    )


def add_task_run(
    tx: Transaction,
    *,
    run_id: str,
    task_id: str,
    options: TriggerTaskRun,
    now_us: int,
    window_us: tuple[int | None, int | None] = (None, None),
    span_seqs: tuple[int, int] | None = None,
) -> None:
    """Store a new task run, PENDING, and set the task's last run.

    Args:
        tx: The transaction.
        run_id: The id of the task run.
        task_id: The task.
        options: What was asked for when it was triggered.
        now_us: The time of creation in microseconds.
        window_us: Start and end of the data window in microseconds.
        span_seqs: For a continuous task run: the spans after the first number, up to the second.
    """
    after_seq, upto_seq = span_seqs or (None, None)
    tx.run(
        "task_runs.insert",
        {
            "id": run_id,
            "task_id": task_id,
            "options": options.model_dump_json(exclude_none=True),
            "data_start_us": window_us[0],
            "data_end_us": window_us[1],
            "after_span_seq": after_seq,
            "upto_span_seq": upto_seq,
            "now_us": now_us,
        },
    )
    tx.run("tasks.set_last_run", {"id": task_id, "now_us": now_us})


def task_run_row(tx: Transaction, run_id: str) -> Row | None:
    """Return the row of the task run with this id."""
    return tx.fetch_one("task_runs.by_id", {"id": run_id})


def task_run_row_by_seq(tx: Transaction, seq: int) -> Row | None:
    """Return the row of the task run with this number."""
    return tx.fetch_one("task_runs.by_seq", {"seq": seq})


def task_run_rows(
    tx: Transaction, task_id: str, *, status: TaskRunStatus | None, before_seq: object, limit: int
) -> list[Row]:
    """Return the task runs of a page and one more, newest first."""
    values = {"task_id": task_id, "status": status, "before": before_seq, "limit": limit + 1}
    return tx.fetch_all("task_runs.page", values)


def recent_windows(tx: Transaction, task_id: str) -> list[Row]:
    """Return status and window of the task's last triggered runs that have a window, newest first."""
    return tx.fetch_all("task_runs.recent_windows", {"task_id": task_id})


def is_experiment_name_reserved(tx: Transaction, dataset_id: str, name: str) -> bool:
    """Return True if a pending task run of the dataset is going to create an experiment of this name."""
    return tx.fetch_one("task_runs.reserved_experiment_name", {"dataset_id": dataset_id, "name": name}) is not None


# --- claims: see `engine.runs.claims` for the rules


def unclaimed_rows(tx: Transaction) -> Generator[Row]:
    """Yield seq, status and task_name of the unfinished task runs without a lease, oldest first.

    Close the generator before the transaction ends.
    """
    return tx.iterate("task_runs.unclaimed")


def leased_rows(tx: Transaction, except_seqs: Iterable[int]) -> list[Row]:
    """Return seq, owner and lease_until_us of the leased task runs, except those of these numbers."""
    return tx.fetch_all("task_runs.leased", {"except_seqs": json.dumps(list(except_seqs))})


def claimable_row(tx: Transaction, seq: int, *, owner: str | None, lease_until_us: int | None) -> Row | None:
    """Return the unfinished task run if it still has this owner and this lease."""
    return tx.fetch_one("task_runs.claimable", {"seq": seq, "owner": owner, "until_us": lease_until_us})


def claim_task_run(
    tx: Transaction, seq: int, *, status: TaskRunStatus, owner: str, now_us: int, lease_until_us: int
) -> None:
    """Set status, owner and lease of a task run, and its start if it has none."""
    values = {"seq": seq, "status": status, "owner": owner, "now_us": now_us, "lease_until_us": lease_until_us}
    tx.run("task_runs.claim", values)


def owned_row(tx: Transaction, seq: int, owner: str) -> Row | None:
    """Return the running task run if this owner holds it."""
    return tx.fetch_one("task_runs.owned", {"seq": seq, "owner": owner})


def current_owners(tx: Transaction, owners: Iterable[str]) -> set[str]:
    """Return those of the owners that hold a running task run."""
    return {row["owner"] for row in tx.fetch_all("task_runs.current_owners", {"owners": json.dumps(list(owners))})}


def renew_leases(tx: Transaction, owners: Iterable[str], lease_until_us: int) -> None:
    tx.run("task_runs.renew_leases", {"owners": json.dumps(list(owners)), "lease_until_us": lease_until_us})


def release_leases(tx: Transaction, owners: Iterable[str]) -> None:
    tx.run("task_runs.release_leases", {"owners": json.dumps(list(owners))})


# --- progress and end


def set_selected(
    tx: Transaction, seq: int, *, num_selected: int, num_skipped: int, plan: str, experiment_id: str | None = None
) -> None:
    """Store how many rows were selected, and the plan (JSON) by which they are processed."""
    values = {"num_selected": num_selected, "num_skipped": num_skipped, "experiment_id": experiment_id, "plan": plan}
    tx.run("task_runs.set_selected", {**values, "seq": seq})


def set_window(tx: Transaction, seq: int, start_us: int | None, end_us: int | None) -> None:
    """Store the window that a continuous task run covers."""
    tx.run("task_runs.set_window", {"seq": seq, "data_start_us": start_us, "data_end_us": end_us})


def set_chained_task_runs(tx: Transaction, seq: int, run_ids: list[str]) -> None:
    """Store the ids of the task runs that the completion of this one triggered."""
    tx.run("task_runs.set_chained_task_runs", {"seq": seq, "ids": json.dumps(run_ids)})


def add_counts(tx: Transaction, seq: int, *, successes: int, errors: int, skipped: int) -> None:
    """Add to the counts of a task run."""
    tx.run("task_runs.add_counts", {"seq": seq, "successes": successes, "errors": errors, "skipped": skipped})


def end_task_run(
    tx: Transaction, seq: int, *, status: TaskRunStatus, from_status: str, reason: str | None, now_us: int
) -> bool:
    """End a task run.

    Returns:
        False if its status is not `from_status` any more: of two that end it, one wins.
    """
    values = {"seq": seq, "status": status, "from_status": from_status, "reason": reason, "now_us": now_us}
    return tx.run("task_runs.end", values) == 1
