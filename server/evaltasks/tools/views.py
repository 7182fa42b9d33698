"""Tasks and task runs as agents see them: names with ids, lower-case words, UTC times with ages, and counts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evaltasks.api.task_runs import TaskRun
from evaltasks.api.tasks import TASK_SETTINGS, AppliesTo, Task, TaskEvaluator, TaskSettings
from evaltasks.api.wire import rfc3339
from evaltasks.tools.names import Names, ResourceKey

# A rate measured over less time is not reliable.
_PACE_SECONDS_MIN = 0.5


class View(BaseModel):
    """A part of the output of a tool. Null fields are omitted."""

    model_config = ConfigDict(frozen=True)


class Ref(View):
    id: str
    name: str | None = None


class NextCall(View):
    """A complete tool call that is a useful next step."""

    tool: str
    arguments: dict[str, Any]

    def written(self) -> str:
        """Format the call: `wait_for_task_run(run_id="trn_1", timeout=555)`."""
        listed = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.arguments.items())
        return f"{self.tool}({listed})"


class AttachmentView(View):
    evaluator_id: str
    evaluator_name: str | None = None
    evaluator_version_id: str = Field(description="the pinned version, or latest")
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[dict[str, Any]] | None = None


# Fields of a base that is further right come first.
class _TaskReferences(View):
    task_id: str
    name: str
    type: str
    project: Ref | None = None
    dataset: Ref | None = None
    experiments: list[Ref] | None = None
    evaluators: list[AttachmentView] | None = None


class TaskView(TaskSettings, _TaskReferences):
    sampling_rate: float | None = None
    query_filters: dict[str, Any] | None = None
    run_configuration: dict[str, Any] | None = None
    last_run_at: str | None = None
    last_run_age: str | None = None
    created_at: str
    updated_at: str


class TaskRunView(View):
    """A task run. It counts evaluations (one row under one evaluator), or examples for run_experiment."""

    run_id: str
    task_id: str
    task_name: str | None = None
    status: str
    finished: bool
    done: str = Field(description="n of N rows; N once it is known")
    num_successes: int
    num_errors: int
    num_skipped: int
    num_selected: int | None = None
    rows_per_second: float | None = None
    seconds_left: int | None = None
    likely_end: str | None = None
    age: str = Field(description="since it was triggered")
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    duration_seconds: float | None = None
    data_start_time: str | None = None
    data_end_time: str | None = None
    experiment: Ref | None = None
    chained_task_run_ids: list[str] | None = Field(default=None, description="evaluations triggered on the experiment")
    failure_reason: str | None = None
    unexplained: str | None = Field(default=None, description="what the counts do not explain")


class ChainedRunView(View):
    """A task run that the completion of an experiment triggered."""

    run_id: str
    task_id: str
    task_name: str | None = None
    status: str
    done: str = Field(description="n of N rows")
    num_errors: int
    failure_reason: str | None = None


# --- tasks --------------------------------------------------------------------------------------------------------
def task_name_keys(task: Task) -> list[ResourceKey | None]:
    """The names that `task_view` would show."""
    return [
        ("project", task.project_id) if task.project_id else None,
        ("dataset", task.dataset_id) if task.dataset_id else None,
        *(("experiment", id_) for id_ in task.experiment_ids),
    ]


def task_view(task: Task, names: Names, now: datetime) -> TaskView:
    """Return a task as tools show it, with the names of the resources it refers to."""
    settings = {name: getattr(task, name) for name in TaskSettings.model_fields if _is_shown(name, task)}
    return TaskView(
        task_id=task.id,
        name=task.name,
        type=lower(task.type),
        project=_ref("project", task.project_id, names),
        dataset=_ref("dataset", task.dataset_id, names),
        experiments=[Ref(id=id_, name=names.get(("experiment", id_))) for id_ in task.experiment_ids] or None,
        evaluators=[attachment_view(evaluator) for evaluator in task.evaluators] or None,
        **settings,
        query_filters=plain(task.query_filters),
        run_configuration=plain(task.run_configuration),
        last_run_at=moment(task.last_run_at),
        last_run_age=age(now, task.last_run_at),
        created_at=rfc3339(task.created_at),
        updated_at=rfc3339(task.updated_at),
    )


def _is_shown(setting: str, task: Task) -> bool:
    """Whether a setting applies to the type of this task; services answer defaults for others as well."""
    match TASK_SETTINGS[setting].applies_to:
        case AppliesTo.EVERY_TASK:
            return True
        case AppliesTo.EXPERIMENT_TASKS:
            return not task.evaluates
        case AppliesTo.EVALUATION_TASKS | AppliesTo.PROJECT_TASKS:
            return task.evaluates


def attachment_view(evaluator: TaskEvaluator) -> AttachmentView:
    """Return an evaluator of a task as tools show it."""
    return AttachmentView(
        evaluator_id=evaluator.evaluator_id,
        evaluator_name=evaluator.evaluator_name,
        evaluator_version_id=evaluator.evaluator_version_id or "latest",
        query_filter=evaluator.query_filter,
        column_mappings=evaluator.column_mappings or None,
        query_mappings=[mapping.model_dump(mode="json") for mapping in evaluator.query_mappings or []] or None,
    )


def task_line(task: TaskView) -> str:
    """Format a task as one line: `Relevance (tsk_1): template_evaluation on project support, continuous`."""
    target = task.project or task.dataset
    parts = [task.type]
    if target is not None:
        parts[0] += f" on {'project' if task.project else 'dataset'} {target.name or target.id}"
    if task.evaluators:
        parts.append(
            "evaluators "
            + ", ".join(evaluator.evaluator_name or evaluator.evaluator_id for evaluator in task.evaluators)
        )
    if task.is_continuous:
        parts.append("continuous")
    if task.sampling_rate is not None and task.sampling_rate < 1:
        parts.append(f"{task.sampling_rate:.4g} sampled")
    return f"{task.name} ({task.task_id}): {'; '.join(parts)}"


# --- task runs ----------------------------------------------------------------------------------------------------
def task_run_name_keys(task_run: TaskRun) -> list[ResourceKey | None]:
    """The names that `task_run_view` would show."""
    return [
        ("task", task_run.task_id),
        ("experiment", task_run.experiment_id) if task_run.experiment_id else None,
    ]


def task_run_view(task_run: TaskRun, names: Names, now: datetime) -> TaskRunView:
    """Return a task run as tools show it, with pace and estimated end."""
    pace = rows_per_second(task_run, now)
    left = seconds_left(task_run, now)
    ended = task_run.run_finished_at
    started = task_run.run_started_at
    return TaskRunView(
        run_id=task_run.id,
        task_id=task_run.task_id,
        task_name=names.get(("task", task_run.task_id)),
        status=lower(task_run.status),
        finished=task_run.finished,
        done=done_of(task_run),
        num_successes=task_run.num_successes,
        num_errors=task_run.num_errors,
        num_skipped=task_run.num_skipped,
        num_selected=task_run.num_selected,
        rows_per_second=round(pace, 2) if pace is not None else None,
        seconds_left=round(left) if left is not None else None,
        likely_end=rfc3339(now + timedelta(seconds=left)) if left is not None else None,
        age=age(now, task_run.created_at) or "now",
        created_at=rfc3339(task_run.created_at),
        started_at=moment(started),
        finished_at=moment(ended),
        duration_seconds=round((ended - started).total_seconds(), 3) if ended and started else None,
        data_start_time=moment(task_run.data_start_time),
        data_end_time=moment(task_run.data_end_time),
        experiment=_ref("experiment", task_run.experiment_id, names),
        chained_task_run_ids=task_run.chained_task_run_ids or None,
        failure_reason=task_run.failure_reason,
        unexplained=unexplained(task_run),
    )


def chained_view(task_run: TaskRun, names: Names) -> ChainedRunView:
    """Return a chained task run as tools show it."""
    return ChainedRunView(
        run_id=task_run.id,
        task_id=task_run.task_id,
        task_name=names.get(("task", task_run.task_id)),
        status=lower(task_run.status),
        done=done_of(task_run),
        num_errors=task_run.num_errors,
        failure_reason=task_run.failure_reason,
    )


def chained_line(chained: ChainedRunView) -> str:
    """Format a chained task run as one line: `trn_2 of Relevance: completed, 500 of 500 rows`."""
    name = f" of {chained.task_name}" if chained.task_name else ""
    errors = f", {_errors(chained.num_errors)}" if chained.num_errors else ""
    reason = f". {chained.failure_reason}" if chained.failure_reason else ""
    return f"{chained.run_id}{name}: {chained.status}, {chained.done} rows{errors}{reason}"


def done_of(task_run: TaskRun) -> str:
    """Format the number of processed rows: `142 of 500`, or `142` while the total is unknown."""
    if task_run.num_selected is None:
        return str(task_run.num_done)
    return f"{task_run.num_done} of {task_run.num_selected}"


def _errors(count: int) -> str:
    return "1 error" if count == 1 else f"{count} errors"


def rows_per_second(task_run: TaskRun, now: datetime) -> float | None:
    """Return the average rate since the task run started, or None if there is nothing to measure."""
    if task_run.run_started_at is None or task_run.num_done == 0:
        return None
    seconds = ((task_run.run_finished_at or now) - task_run.run_started_at).total_seconds()
    return task_run.num_done / seconds if seconds >= _PACE_SECONDS_MIN else None


def seconds_left(task_run: TaskRun, now: datetime) -> float | None:
    """Estimate the remaining seconds from the rate so far. None if the total is unknown or the run is finished."""
    pace = rows_per_second(task_run, now)
    if task_run.finished or pace is None or task_run.num_selected is None:
        return None
    return max(0, task_run.num_selected - task_run.num_done) / pace


def progress_sentence(task_run: TaskRun, now: datetime) -> str:
    """Format the progress: `142 of 500 rows, 3 errors, about 40 s left`."""
    if task_run.num_done == 0 and not task_run.finished:
        if lower(task_run.status) == "pending":
            return "waiting to start"
        return "started, " + (f"0 of {task_run.num_selected} rows" if task_run.num_selected else "no row done yet")
    parts = [f"{done_of(task_run)} rows"]
    if task_run.num_errors:
        parts.append(_errors(task_run.num_errors))
    if task_run.num_skipped:
        parts.append(f"{task_run.num_skipped} skipped")
    left = seconds_left(task_run, now)
    if left is not None:
        parts.append(f"about {span_words(left)} left")
    elif task_run.finished:
        parts.append(lower(task_run.status))
    return ", ".join(parts)


def unexplained(task_run: TaskRun) -> str | None:
    """Return what the counts and the failure reason of a finished task run do not explain, or None."""
    status = lower(task_run.status)
    if not task_run.finished:
        return None
    if status == "failed" and not task_run.failure_reason:
        return "It failed without a reason."
    if status == "completed" and task_run.num_selected is not None and task_run.num_done < task_run.num_selected:
        missing = task_run.num_selected - task_run.num_done
        return f"{missing} of {task_run.num_selected} rows have no outcome."
    if status == "completed" and task_run.num_done == 0 and not task_run.failure_reason:
        return (
            "It completed without any row: nothing matched the window and filters, or all rows were already evaluated."
        )
    return None


def task_run_line(task_run: TaskRunView) -> str:
    """Format a task run as one line: `trn_1 of Relevance: completed, 500 of 500 rows, 3 errors; 2 min ago`."""
    name = f" of {task_run.task_name}" if task_run.task_name else ""
    errors = f", {_errors(task_run.num_errors)}" if task_run.num_errors else ""
    skipped = f", {task_run.num_skipped} skipped" if task_run.num_skipped else ""
    reason = f". {task_run.failure_reason}" if task_run.failure_reason else ""
    return (
        f"{task_run.run_id}{name}: {task_run.status}, {task_run.done} rows{errors}{skipped}; "
        f"triggered {task_run.age} ago{reason}"
    )


# --- words --------------------------------------------------------------------------------------------------------
def lower(word: str) -> str:
    """Return an enum value in lower case, as agents see it."""
    return str(word.value if isinstance(word, Enum) else word).lower()


def moment(time: datetime | None) -> str | None:
    """Format a time as RFC 3339."""
    return rfc3339(time) if time is not None else None


def age(now: datetime, then: datetime | None) -> str | None:
    """Format the time since `then`, such as `3 min`."""
    return span_words(max(0.0, (now - then).total_seconds())) if then is not None else None


def span_words(seconds: float) -> str:
    """Format a duration: `40 s`, `3 min`, `5 h`, `12 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds)} s"


def plain(model: BaseModel | None) -> dict[str, Any] | None:
    """Return a wire model as agents write it: without nulls, with enum values in lower case."""
    if model is None:
        return None
    shown = model.model_dump(mode="json", exclude_none=True)
    # Only these three are words of ours; a `role` inside somebody's input_template is data.
    for part in (shown, *shown.get("messages", [])):
        for word in ("experiment_type", "input_variable_format", "role"):
            if isinstance(part.get(word), str):
                part[word] = part[word].lower()
    return shown


def _ref(kind: str, id_: str | None, names: Names) -> Ref | None:
    return Ref(id=id_, name=names.get((kind, id_))) if id_ else None
