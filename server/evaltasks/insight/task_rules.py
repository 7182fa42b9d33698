"""Validation rules of task arguments by task type, as pure functions.

All work on the arguments that could be read, collect every problem, and raise nothing. `Provided` maps the name of an
argument to its value and holds only what the caller provided; see `is_provided` for what could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from evaltasks.api.run_configurations import KINDS
from evaltasks.api.tasks import TASK_SETTINGS, AppliesTo, EvaluatorAttachment, Task, TaskType, settings_for
from evaltasks.api.wire import listed
from evaltasks.insight.validation import ValidationIssue, is_provided

Provided = Mapping[str, Any]

WINDOW_DAYS_MAX = 30
WINDOW_MAX = timedelta(days=WINDOW_DAYS_MAX)

UPDATABLE = ("name", "evaluators", *TASK_SETTINGS)
EVALUATION_TRIGGER_ARGUMENTS = (
    "data_start_time", "data_end_time", "max_spans", "override_evaluations", "experiment_ids",
)  # fmt: skip
EXPERIMENT_TRIGGER_ARGUMENTS = (
    "experiment_name", "dataset_version_id", "example_ids", "max_examples", "query_filter", "tracing_metadata",
    "evaluation_task_ids",
)  # fmt: skip
_EVALUATION_ARGUMENTS = (
    "evaluators", "experiment_ids", *settings_for(AppliesTo.EVALUATION_TASKS, AppliesTo.PROJECT_TASKS),
)  # fmt: skip


def _only_for(argument: str, kind: str) -> ValidationIssue:
    return ValidationIssue(argument, f"only for {kind}", "remove it", misplaced=True)


# --- creating -----------------------------------------------------------------------------------------------------
def creation_issues(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments of creating a task by its type.

    Args:
        arguments: The arguments; without a readable `task_type` nothing is validated.

    Returns:
        The subject of the issues (see `subject_of`), and the issues.
    """
    word = arguments.get("task_type")
    if word is None:
        return "", []
    task_type = TaskType(str(word).upper())
    if task_type is TaskType.RUN_EXPERIMENT:
        return "run_experiment", list(_experiment_creation(arguments))
    return subject_of(task_type, is_provided(arguments, "project"), is_provided(arguments, "dataset")), list(
        _evaluation_creation(task_type, arguments)
    )


def subject_of(task_type: TaskType | str, on_project: bool, on_dataset: bool) -> str:
    """Return the subject of issues, such as `template_evaluation on a project`, without an ambiguous target."""
    word = str(task_type).lower()
    if word == "run_experiment" or on_project == on_dataset:
        return word
    return f"{word} on a {'project' if on_project else 'dataset'}"


def _experiment_creation(arguments: Provided) -> Iterator[ValidationIssue]:
    if not is_provided(arguments, "dataset"):
        yield ValidationIssue("dataset", "is required for run_experiment", "pass the name or id of the dataset")
    if not is_provided(arguments, "run_configuration"):
        yield ValidationIssue(
            "run_configuration",
            "is required for run_experiment",
            f"pass an object with experiment_type {listed([tag.lower() for tag in KINDS])}",
        )
    if is_provided(arguments, "project"):
        yield ValidationIssue(
            "project", "a run_experiment task runs over a dataset", "remove it and pass dataset", misplaced=True
        )
    for argument in _EVALUATION_ARGUMENTS:
        if is_provided(arguments, argument):
            yield _only_for(argument, "evaluation tasks")


def _evaluation_creation(task_type: TaskType, arguments: Provided) -> Iterator[ValidationIssue]:
    word = task_type.lower()
    if not is_provided(arguments, "evaluators"):
        yield ValidationIssue(
            "evaluators", f"is required for {word}", 'pass at least one: [{"evaluator_id": "<name or id>"}]'
        )
    yield from _experiment_only(arguments)
    project, dataset = is_provided(arguments, "project"), is_provided(arguments, "dataset")
    if project and dataset:
        yield ValidationIssue("dataset", "project and dataset exclude each other", "keep exactly one of them")
    elif not project and not dataset:
        yield ValidationIssue("project", "an evaluation task needs a project or a dataset", "pass exactly one of them")
    elif project and is_provided(arguments, "experiment_ids"):
        yield _only_for("experiment_ids", "dataset tasks")
    elif dataset:
        yield from _project_only(arguments)
    yield from _filter_issues(arguments)
    yield from evaluator_list_issues(arguments.get("evaluators"))
    if "evaluators" in arguments:
        yield from shape_issues(arguments["evaluators"], arguments.get("query_filter"), arguments.get("query_filters"))


def _project_only(arguments: Provided) -> Iterator[ValidationIssue]:
    for name in settings_for(AppliesTo.PROJECT_TASKS):
        # `is_continuous: false` is allowed: a dataset task is never continuous, and AX's own example sets it.
        if is_provided(arguments, name) and arguments.get(name) is not False:
            yield _only_for(name, "project tasks")


def _experiment_only(arguments: Provided) -> Iterator[ValidationIssue]:
    for name in settings_for(AppliesTo.EXPERIMENT_TASKS):
        if is_provided(arguments, name):
            yield _only_for(name, "run_experiment tasks")


def _filter_issues(arguments: Provided) -> Iterator[ValidationIssue]:
    if arguments.get("query_filter") and is_provided(arguments, "query_filters"):
        yield ValidationIssue(
            "query_filters",
            "query_filter (one row at a time) and query_filters (traces and sessions) exclude each other",
            "keep one of them",
        )


