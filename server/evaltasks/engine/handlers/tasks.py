"""Tasks: list, create, get, update, delete. `task_rules` validates which fields belong to which type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from evaltasks.api.problems import BadRequest, NotFound
from evaltasks.api.tasks import (
    TASK_SETTINGS,
    AppliesTo,
    CreateTask,
    ListTasks,
    Task,
    TaskPage,
    UpdateTask,
    settings_for,
)
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import moved_us, to_us
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.task_rules import validate_creation, validate_update
from evaltasks.engine.runs.projection import projected_rows_per_day
from evaltasks.engine.store import tasks
from evaltasks.engine.store.datasets import dataset_row
from evaltasks.engine.store.projects import find_project
from evaltasks.engine.store.spaces import find_space
from evaltasks.engine.store.store import Row, Transaction

_FINDERS: Mapping[str, Callable[[Transaction, str], object | None]] = {
    "space": find_space,
    "project": find_project,
    "dataset": dataset_row,
}


def require_task(tx: Transaction, task_id: str) -> Task:
    """Return the task with this id. Raises NotFound if there is none."""
    task = tasks.find_task(tx, task_id)
    if task is None:
        raise NotFound("There is no task with this id; it may have been deleted. List the tasks to see which exist.")
    return task


async def list_tasks(call: Call) -> TaskPage:
    """List tasks, newest first. A space, project or dataset that does not exist is a 404, not an empty list."""
    query = call.query(ListTasks)
    scope = scope_of("tasks", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])
    selectors = query.model_dump(exclude={"limit", "cursor"})

    def work(tx: Transaction) -> tuple[list[Row], list[Task]]:
        for resource, find in _FINDERS.items():
            id_ = selectors[f"{resource}_id"]
            if id_ is not None and find(tx, id_) is None:
                raise NotFound(f"There is no {resource} with this {resource}_id.")
        rows = tasks.task_rows(tx, selectors, before_seq, query.limit)
        return rows, tasks.tasks_from_rows(tx, rows[: query.limit])

    rows, page = await call.services.store.read(work)
    _, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return TaskPage(tasks=page, pagination=pagination)


async def create_task(call: Call) -> Task:
    """Create a task. All problems of a request are reported together."""
    body, services = call.body(CreateTask), call.services

    def work(tx: Transaction) -> Task:
        space_id = validate_creation(tx, body)
        task_id = services.new_id("OnlineTask")
        is_continuous = bool(body.is_continuous)
        tasks.insert_task(
            tx,
            {
                "id": task_id,
                "space_id": space_id,
                "name": body.name,
                "type": body.type,
                "project_id": body.project_id,
                "dataset_id": body.dataset_id,
                "experiment_ids": json.dumps(body.experiment_ids or []),
                **_setting_columns(body),
                "is_continuous": is_continuous,
                # A continuous task starts with the next span; existing spans are not new.
                "continuous_after_seq": tasks.last_span_seq(tx) if is_continuous else None,
                "now_us": to_us(services.clock.now()),
            },
        )
        tasks.attach(tx, task_id, body.evaluators or [])
        return require_task(tx, task_id)

    return await _with_projection(services, await services.store.write(work))


def _setting_columns(body: CreateTask | UpdateTask) -> dict[str, Any]:
    """Return the values of the columns of all settings of a request."""
    settings = {name: getattr(body, name) for name in TASK_SETTINGS}
    settings["query_filters"] = body.query_filters.completed() if body.query_filters is not None else None
    configuration = body.run_configuration
    settings["run_configuration"] = configuration.normalized() if configuration is not None else None
    return tasks.setting_columns(settings)


async def get_task(call: Call) -> Task:
    """Get a task with the number of rows per day that it would evaluate as a continuous task."""

    def read(tx: Transaction) -> tuple[Task, int]:
        return require_task(tx, call.path["task_id"]), tasks.last_span_seq(tx)

    task, newest_seq = await call.services.store.read_by_key(read)
    known = call.services.projections.recent(task, newest_seq, call.services.clock.monotonic_seconds())
    if known is not None:
        return task.model_copy(update={"projected_rows_per_day": known[0]})
    return await _with_projection(call.services, task)


async def _with_projection(services: Services, task: Task) -> Task:
    """Return the task with its projected rows per day as a continuous task, where that is known."""
    if task.project_id is None:
        return task
    now_us = to_us(services.clock.now())

    def project(tx: Transaction) -> tuple[int | None, int]:
        return projected_rows_per_day(tx, task, now_us), tasks.last_span_seq(tx)

    projected, newest_seq = await services.store.read(project)
    services.projections.keep(task, newest_seq, services.clock.monotonic_seconds(), projected)
    return task.model_copy(update={"projected_rows_per_day": projected})


_EVALUATION_FIELDS = settings_for(AppliesTo.EVERY_TASK, AppliesTo.EVALUATION_TASKS, AppliesTo.PROJECT_TASKS)
_EXPERIMENT_FIELDS = settings_for(AppliesTo.EVERY_TASK, AppliesTo.EXPERIMENT_TASKS)
_NO_FIELDS = (
    f"No fields to update: provide at least one of name, evaluators, {', '.join(_EVALUATION_FIELDS)} "
    f"(evaluation tasks), or of name, {', '.join(_EXPERIMENT_FIELDS)} (run_experiment tasks)."
)


async def update_task(call: Call) -> Task:
    """Update a task. All problems of a request are reported together."""
    body, services = call.body(UpdateTask), call.services
    if not body.model_fields_set:
        raise BadRequest(_NO_FIELDS)

    def work(tx: Transaction) -> Task:
        task = require_task(tx, call.path["task_id"])
        row = tasks.task_row(tx, task.id)
        assert row is not None
        validate_update(tx, task, str(row["space_id"]), body)
        tasks.update_task(
            tx,
            {
                "id": task.id,
                **_changed(tx, row, body),
                "now_us": moved_us(row["updated_us"], to_us(services.clock.now())),
            },
        )
        if body.evaluators is not None:
            tasks.attach(tx, task.id, body.evaluators)
        return require_task(tx, task.id)

    changed = await services.store.write(work)
    services.wake_signal.notify()
    return await _with_projection(services, changed)


def _changed(tx: Transaction, row: Row, body: UpdateTask) -> dict[str, Any]:
    """Return the columns as they are after the update. Null clears a setting with `null_clears`; others stay."""
    values: dict[str, Any] = {
        "name": row["name"] if body.name is None else body.name,
        **{name: row[name] for name in TASK_SETTINGS},
        "continuous_after_seq": row["continuous_after_seq"],
    }
    values |= {
        name: value
        for name, value in _setting_columns(body).items()
        if name in body.model_fields_set and (value is not None or TASK_SETTINGS[name].null_clears)
    }
    if values["is_continuous"] and not row["is_continuous"]:
        values["continuous_after_seq"] = tasks.last_span_seq(tx)
    return values


async def delete_task(call: Call) -> None:
    """Delete a task with its task runs; a running one is stopped."""

    def work(tx: Transaction) -> None:
        task = require_task(tx, call.path["task_id"])
        tasks.delete_task(tx, task.id)

    await call.services.store.write(work)
    call.services.wake_signal.notify()
