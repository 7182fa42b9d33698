"""Tasks in the store, and the evaluators that are attached to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import TASK_SETTINGS, EvaluatorAttachment, QueryMapping, Task, TaskEvaluator
from evaltasks.engine.clock import from_us, from_us_or_none
from evaltasks.engine.store.evaluators import find_version, latest_version
from evaltasks.engine.store.store import Row, Transaction

_QUERY_MAPPINGS: TypeAdapter[list[QueryMapping]] = TypeAdapter(list[QueryMapping])
_STRUCTURED: TypeAdapter[Any] = TypeAdapter(Any)


def find_task(tx: Transaction, task_id: str) -> Task | None:
    row = tx.fetch_one("tasks.by_id", {"id": task_id})
    return tasks_from_rows(tx, [row])[0] if row is not None else None


def task_row(tx: Transaction, task_id: str) -> Row | None:
    """Return the row of the task with this id; it has the columns that the wire model lacks, such as space_id."""
    return tx.fetch_one("tasks.by_id", {"id": task_id})


def continuous_rows(tx: Transaction, *, ran_before_us: int, now_us: int) -> list[Row]:
    """Return id, project_id, after_seq and upto_seq of the continuous tasks that have new spans to take.

    Left out are tasks with an unfinished task run and those whose last one started after `ran_before_us`.
    """
    return tx.fetch_all("tasks.continuous", {"ran_before_us": ran_before_us, "now_us": now_us})


def take_spans_upto(tx: Transaction, task_id: str, upto_seq: int) -> None:
    """Mark the spans up to this number as taken by the continuous task."""
    tx.run("tasks.take_spans_upto", {"id": task_id, "upto_seq": upto_seq})


def tasks_from_rows(tx: Transaction, rows: Sequence[Row]) -> list[Task]:
    """Return the tasks of these rows with their evaluators. Makes one query."""
    attached: dict[str, list[TaskEvaluator]] = {}
    for line in tx.fetch_all("tasks.attachments", {"task_ids": json.dumps([row["id"] for row in rows])}):
        mappings, query_mappings = line["column_mappings"], line["query_mappings"]
        attached.setdefault(line["task_id"], []).append(
            TaskEvaluator(
                evaluator_id=line["evaluator_id"],
                evaluator_name=line["evaluator_name"],
                evaluator_version_id=line["evaluator_version_id"],
                query_filter=line["query_filter"],
                column_mappings=json.loads(mappings) if mappings is not None else None,
                query_mappings=_QUERY_MAPPINGS.validate_json(query_mappings) if query_mappings is not None else None,
            )
        )
    return [_task(row, attached.get(row["id"], [])) for row in rows]


def _task(row: Row, evaluators: list[TaskEvaluator]) -> Task:
    return Task.model_validate(
        {
            "id": row["id"],
            "name": row["name"],
            "type": row["type"],
            "project_id": row["project_id"],
            "dataset_id": row["dataset_id"],
            **{name: _from_column(name, row[name]) for name in TASK_SETTINGS},
            "evaluators": evaluators,
            "experiment_ids": json.loads(row["experiment_ids"]),
            "last_run_at": from_us_or_none(row["last_run_us"]),
            "created_at": from_us(row["created_us"]),
            "updated_at": from_us(row["updated_us"]),
        }
    )


def _from_column(name: str, value: Any) -> Any:
    return json.loads(value) if TASK_SETTINGS[name].stored_as_json and value is not None else value


def _to_column(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    # Without the fields that are not set, so that a configuration reads back as it was written.
    return _STRUCTURED.dump_json(value, exclude_none=True).decode() if TASK_SETTINGS[name].stored_as_json else value


def setting_columns(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the columns of these settings: JSON text for structured ones, null for an empty text."""
    return {name: _to_column(name, value) for name, value in settings.items()}


def insert_task(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Insert a task. `values` holds every parameter of `tasks.insert` and a column value for every setting."""
    parameters = ", ".join(f":{name}" for name in TASK_SETTINGS)
    tx.run("tasks.insert", values, columns=", ".join(TASK_SETTINGS), parameters=parameters)


def update_task(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Write the name and all settings of a task. `values` is as for `insert_task`."""
    tx.run("tasks.update", values, assignments=", ".join(f"{name} = :{name}" for name in TASK_SETTINGS))


def has_task_named(tx: Transaction, space_id: str, name: str, *, except_id: str | None = None) -> bool:
    """Return True if another task of the space than `except_id` has this name."""
    values = {"space_id": space_id, "name": name, "except_id": except_id}
    return tx.fetch_one("tasks.named", values) is not None


def task_rows(tx: Transaction, selectors: Mapping[str, object], before_seq: object, limit: int) -> list[Row]:
    """Return the tasks of a page and one more, newest first.

    Args:
        tx: The transaction.
        selectors: The fields of `ListTasks` that narrow the list; None does not narrow.
        before_seq: The number of the last task of the page before.
        limit: The size of a page.
    """
    return tx.fetch_all("tasks.page", {**selectors, "before": before_seq, "limit": limit + 1})


def delete_task(tx: Transaction, task_id: str) -> None:
    """Delete a task with its task runs."""
    tx.run("tasks.delete", {"id": task_id})


def attach(tx: Transaction, task_id: str, attachments: Sequence[EvaluatorAttachment]) -> None:
    """Replace the evaluators of a task, in this order."""
    tx.run("tasks.detach_all", {"task_id": task_id})
    for position, attachment in enumerate(attachments):
        mappings, query_mappings = attachment.column_mappings, attachment.query_mappings
        tx.run(
            "tasks.attach",
            {
                "task_id": task_id,
                "position": position,
                "evaluator_id": attachment.evaluator_id,
                "evaluator_version_id": attachment.evaluator_version_id,
                "query_filter": attachment.query_filter or None,
                "column_mappings": json.dumps(mappings, ensure_ascii=False) if mappings is not None else None,
                "query_mappings": None
                if query_mappings is None
                else _QUERY_MAPPINGS.dump_json(query_mappings).decode(),
            },
        )


def last_span_seq(tx: Transaction) -> int:
    """Return the number of the newest span of the whole store; 0 if there is none."""
    row = tx.fetch_one("tasks.last_span_seq")
    return int(row["seq"]) if row is not None else 0


def version_for(tx: Transaction, evaluator_id: str, version_id: str | None) -> EvaluatorVersion | None:
    """Return the pinned version of an evaluator, or its latest one if `version_id` is None.

    Returns:
        None if the evaluator has no such version.
    """
    version = latest_version(tx, evaluator_id) if version_id is None else find_version(tx, version_id)
    return version if version is not None and version.evaluator_id == evaluator_id else None