def evaluator_list_issues(evaluators: Sequence[EvaluatorAttachment] | None) -> Iterator[ValidationIssue]:
    """Check that a list of evaluators is not empty and has no duplicates."""
    if evaluators is None:
        return
    if not evaluators:
        yield ValidationIssue(
            "evaluators", "is empty; a task needs at least one", 'pass [{"evaluator_id": "<name or id>"}]'
        )
    first: dict[str, int] = {}
    for index, attachment in enumerate(evaluators):
        earlier = first.setdefault(attachment.evaluator_id, index)
        if earlier != index:
            yield ValidationIssue(
                f"evaluators[{index}].evaluator_id",
                f"is the same evaluator as evaluators[{earlier}]",
                "attach each evaluator once",
            )


def shape_issues(
    evaluators: Sequence[EvaluatorAttachment], query_filter: str | None, query_filters: object | None
) -> Iterator[ValidationIssue]:
    """Check that a task does not mix arguments for single rows with those for traces and sessions."""
    mapped = [index for index, attachment in enumerate(evaluators) if attachment.trace_shaped]
    for index, attachment in enumerate(evaluators):
        if attachment.trace_shaped and query_filter:
            yield ValidationIssue(
                f"evaluators[{index}].query_mappings",
                "is for traces and sessions, but the task's query_filter is for single rows",
                "use query_filters with it, or column_mappings instead",
            )
        if (attachment.column_mappings or attachment.query_filter) and (mapped or query_filters is not None):
            argument = "column_mappings" if attachment.column_mappings else "query_filter"
            yield ValidationIssue(
                f"evaluators[{index}].{argument}",
                "is for single rows, but the task evaluates traces or sessions",
                "use query_mappings instead",
            )


# --- updating -----------------------------------------------------------------------------------------------------
def update_issues_without_task(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments of an update as far as possible without the task."""
    if not any(is_provided(arguments, argument) for argument in UPDATABLE):
        return "", [
            ValidationIssue("update_task", "no fields to update", f"pass at least one of: {', '.join(UPDATABLE)}")
        ]
    issues = list(_filter_issues(arguments))
    evaluators = arguments.get("evaluators")
    if isinstance(evaluators, list):
        issues += evaluator_list_issues(evaluators)
    return "", issues


def update_issues(task: Task, arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments of updating this task. Returns the subject and the issues."""
    return subject_of(task.type, bool(task.project_id), bool(task.dataset_id)), list(
        _task_update_issues(task, arguments)
    )


def _task_update_issues(task: Task, arguments: Provided) -> Iterator[ValidationIssue]:
    if not task.evaluates:
        for argument in _EVALUATION_ARGUMENTS:
            if is_provided(arguments, argument):
                yield _only_for(argument, "evaluation tasks")
        return
    yield from _experiment_only(arguments)
    if task.dataset_id:
        yield from _project_only(arguments)


# --- triggering ---------------------------------------------------------------------------------------------------
def trigger_issues_without_task(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments of a trigger as far as possible without the task."""
    return "", [
        *_window_issues(arguments.get("data_start_time"), arguments.get("data_end_time")),
        *_example_issues(arguments),
    ]


def _window_issues(start: datetime | None, end: datetime | None) -> Iterator[ValidationIssue]:
    if start is None or end is None:
        return
    if start >= end:
        yield ValidationIssue("data_start_time", "is not before data_end_time", "use an earlier start or a later end")
    elif end - start > WINDOW_MAX:
        days = (end - start).total_seconds() / 86_400
        yield ValidationIssue(
            "data_start_time",
            f"the window is {days:.1f} days; a task run evaluates at most {WINDOW_DAYS_MAX} days",
            f"trigger one task run for each {WINDOW_DAYS_MAX} days",
        )


def _example_issues(arguments: Provided) -> Iterator[ValidationIssue]:
    if is_provided(arguments, "example_ids") and is_provided(arguments, "max_examples"):
        yield ValidationIssue("max_examples", "example_ids and max_examples exclude each other", "keep one of them")


def trigger_issues(task: Task, arguments: Provided, now: datetime) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments of triggering this task now. Returns the subject and the issues."""
    return subject_of(task.type, bool(task.project_id), bool(task.dataset_id)), list(
        _task_trigger_issues(task, arguments, now)
    )


def _task_trigger_issues(task: Task, arguments: Provided, now: datetime) -> Iterator[ValidationIssue]:
    if not task.evaluates:
        for argument in EVALUATION_TRIGGER_ARGUMENTS:
            if is_provided(arguments, argument):
                yield _only_for(argument, "evaluation tasks")
        if not is_provided(arguments, "experiment_name"):
            yield ValidationIssue(
                "experiment_name", "is required for run_experiment", "pass a name that is new in the dataset"
            )
        return
    for argument in EXPERIMENT_TRIGGER_ARGUMENTS:
        if is_provided(arguments, argument):
            yield _only_for(argument, "run_experiment tasks")
    if task.project_id and is_provided(arguments, "experiment_ids"):
        yield _only_for("experiment_ids", "dataset tasks")
    start = arguments.get("data_start_time")
    if start is not None and not is_provided(arguments, "data_end_time"):
        if start >= now:
            yield ValidationIssue(
                "data_start_time", "is not in the past, and the window ends now", "use an earlier start"
            )
        else:
            # One minute of tolerance: a start that was 30 days ago when the agent wrote it is accepted.
            yield from _window_issues(start, max(start + timedelta(seconds=1), now - timedelta(minutes=1)))
