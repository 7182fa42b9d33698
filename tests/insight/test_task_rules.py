"""The rules for arguments of task tools, as tables of accepted and rejected arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evaltasks.api.tasks import EvaluatorAttachment, QueryFilters, Task
from evaltasks.insight.task_rules import (
    creation_issues,
    trigger_issues,
    trigger_issues_without_task,
    update_issues,
    update_issues_without_task,
)
from evaltasks.insight.validation import ReadArguments, ValidationErrors, ValidationIssue, merge_issues

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
A, B = EvaluatorAttachment(evaluator_id="a"), EvaluatorAttachment(evaluator_id="b")
MAPPED = EvaluatorAttachment.model_validate(
    {"evaluator_id": "m", "query_mappings": [{"variable_name": "x", "attribute_path": "y"}]}
)
FILTERS = QueryFilters.model_validate({"filters": [{"id": "A", "filter": "span_kind = 'LLM'"}]})
CONFIGURATION = object()

ON_PROJECT = {"name": "t", "task_type": "template_evaluation", "project": "p", "evaluators": [A]}
ON_DATASET = {**ON_PROJECT, "dataset": "d", "experiment_ids": ["e"]}
del ON_DATASET["project"]
EXPERIMENT = {"name": "t", "task_type": "run_experiment", "dataset": "d", "run_configuration": CONFIGURATION}


def without(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}


@pytest.mark.parametrize(
    "arguments",
    [
        ON_PROJECT,
        {**ON_PROJECT, "task_type": "code_evaluation", "sampling_rate": 0.1, "is_continuous": True},
        {**ON_PROJECT, "query_filter": "x = 1", "evaluators": [A, B]},
        {**ON_PROJECT, "query_filters": FILTERS, "evaluators": [MAPPED]},
        ON_DATASET,
        {**ON_DATASET, "is_continuous": False},  # the documents' own example
        without(ON_DATASET, "experiment_ids"),  # the service judges; the tool warns
        EXPERIMENT,
        {"name": "t"},  # the type could not be read: nothing can be said
    ],
)
def test_creation_issues_accepts_consistent_arguments(arguments: dict[str, Any]) -> None:
    assert creation_issues(arguments)[1] == []


@pytest.mark.parametrize("task_type", ["template_evaluation", "code_evaluation"])
@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (without(ON_PROJECT, "evaluators"), ["evaluators"]),
        ({**ON_PROJECT, "evaluators": []}, ["evaluators"]),
        ({**ON_PROJECT, "evaluators": [A, B, A]}, ["evaluators[2].evaluator_id"]),
        (without(ON_PROJECT, "project"), ["project"]),
        ({**ON_PROJECT, "dataset": "d"}, ["dataset"]),
        ({**ON_PROJECT, "experiment_ids": ["e"]}, ["experiment_ids"]),
        ({**ON_PROJECT, "run_configuration": CONFIGURATION}, ["run_configuration"]),
        ({**ON_PROJECT, "query_filter": "x = 1", "query_filters": FILTERS}, ["query_filters"]),
        ({**ON_PROJECT, "query_filter": "x = 1", "evaluators": [MAPPED]}, ["evaluators[0].query_mappings"]),
        (
            {**ON_PROJECT, "evaluators": [MAPPED.model_copy(update={"column_mappings": {"x": "y"}})]},
            ["evaluators[0].column_mappings"],
        ),
        (
            {**ON_PROJECT, "evaluators": [MAPPED, A.model_copy(update={"column_mappings": {"x": "y"}})]},
            ["evaluators[1].column_mappings"],
        ),
        (
            {**ON_PROJECT, "query_filters": FILTERS, "evaluators": [A.model_copy(update={"query_filter": "x"})]},
            ["evaluators[0].query_filter"],
        ),
        ({**ON_DATASET, "sampling_rate": 0.5}, ["sampling_rate"]),
        ({**ON_DATASET, "is_continuous": True}, ["is_continuous"]),
        (
            {**ON_DATASET, "sampling_rate": 0.5, "is_continuous": True, "run_configuration": CONFIGURATION},
            ["run_configuration", "sampling_rate", "is_continuous"],
        ),
    ],
)
def test_creation_issues_of_an_evaluation_task(task_type: str, arguments: dict[str, Any], refused: list[str]) -> None:
    issues = creation_issues({**arguments, "task_type": task_type})[1]
    assert [issue.argument for issue in issues] == refused
    assert all(issue.problem and issue.remedy for issue in issues)


@pytest.mark.parametrize(
    ("extra", "refused"),
    [
        ({"project": "p"}, "project"),
        ({"evaluators": [A]}, "evaluators"),
        ({"experiment_ids": ["e"]}, "experiment_ids"),
        ({"sampling_rate": 1.0}, "sampling_rate"),
        ({"is_continuous": False}, "is_continuous"),
        ({"query_filter": "x = 1"}, "query_filter"),
        ({"query_filters": FILTERS}, "query_filters"),
    ],
)
def test_creation_issues_of_a_run_experiment_task(extra: dict[str, Any], refused: str) -> None:
    subject, issues = creation_issues({**EXPERIMENT, **extra})
    assert subject == "run_experiment"
    assert [issue.argument for issue in issues] == [refused]


def test_creation_of_a_run_experiment_task_needs_dataset_and_configuration() -> None:
    issues = creation_issues({"name": "t", "task_type": "run_experiment"})[1]
    assert {issue.argument for issue in issues} == {"dataset", "run_configuration"}


def test_validation_errors_have_one_numbered_sentence_for_each_issue() -> None:
    subject, issues = creation_issues({**ON_PROJECT, "experiment_ids": ["e"], "evaluators": []})
    assert str(ValidationErrors(f"create_evaluation_task ({subject})", issues)) == (
        "2 problems with create_evaluation_task (template_evaluation on a project): "
        "1. experiment_ids: only for dataset tasks; remove it. "
        '2. evaluators: is empty; a task needs at least one; pass [{"evaluator_id": "<name or id>"}].'
    )


def test_creation_issues_do_not_report_unreadable_arguments_as_missing() -> None:
    given = ReadArguments({"name": "t", "task_type": "template_evaluation"})
    given.unreadable = frozenset({"evaluators", "dataset"})
    assert creation_issues(given)[1] == []


def test_merge_issues_reports_a_misplaced_argument_once() -> None:
    unreadable = ValidationIssue("sampling_rate", "must be at most 1", "give 1 or less")
    misplaced = ValidationIssue("sampling_rate", "only for project tasks", "remove it", misplaced=True)
    other = ValidationIssue("name", "is empty", "give one")
    assert merge_issues([unreadable, other], [misplaced]) == [other, misplaced]


@pytest.mark.parametrize(
    ("task_type", "target", "argument"),
    [
        ("run_experiment", "dataset", "project"),
        ("run_experiment", "dataset", "sampling_rate"),
        ("code_evaluation", "project", "run_configuration"),
        ("code_evaluation", "project", "experiment_ids"),
        ("code_evaluation", "dataset", "sampling_rate"),
    ],
)
def test_an_unreadable_argument_that_does_not_belong_is_only_to_be_removed(
    task_type: str, target: str, argument: str
) -> None:
    given = ReadArguments({"name": "t", "task_type": task_type, target: "x"})
    given.unreadable = frozenset({argument, "evaluators" if task_type == "code_evaluation" else "run_configuration"})
    unreadable = ValidationIssue(argument, "must be text", "write it in quotes")
    merged = merge_issues([unreadable], creation_issues(given)[1])
    assert [(issue.argument, issue.remedy.split()[0]) for issue in merged] == [(argument, "remove")]


def test_merge_issues_keeps_the_reading_error_of_an_argument_that_belongs() -> None:
    reading = ValidationIssue("dataset", "must be text", "write it in quotes")
    rule = ValidationIssue("dataset", "project and dataset exclude each other", "keep exactly one of them")
    nested = ValidationIssue("dataset.name", "is unknown", "look it up")
    assert merge_issues([reading], [rule, nested]) == [reading, nested]


# --- updating -----------------------------------------------------------------------------------------------------
def task(type_: str, **fields: Any) -> Task:
    return Task.model_validate({"id": "t", "name": "n", "type": type_, "created_at": NOW, "updated_at": NOW, **fields})


PROJECT_TASK = task("TEMPLATE_EVALUATION", project_id="p")
DATASET_TASK = task("CODE_EVALUATION", dataset_id="d", experiment_ids=["e"])
EXPERIMENT_TASK = task("RUN_EXPERIMENT", dataset_id="d")


def test_update_issues_reject_an_empty_update() -> None:
    [issue] = update_issues_without_task({"task": "t", "space": "s"})[1]
    assert issue.problem == "no fields to update"


@pytest.mark.parametrize(
    ("before", "given", "refused"),
    [
        (PROJECT_TASK, {"name": "new"}, []),
        (PROJECT_TASK, {"sampling_rate": 0.1, "is_continuous": True, "query_filter": "", "evaluators": [A]}, []),
        (PROJECT_TASK, {"run_configuration": CONFIGURATION}, ["run_configuration"]),
        (DATASET_TASK, {"sampling_rate": 0.1}, ["sampling_rate"]),
        (DATASET_TASK, {"is_continuous": True}, ["is_continuous"]),
        (DATASET_TASK, {"is_continuous": False}, []),
        (EXPERIMENT_TASK, {"name": "new", "run_configuration": CONFIGURATION}, []),
        *[
            (EXPERIMENT_TASK, {field: value}, [field])
            for field, value in {
                "sampling_rate": 0.1, "is_continuous": False, "query_filter": "", "query_filters": FILTERS,
                "evaluators": [A],
            }.items()
        ],
    ],
)  # fmt: skip
def test_update_issues_reject_fields_of_the_other_kind_of_task(
    before: Task, given: dict[str, Any], refused: list[str]
) -> None:
    assert [issue.argument for issue in update_issues(before, given)[1]] == refused


# --- triggering ---------------------------------------------------------------------------------------------------
OF_EVALUATIONS: dict[str, Any] = {
    "data_start_time": NOW - timedelta(days=2), "data_end_time": NOW - timedelta(days=1), "max_spans": 10,
    "override_evaluations": False, "experiment_ids": ["e"],
}  # fmt: skip
OF_EXPERIMENTS: dict[str, Any] = {
    "experiment_name": "x", "dataset_version_id": "v", "example_ids": ["1"], "max_examples": 1,
    "query_filter": "a = 1", "tracing_metadata": {"a": "b"}, "evaluation_task_ids": ["t"],
}  # fmt: skip


@pytest.mark.parametrize("argument", OF_EXPERIMENTS)
@pytest.mark.parametrize("before", [PROJECT_TASK, DATASET_TASK])
def test_trigger_issues_of_an_evaluation_task(before: Task, argument: str) -> None:
    issues = trigger_issues(before, {argument: OF_EXPERIMENTS[argument]}, NOW)[1]
    assert [issue.argument for issue in issues] == [argument]


@pytest.mark.parametrize("argument", OF_EVALUATIONS)
def test_trigger_issues_of_a_run_experiment_task(argument: str) -> None:
    given = {"experiment_name": "x", argument: OF_EVALUATIONS[argument]}
    assert [issue.argument for issue in trigger_issues(EXPERIMENT_TASK, given, NOW)[1]] == [argument]


def test_trigger_of_a_run_experiment_task_needs_an_experiment_name() -> None:
    assert [issue.argument for issue in trigger_issues(EXPERIMENT_TASK, {}, NOW)[1]] == ["experiment_name"]
    assert trigger_issues(EXPERIMENT_TASK, {"experiment_name": "x"}, NOW)[1] == []


def test_trigger_issues_reject_experiments_for_project_tasks() -> None:
    assert trigger_issues(DATASET_TASK, {"experiment_ids": ["e"]}, NOW)[1] == []
    assert [f.argument for f in trigger_issues(PROJECT_TASK, {"experiment_ids": ["e"]}, NOW)[1]] == ["experiment_ids"]


@pytest.mark.parametrize(
    ("start", "end", "refused"),
    [
        (NOW - timedelta(days=30), NOW, False),
        (NOW - timedelta(days=30, seconds=1), NOW, True),
        (NOW, NOW, True),
        (NOW, NOW - timedelta(seconds=1), True),
    ],
)
def test_trigger_issues_accept_a_forward_window_of_at_most_30_days(
    start: datetime, end: datetime, refused: bool
) -> None:
    issues = trigger_issues_without_task({"data_start_time": start, "data_end_time": end})[1]
    assert [issue.argument for issue in issues] == (["data_start_time"] if refused else [])


@pytest.mark.parametrize(
    ("start", "refused"),
    [
        (NOW - timedelta(seconds=30), False),
        (NOW - timedelta(days=30, seconds=30), False),
        (NOW - timedelta(days=31), True),
        (NOW + timedelta(days=1), True),
    ],
)
def test_trigger_issues_compare_a_start_without_an_end_with_now(start: datetime, refused: bool) -> None:
    assert bool(trigger_issues(PROJECT_TASK, {"data_start_time": start}, NOW)[1]) is refused


def test_trigger_issues_reject_example_ids_with_max_examples() -> None:
    assert [f.argument for f in trigger_issues_without_task({"example_ids": ["1"], "max_examples": 1})[1]] == [
        "max_examples"
    ]
