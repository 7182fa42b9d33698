"""Validates tasks: which fields belong to which type, and what they may refer to.

Every function adds its problems to one `ProblemList`, so that a response reports all problems of a request.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.problems import Problem
from evaltasks.api.tasks import (
    TASK_SETTINGS,
    AppliesTo,
    CreateTask,
    EvaluatorAttachment,
    Task,
    TaskEvaluator,
    TaskType,
    UpdateTask,
    settings_for,
)
from evaltasks.engine.filters.compile import Target, compile_filter
from evaltasks.engine.handlers.configuration_rules import validate_configuration
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.handlers.task_shapes import TaskShape, validate_shape
from evaltasks.engine.store import tasks
from evaltasks.engine.store.datasets import dataset_row
from evaltasks.engine.store.evaluators import find_evaluator
from evaltasks.engine.store.experiments import find_experiment
from evaltasks.engine.store.projects import find_project
from evaltasks.engine.store.store import Transaction

_EVALUATION_FIELDS = ("evaluators", *settings_for(AppliesTo.EVALUATION_TASKS, AppliesTo.PROJECT_TASKS))


def validate_creation(tx: Transaction, body: CreateTask) -> str:
    """Validate a new task.

    Returns:
        The id of the space that the task belongs to.

    Raises:
        Problem: Of the worst kind that was found, with the details of all problems.
    """
    problems = ProblemList()
    space_id = _space_id(tx, body, problems)
    if body.type.evaluates:
        _validate_evaluation_task(tx, body, space_id, problems)
    else:
        _validate_experiment_task(tx, body, space_id, problems)
    if space_id is not None and tasks.has_task_named(tx, space_id, body.name):
        problems.conflict(_NAME_IN_USE)
    problems.raise_any()
    assert space_id is not None
    return space_id


def validate_update(tx: Transaction, task: Task, space_id: str, body: UpdateTask) -> None:
    """Validate the update of a task.

    Raises:
        Problem: Of the worst kind that was found, with the details of all problems.
    """
    problems = ProblemList()
    if task.evaluates:
        _refuse_experiment_settings(body, task.type.lower(), problems)
        if task.project_id is None:
            _refuse_project_settings(body, problems)
        _validate_filter(body.query_filter, _target(task.project_id), "query_filter", problems)
        if body.evaluators is not None:
            _validate_evaluators(tx, TaskType(task.type), body.evaluators, space_id, _target(task.project_id), problems)
        if body.model_fields_set & {"query_filter", "query_filters", "evaluators"}:
            validate_shape(_changed_shape(tx, task, body), problems)
    else:
        for name in _EVALUATION_FIELDS:
            if name in body.model_fields_set and _has_effect(getattr(body, name)):
                problems.bad_request(f"{name} applies to evaluation tasks; this is a run_experiment task")
        if body.run_configuration is not None:
            validate_configuration(tx, body.run_configuration, space_id, problems)
    if body.name is not None and tasks.has_task_named(tx, space_id, body.name, except_id=task.id):
        problems.conflict(_NAME_IN_USE)
    problems.raise_any()


_NAME_IN_USE = "name: another task of the space has this name; choose another name, or update that task"


def _target(project_id: str | None) -> Target:
    return Target.SPAN if project_id is not None else Target.EXPERIMENT_RUN


def _has_effect(value: object) -> bool:
    """Return False for null and values that mean the same as a missing field: an empty list or string, and false."""
    return value is not None and value is not False and value not in ("", [])


def _space_id(tx: Transaction, body: CreateTask, problems: ProblemList) -> str | None:
    """Return the space of the project or dataset of the task."""
    if body.project_id is not None and body.type.evaluates and body.dataset_id is None:
        project = find_project(tx, body.project_id)
        if project is not None:
            return project.space_id
        problems.not_found("project_id: there is no project with this id")
    elif body.dataset_id is not None:
        row = dataset_row(tx, body.dataset_id)
        if row is not None:
            return str(row["space_id"])
        problems.not_found("dataset_id: there is no dataset with this id")
    return None


def _validate_evaluation_task(tx: Transaction, body: CreateTask, space_id: str | None, problems: ProblemList) -> None:
    kind = body.type.lower()
    _refuse_experiment_settings(body, kind, problems)
    if body.project_id is None and body.dataset_id is None:
        problems.bad_request(f"a {kind} task needs project_id or dataset_id")
    if body.project_id is not None and body.dataset_id is not None:
        problems.bad_request("project_id and dataset_id exclude each other; provide one of them")
    elif body.dataset_id is not None:
        _refuse_project_settings(body, problems)
        validate_experiments(tx, body.experiment_ids, body.dataset_id, problems)
        if not body.experiment_ids:
            problems.unprocessable("experiment_ids: a dataset task needs at least one experiment of its dataset")
    elif body.experiment_ids:
        problems.bad_request("experiment_ids applies to dataset tasks; remove it for a project task")
    _validate_filter(body.query_filter, _target(body.project_id), "query_filter", problems)
    if not body.evaluators:
        problems.bad_request(f"evaluators: a {kind} task needs at least one evaluator")
    else:
        _validate_evaluators(tx, body.type, body.evaluators, space_id, _target(body.project_id), problems)
    validate_shape(
        TaskShape(
            is_on_project=body.dataset_id is None,
            query_filter=body.query_filter,
            query_filters=body.query_filters,
            attachments=body.evaluators or (),
            granularities=_granularities(tx, body.evaluators or ()),
        ),
        problems,
    )


def _changed_shape(tx: Transaction, task: Task, body: UpdateTask) -> TaskShape:
    """Return the shape of the task after the update: null clears a filter, a list of evaluators replaces all."""
    provided = body.model_fields_set
    attachments = task.evaluators if body.evaluators is None else body.evaluators
    return TaskShape(
        is_on_project=task.project_id is not None,
        query_filter=body.query_filter if "query_filter" in provided else task.query_filter,
        query_filters=body.query_filters if "query_filters" in provided else task.query_filters,
        attachments=attachments,
        granularities=_granularities(tx, attachments),
    )


def _granularities(
    tx: Transaction, attachments: Sequence[EvaluatorAttachment | TaskEvaluator]
) -> list[DataGranularity | None]:
    versions = (
        tasks.version_for(tx, attachment.evaluator_id, attachment.evaluator_version_id) for attachment in attachments
    )
    return [None if version is None else version.granularity for version in versions]


def _refuse_project_settings(body: CreateTask | UpdateTask, problems: ProblemList) -> None:
    for name in settings_for(AppliesTo.PROJECT_TASKS):
        if _has_effect(getattr(body, name)):
            problems.bad_request(f"{name} applies to project tasks; {TASK_SETTINGS[name].reason}")


def _refuse_experiment_settings(body: CreateTask | UpdateTask, kind: str, problems: ProblemList) -> None:
    for name in settings_for(AppliesTo.EXPERIMENT_TASKS):
        if _has_effect(getattr(body, name)):
            problems.bad_request(f"{name} applies to run_experiment tasks; this is a {kind} task")


def _validate_experiment_task(tx: Transaction, body: CreateTask, space_id: str | None, problems: ProblemList) -> None:
    for name in ("project_id", "experiment_ids", *_EVALUATION_FIELDS):
        if _has_effect(getattr(body, name)):
            problems.bad_request(f"{name} applies to evaluation tasks; remove it for a run_experiment task")
    if body.dataset_id is None:
        problems.bad_request("dataset_id: a run_experiment task needs the dataset whose examples it runs over")
    if body.run_configuration is None:
        problems.bad_request("run_configuration: a run_experiment task needs a run configuration")
    else:
        validate_configuration(tx, body.run_configuration, space_id, problems)


def validate_experiments(
    tx: Transaction, experiment_ids: Sequence[str] | None, dataset_id: str, problems: ProblemList
) -> None:
    """Add a problem for each id that is not the id of an experiment of the dataset."""
    for index, experiment_id in enumerate(experiment_ids or ()):
        experiment = find_experiment(tx, experiment_id)
        if experiment is None:
            problems.not_found(f"experiment_ids[{index}]: there is no experiment with this id")
        elif experiment.dataset_id != dataset_id:
            problems.unprocessable(f"experiment_ids[{index}] is an experiment of another dataset")


def _validate_filter(text: str | None, target: Target, where: str, problems: ProblemList) -> None:
    if not text:
        return
    try:
        compile_filter(text, target, field=where)
    except Problem as problem:
        problems.add(problem)


def _validate_evaluators(
    tx: Transaction,
    task_type: TaskType,
    attachments: Sequence[EvaluatorAttachment],
    space_id: str | None,
    target: Target,
    problems: ProblemList,
) -> None:
    if not attachments:
        problems.bad_request("evaluators: an evaluation task needs at least one evaluator")
    seen: set[str] = set()
    versions: list[EvaluatorVersion] = []
    names: dict[str, int] = {}
    for index, attachment in enumerate(attachments):
        where = f"evaluators[{index}]"
        _validate_filter(attachment.query_filter, target, f"{where}.query_filter", problems)
        if attachment.evaluator_id in seen:
            problems.unprocessable(f"{where}.evaluator_id is in the list twice; attach an evaluator only once")
            continue
        seen.add(attachment.evaluator_id)
        evaluator = find_evaluator(tx, attachment.evaluator_id)
        if evaluator is None:
            problems.not_found(f"{where}.evaluator_id: there is no evaluator with this id")
            continue
        if space_id is not None and evaluator.space_id != space_id:
            problems.unprocessable(f"{where}.evaluator_id is an evaluator of another space than that of the task")
        if evaluator.type != task_type.evaluator_type:
            problems.unprocessable(
                f"{where} is a {evaluator.type.lower()} evaluator; a {task_type.lower()} task needs "
                f"{task_type.evaluator_type.lower()} evaluators"
            )
        version = tasks.version_for(tx, attachment.evaluator_id, attachment.evaluator_version_id)
        if version is None:
            problems.unprocessable(f"{where}.evaluator_version_id is not a version of this evaluator")
            continue
        versions.append(version)
        _validate_filter(version.query_filter, target, f"{where}: the evaluator's own query_filter", problems)
        name = version.evaluation_name
        if name is not None and names.setdefault(name, index) != index:
            problems.unprocessable(
                f"{where} writes the same evaluation name as evaluators[{names[name]}]; "
                "one of the two would overwrite the other"
            )
    single = [version.kind for version in versions if version.kind is not None and version.kind.one_per_task]
    for kind in dict.fromkeys(kind for kind in single if single.count(kind) > 1):
        word = kind.tag.lower()
        problems.unprocessable(f"Only one {word} code evaluator runs per task. Create one task per {word} evaluator.")
