"""Task runs: trigger, list, get, cancel, and list the outcome of each row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from evaltasks.api.problems import BadRequest, NotFound, Problem
from evaltasks.api.task_runs import (
    ListTaskRunRows,
    ListTaskRuns,
    TaskRun,
    TaskRunPage,
    TaskRunRowPage,
    TaskRunStatus,
    TriggerTaskRun,
)
from evaltasks.api.tasks import Task
from evaltasks.engine.call import Call
from evaltasks.engine.clock import from_us, to_us
from evaltasks.engine.filters.compile import Target, compile_filter
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.handlers.task_rules import validate_experiments
from evaltasks.engine.handlers.tasks import require_task
from evaltasks.engine.runs.lifecycle import Step, after
from evaltasks.engine.store import ledger
from evaltasks.engine.store.datasets import find_version, unknown_example_indexes
from evaltasks.engine.store.experiments import has_experiment_named
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.task_runs import (
    add_task_run,
    end_task_run,
    find_task_run,
    is_experiment_name_reserved,
    recent_windows,
    task_run_from_row,
    task_run_row,
    task_run_rows,
)
from evaltasks.engine.store.tasks import task_row

WINDOW_MAX = timedelta(days=30)
_EVALUATION_OPTIONS = ("data_start_time", "data_end_time", "max_spans", "override_evaluations", "experiment_ids")
_EXPERIMENT_OPTIONS = (
    "experiment_name",
    "dataset_version_id",
    "example_ids",
    "max_examples",
    "query_filter",
    "tracing_metadata",
    "evaluation_task_ids",
)


def require_task_run(tx: Transaction, run_id: str) -> Row:
    """Return the row of the task run with this id. Raises NotFound if there is none."""
    row = task_run_row(tx, run_id)
    if row is None:
        raise NotFound("There is no task run with this id; task runs are deleted with their task.")
    return row


async def trigger_task_run(call: Call) -> TaskRun:
    """Create a pending task run. All problems of a request are reported together."""
    body, services = call.body(TriggerTaskRun), call.services
    now = services.clock.now()

    def work(tx: Transaction) -> TaskRun:
        task = require_task(tx, call.path["task_id"])
        problems = ProblemList()
        window: tuple[datetime | None, datetime | None] = (None, None)
        if task.evaluates:
            _refuse_options(body, _EXPERIMENT_OPTIONS, "run_experiment", task, problems)
            window = _window(tx, task, body, now, problems)
            _validate_options(tx, task, body, problems)
        else:
            _refuse_options(body, _EVALUATION_OPTIONS, "evaluation", task, problems)
            _validate_experiment(tx, task, body, problems)
        problems.raise_any()
        run_id = services.new_id("TaskRun")
        add_task_run(
            tx,
            run_id=run_id,
            task_id=task.id,
            options=body,
            now_us=to_us(now),
            window_us=(_us_or_none(window[0]), _us_or_none(window[1])),
        )
        task_run = find_task_run(tx, run_id)
        assert task_run is not None
        return task_run

    task_run = await services.store.write(work)
    services.wake_signal.notify()
    return task_run


def _us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def _refuse_options(body: TriggerTaskRun, names: tuple[str, ...], kind: str, task: Task, problems: ProblemList) -> None:
    for name in names:
        if getattr(body, name) not in (None, []):
            problems.bad_request(f"{name} applies to {kind} tasks; this is a {task.type.lower()} task")


def _window(
    tx: Transaction, task: Task, body: TriggerTaskRun, now: datetime, problems: ProblemList
) -> tuple[datetime | None, datetime | None]:
    """Return start and end of the data window.

    A dataset task may have a window, which is returned to the client but selects nothing: its rows have no time.
    """
    start, end = body.data_start_time, body.data_end_time
    if task.project_id is None and start is None and end is None:
        return None, None
    end = end or now
    if start is None and task.project_id is not None:
        start = _next_start(tx, task)
        if start is None:
            problems.bad_request(
                "data_start_time is required on the first run of a project task, because there is no earlier run"
            )
            return None, end
    if start is None:
        return None, end
    if start >= end:
        origin = "" if body.data_start_time else ", which is the end of the last run,"
        problems.unprocessable(
            f"data_start_time ({_shown(start)}){origin} must be before data_end_time ({_shown(end)})"
        )
    elif end - start > WINDOW_MAX:
        problems.unprocessable(
            f"the window is {(end - start) / timedelta(days=1):.1f} days long, from {_shown(start)} to {_shown(end)}; "
            "at most 30 days are allowed: trigger several runs with shorter windows"
        )
    return start, end


def _next_start(tx: Transaction, task: Task) -> datetime | None:
    """Return the end of the last window that was evaluated: windows of failed and cancelled runs are repeated."""
    unfinished_start: datetime | None = None
    for row in recent_windows(tx, task.id):
        if row["status"] not in {TaskRunStatus.FAILED, TaskRunStatus.CANCELLED}:
            return from_us(row["data_end_us"])
        if row["data_start_us"] is not None:
            unfinished_start = from_us(row["data_start_us"])
    return unfinished_start


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _validate_options(tx: Transaction, task: Task, body: TriggerTaskRun, problems: ProblemList) -> None:
    if body.experiment_ids and task.dataset_id is None:
        problems.bad_request("experiment_ids applies to dataset tasks; this task evaluates a project's spans")
    elif body.experiment_ids and task.dataset_id is not None:
        validate_experiments(tx, body.experiment_ids, task.dataset_id, problems)


def _validate_experiment(tx: Transaction, task: Task, body: TriggerTaskRun, problems: ProblemList) -> None:
    assert task.dataset_id is not None
    dataset_id = task.dataset_id
    if body.experiment_name is None:
        problems.bad_request("experiment_name is required: a run of a run_experiment task creates an experiment")
    else:
        name = body.experiment_name
        if has_experiment_named(tx, dataset_id, name) or is_experiment_name_reserved(tx, dataset_id, name):
            problems.conflict(
                "experiment_name: the dataset already has an experiment with this name; choose another name"
            )
    version = find_version(tx, dataset_id, body.dataset_version_id)
    if version is None:
        problems.not_found("dataset_version_id: the dataset of the task has no version with this id")
    elif body.example_ids:
        for index in unknown_example_indexes(tx, version.id, body.example_ids):
            problems.unprocessable(f"example_ids[{index}] is not an example of this version of the dataset")
    if body.example_ids and body.max_examples is not None:
        problems.bad_request("example_ids and max_examples exclude each other; provide one of them")
    if body.query_filter:
        try:
            compile_filter(body.query_filter, Target.EXAMPLE, field="query_filter")
        except Problem as problem:
            problems.add(problem)
    _validate_chained(tx, dataset_id, body.evaluation_task_ids or (), problems)


def _validate_chained(tx: Transaction, dataset_id: str, task_ids: Sequence[str], problems: ProblemList) -> None:
    for index, task_id in enumerate(task_ids):
        row = task_row(tx, task_id)
        if row is None:
            problems.not_found(f"evaluation_task_ids[{index}]: there is no task with this id")
        elif row["type"] == "RUN_EXPERIMENT" or row["dataset_id"] != dataset_id:
            problems.unprocessable(
                f"evaluation_task_ids[{index}] must be an evaluation task on the same dataset as this task"
            )


async def list_task_runs(call: Call) -> TaskRunPage:
    """List the task runs of a task, newest first."""
    query = call.query(ListTaskRuns)
    task_id = call.path["task_id"]
    scope = scope_of("task_runs", query, task_id)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        require_task(tx, task_id)
        return task_run_rows(tx, task_id, status=query.status, before_seq=before_seq, limit=query.limit)

    rows, pagination = paginate(await call.services.store.read(work), query.limit, scope, lambda row: [row["seq"]])
    return TaskRunPage(task_runs=[task_run_from_row(row) for row in rows], pagination=pagination)


async def get_task_run(call: Call) -> TaskRun:
    """Get a task run."""
    row = await call.services.store.read_by_key(lambda tx: require_task_run(tx, call.path["run_id"]))
    return task_run_from_row(row)


async def cancel_task_run(call: Call) -> TaskRun:
    """Cancel a task run. Its evaluations are kept; the process that runs it stops within one judge call."""
    services = call.services

    def work(tx: Transaction) -> TaskRun:
        row = require_task_run(tx, call.path["run_id"])
        cancelled = after(TaskRunStatus(row["status"]), Step.CANCEL)
        if cancelled is None:
            raise BadRequest(
                f"The task run is already {row['status']}; only a pending or running one can be cancelled."
            )
        end_task_run(
            tx,
            row["seq"],
            status=cancelled,
            from_status=row["status"],
            reason="Cancelled on request.",
            now_us=to_us(services.clock.now()),
        )
        return task_run_from_row(require_task_run(tx, row["id"]))

    task_run = await services.store.write(work)
    services.wake_signal.notify()
    return task_run


async def list_task_run_rows(call: Call) -> TaskRunRowPage:
    """List the rows of a task run in the order in which they were selected."""
    query = call.query(ListTaskRunRows)
    run_id = call.path["run_id"]
    scope = scope_of("task_run_rows", query, run_id)
    (after_position,) = key_from(scope, query.cursor, [-1])

    def work(tx: Transaction) -> list[Row]:
        return ledger.ledger_rows(
            tx,
            require_task_run(tx, run_id)["seq"],
            after_position=after_position,
            limit=query.limit,
            outcome=query.outcome,
            evaluator_id=query.evaluator_id,
        )

    rows, pagination = paginate(await call.services.store.read(work), query.limit, scope, lambda row: [row["position"]])
    return TaskRunRowPage(task_run_rows=[ledger.task_run_row_from_row(row) for row in rows], pagination=pagination)
