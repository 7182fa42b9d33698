"""Tasks and the evaluators attached to them, as the store keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import TypeAdapter

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.run_configurations import RunConfiguration
from evaltasks.api.tasks import EvaluatorAttachment, QueryFilters, QueryMapping, Task, TaskEvaluator
from evaltasks.engine.clock import from_us, from_us_or_none
from evaltasks.engine.store.evaluators import find_version, latest_version
from evaltasks.engine.store.store import Row, Transaction

_RUN_CONFIGURATION: TypeAdapter[RunConfiguration] = TypeAdapter(RunConfiguration)
_QUERY_MAPPINGS: TypeAdapter[list[QueryMapping]] = TypeAdapter(list[QueryMapping])


def task_of(tx: Transaction, task_id: str) -> Task | None:
    row = tx.fetch_one("tasks.by_id", {"id": task_id})
    return tasks_from(tx, [row])[0] if row is not None else None


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


def tasks_from(tx: Transaction, rows: Sequence[Row]) -> list[Task]:
    """The wire models of rows of `tasks`, with their evaluators' names joined."""
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
    configuration, query_filters = row["run_configuration"], row["query_filters"]
    return Task(
        id=row["id"],
        name=row["name"],
        type=row["type"],
        project_id=row["project_id"],
        dataset_id=row["dataset_id"],
        is_continuous=bool(row["is_continuous"]),
        sampling_rate=row["sampling_rate"],
        query_filter=row["query_filter"],
        query_filters=QueryFilters.model_validate_json(query_filters) if query_filters is not None else None,
        evaluators=evaluators,
        experiment_ids=json.loads(row["experiment_ids"]),
        run_configuration=_RUN_CONFIGURATION.validate_json(configuration) if configuration is not None else None,
        last_run_at=from_us_or_none(row["last_run_us"]),
        created_at=from_us(row["created_us"]),
        updated_at=from_us(row["updated_us"]),
    )


def run_configuration_text(configuration: RunConfiguration | None) -> str | None:
    """Return the normalized configuration as JSON for the store, without the fields that are not set."""
    return None if configuration is None else configuration.normalized().model_dump_json(exclude_none=True)


def query_filters_text(given: QueryFilters | None) -> str | None:
    """As JSON for the store, with the expression that a single filter may leave out."""
    if given is None:
        return None
    expression = (given.expression or "").strip() or given.filters[0].id.value
    return given.model_copy(update={"expression": expression}).model_dump_json()


def attach(tx: Transaction, task_id: str, attachments: Sequence[EvaluatorAttachment]) -> None:
    """Replace the task's evaluators, in the order given."""
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
    """The pinned version, or the evaluator's latest without a pin. None when there is no such version of it."""
    version = latest_version(tx, evaluator_id) if version_id is None else find_version(tx, version_id)
    return version if version is not None and version.evaluator_id == evaluator_id else None
