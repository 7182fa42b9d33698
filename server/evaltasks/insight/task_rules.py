"""Which argument belongs to which kind of task: every "refused" of the specification, as pure functions.

All work on the arguments that could be read, collect every problem, and raise nothing. `Provided` maps the name of an
argument to its value and holds only what was given; see `is_provided` for what could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from evaltasks.api.run_configurations import KINDS, listed
from evaltasks.api.tasks import TASK_SETTINGS, AppliesTo, EvaluatorAttachment, Task, TaskType, settings_for
from evaltasks.insight.validation import ValidationIssue, is_provided

Provided = Mapping[str, Any]

WINDOW_DAYS_MAX = 30
WINDOW_MAX = timedelta(days=WINDOW_DAYS_MAX)

UPDATABLE = ("name", "evaluators", *TASK_SETTINGS)
TRIGGER_OF_EVALUATIONS = (
    "data_start_time", "data_end_time", "max_spans", "override_evaluations", "experiment_ids",
)  # fmt: skip
TRIGGER_OF_EXPERIMENTS = (
    "experiment_name", "dataset_version_id", "example_ids", "max_examples", "query_filter", "tracing_metadata",
    "evaluation_task_ids",
)  # fmt: skip
_OF_EVALUATIONS = (
    "evaluators", "experiment_ids", *settings_for(AppliesTo.EVALUATION_TASKS, AppliesTo.PROJECT_TASKS),
)  # fmt: skip


def _only_for(argument: str, kind: str) -> ValidationIssue:
    return ValidationIssue(argument, f"only for {kind}", "remove it", misplaced=True)


# --- creating -----------------------------------------------------------------------------------------------------
def creation_issues(given: Provided) -> tuple[str, list[ValidationIssue]]:
    """The rules of creating by `task_type`; silent about the type's rules when the type could not be read."""
    word = given.get("task_type")
    if word is None:
        return "", []
    task_type = TaskType(str(word).upper())
    if task_type is TaskType.RUN_EXPERIMENT:
        return "run_experiment", list(_experiment_creation(given))
    return subject_of(task_type, is_provided(given, "project"), is_provided(given, "dataset")), list(
        _evaluation_creation(task_type, given)
    )


def subject_of(task_type: TaskType | str, on_project: bool, on_dataset: bool) -> str:
    """`template_evaluation on a project`; without a target when it is not clear which."""
    word = str(task_type).lower()
    if word == "run_experiment" or on_project == on_dataset:
        return word
    return f"{word} on a {'project' if on_project else 'dataset'}"


def _experiment_creation(given: Provided) -> Iterator[ValidationIssue]:
    if not is_provided(given, "dataset"):
        yield ValidationIssue("dataset", "is required for run_experiment", "give the dataset's name or id")
    if not is_provided(given, "run_configuration"):
        yield ValidationIssue(
            "run_configuration",
            "is required for run_experiment",
            f"give an object with experiment_type {listed([tag.lower() for tag in KINDS])}",
        )
    if is_provided(given, "project"):
        yield ValidationIssue(
            "project", "a run_experiment task works on a dataset", "remove it and give dataset", misplaced=True
        )
    for argument in _OF_EVALUATIONS:
        if is_provided(given, argument):
            yield _only_for(argument, "evaluation tasks")


def _evaluation_creation(task_type: TaskType, given: Provided) -> Iterator[ValidationIssue]:
    word = task_type.lower()
    if not is_provided(given, "evaluators"):
        yield ValidationIssue(
            "evaluators", f"is required for {word}", 'give at least one: [{"evaluator_id": "<name or id>"}]'
        )
    yield from _experiment_only(given)
    project, dataset = is_provided(given, "project"), is_provided(given, "dataset")
    if project and dataset:
        yield ValidationIssue("dataset", "project and dataset exclude each other", "keep exactly one of them")
    elif not project and not dataset:
        yield ValidationIssue("project", "an evaluation task needs a project or a dataset", "give exactly one of them")
    elif project and is_provided(given, "experiment_ids"):
        yield _only_for("experiment_ids", "dataset tasks")
    elif dataset:
        yield from _project_only(given)
    yield from _filter_issues(given)
    yield from evaluator_list_issues(given.get("evaluators"))
    if "evaluators" in given:
        yield from shape_issues(given["evaluators"], given.get("query_filter"), given.get("query_filters"))


def _project_only(given: Provided) -> Iterator[ValidationIssue]:
    for name in settings_for(AppliesTo.PROJECT_TASKS):
        # `is_continuous: false` is allowed: a dataset task is never continuous, and AX's own example sets it.
        if is_provided(given, name) and given.get(name) is not False:
            yield _only_for(name, "project tasks")


def _experiment_only(given: Provided) -> Iterator[ValidationIssue]:
    for name in settings_for(AppliesTo.EXPERIMENT_TASKS):
        if is_provided(given, name):
            yield _only_for(name, "run_experiment tasks")


def _filter_issues(given: Provided) -> Iterator[ValidationIssue]:
    if given.get("query_filter") and is_provided(given, "query_filters"):
        yield ValidationIssue(
            "query_filters",
            "query_filter (one row at a time) and query_filters (traces and sessions) exclude each other",
            "keep one of them",
        )


