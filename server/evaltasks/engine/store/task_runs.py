"""Task runs and their ledger, as the store keeps them."""

from __future__ import annotations

import json

from evaltasks.api.task_runs import TaskRun, TaskRunRow, TriggerTaskRun
from evaltasks.engine.clock import from_us, from_us_or_none
from evaltasks.engine.store.store import Row, Transaction


def task_run_of(tx: Transaction, run_id: str) -> TaskRun | None:
    row = tx.fetch_one("task_runs.by_id", {"id": run_id})
    return task_run_from(row) if row is not None else None


def task_run_from(row: Row) -> TaskRun:
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


def row_from(line: Row) -> TaskRunRow:
    return TaskRunRow(
        row_kind=line["row_kind"],
        row_id=line["row_id"],
        trace_id=line["trace_id"],
        evaluator_id=line["evaluator_id"],
        evaluator_version_id=line["evaluator_version_id"],
        evaluation_name=line["evaluation_name"],
        outcome=line["outcome"],
        label=line["label"],
        score=line["score"],
        explanation=line["explanation"],
        reason=line["reason"],
        detail=line["detail"],
        provenance=json.loads(line["provenance"]) if line["provenance"] is not None else None,
        recorded_at=from_us_or_none(line["recorded_us"]),
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
    """A new task run, PENDING. `span_seqs` is what a continuous one covers: after the first, up to the second."""
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
    tx.run("tasks.ran", {"id": task_id, "now_us": now_us})