def evaluator_list_issues(evaluators: Sequence[EvaluatorAttachment] | None) -> Iterator[ValidationIssue]:
    """A list that is there must hold one evaluator at least, and none twice."""
    if evaluators is None:
        return
    if not evaluators:
        yield ValidationIssue(
            "evaluators", "is empty; a task needs at least one", 'give [{"evaluator_id": "<name or id>"}]'
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
    """The span shape and the trace and session shape cannot be mixed in one task."""
    mapped = [index for index, attachment in enumerate(evaluators) if attachment.trace_shaped]
    for index, attachment in enumerate(evaluators):
        if attachment.trace_shaped and query_filter:
            yield ValidationIssue(
                f"evaluators[{index}].query_mappings",
                "belongs to traces and sessions, but the task's query_filter is for single rows",
                "use query_filters with it, or column_mappings instead",
            )
        if (attachment.column_mappings or attachment.query_filter) and (mapped or query_filters is not None):
            argument = "column_mappings" if attachment.column_mappings else "query_filter"
            yield ValidationIssue(
                f"evaluators[{index}].{argument}",
                "is for single rows, but the task is written for traces and sessions",
                "use query_mappings instead",
            )


# --- updating -----------------------------------------------------------------------------------------------------
def update_shape_issues(given: Provided) -> tuple[str, list[ValidationIssue]]:
    """What can be said without knowing the task."""
    if not any(is_provided(given, argument) for argument in UPDATABLE):
        return "", [
            ValidationIssue("update_task", "no fields to update", f"give at least one of: {', '.join(UPDATABLE)}")
        ]
    issues = list(_filter_issues(given))
    evaluators = given.get("evaluators")
    if isinstance(evaluators, list):
        issues += evaluator_list_issues(evaluators)
    return "", issues


def update_issues(task: Task, given: Provided) -> tuple[str, list[ValidationIssue]]:
    """The rules of updating this task."""
    return subject_of(task.type, bool(task.project_id), bool(task.dataset_id)), list(_update_of(task, given))


def _update_of(task: Task, given: Provided) -> Iterator[ValidationIssue]:
    if not task.evaluates:
        for argument in _OF_EVALUATIONS:
            if is_provided(given, argument):
                yield _only_for(argument, "evaluation tasks")
        return
    yield from _experiment_only(given)
    if task.dataset_id:
        yield from _project_only(given)


# --- triggering ---------------------------------------------------------------------------------------------------
def trigger_shape_issues(given: Provided) -> tuple[str, list[ValidationIssue]]:
    """What can be said of a trigger without knowing the task's type."""
    return "", [*_window_issues(given.get("data_start_time"), given.get("data_end_time")), *_example_issues(given)]


def _window_issues(start: datetime | None, end: datetime | None) -> Iterator[ValidationIssue]:
    if start is None or end is None:
        return
    if start >= end:
        yield ValidationIssue("data_start_time", "is not before data_end_time", "give an earlier start or a later end")
    elif end - start > WINDOW_MAX:
        days = (end - start).total_seconds() / 86_400
        yield ValidationIssue(
            "data_start_time",
            f"the window is {days:.1f} days; at most {WINDOW_DAYS_MAX} are evaluated at once",
            f"trigger one task run for each {WINDOW_DAYS_MAX} days",
        )


def _example_issues(given: Provided) -> Iterator[ValidationIssue]:
    if is_provided(given, "example_ids") and is_provided(given, "max_examples"):
        yield ValidationIssue("max_examples", "example_ids and max_examples exclude each other", "keep one of them")


def trigger_issues(task: Task, given: Provided, now: datetime) -> tuple[str, list[ValidationIssue]]:
    """The rules of triggering this task at this time, besides those of the shape."""
    return subject_of(task.type, bool(task.project_id), bool(task.dataset_id)), list(_trigger_of(task, given, now))


def _trigger_of(task: Task, given: Provided, now: datetime) -> Iterator[ValidationIssue]:
    if not task.evaluates:
        for argument in TRIGGER_OF_EVALUATIONS:
            if is_provided(given, argument):
                yield _only_for(argument, "evaluation tasks")
        if not is_provided(given, "experiment_name"):
            yield ValidationIssue(
                "experiment_name", "is required for run_experiment", "give a name that is new in the dataset"
            )
        return
    for argument in TRIGGER_OF_EXPERIMENTS:
        if is_provided(given, argument):
            yield _only_for(argument, "run_experiment tasks")
    if task.project_id and is_provided(given, "experiment_ids"):
        yield _only_for("experiment_ids", "dataset tasks")
    start = given.get("data_start_time")
    if start is not None and not is_provided(given, "data_end_time"):
        if start >= now:
            yield ValidationIssue(
                "data_start_time", "is not in the past, and the window ends now", "give an earlier start"
            )
        else:
            # A minute of grace: what was 30 days ago when it was written is not a problem.
            yield from _window_issues(start, max(start + timedelta(seconds=1), now - timedelta(minutes=1)))
