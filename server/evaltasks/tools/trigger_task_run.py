"""`ax tasks trigger-run`, with a check that the same work is not started twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from evaltasks.api.problems import NotFound
from evaltasks.api.task_runs import ListTaskRuns, TaskRun, TriggerTaskRun
from evaltasks.api.tasks import Task
from evaltasks.insight.task_rules import (
    EVALUATION_TRIGGER_ARGUMENTS,
    EXPERIMENT_TRIGGER_ARGUMENTS,
    Provided,
    trigger_issues,
    trigger_issues_without_task,
)
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.insight.windows import default_window, same_window
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import (
    POLL_INTERVAL,
    SPACE,
    TASK,
    TIMEOUT,
    Count,
    ExperimentNameText,
    FilterText,
    Flag,
    Seconds,
    Text,
    TextMap,
    Texts,
    UtcTime,
)
from evaltasks.tools.names import remember_name
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.references import References
from evaltasks.tools.spec import Effect, Group, Input, ToolSpec
from evaltasks.tools.task_run_answers import TaskRunAnswer, started_answer, waited_answer
from evaltasks.tools.waiting import POLL_SECONDS, TIMEOUT_SECONDS, wait_for

_SENT = tuple(dict.fromkeys((*EVALUATION_TRIGGER_ARGUMENTS, *EXPERIMENT_TRIGGER_ARGUMENTS)))
# The list is newest first, so unfinished task runs are among the first.
_HISTORY_LIMIT = 20


class TriggerTaskRunInput(Input):
    task: Text = Field(description=TASK)
    space: Text | None = Field(default=None, description=SPACE)
    data_start_time: UtcTime | None = Field(
        default=None,
        description="Evaluation: start of the data, ISO 8601 (UTC if it has no offset). Default: where the last "
        "run ended; on a first run 30 days ago. Example: 2026-11-01T00:00:00Z.",
    )
    data_end_time: UtcTime | None = Field(
        default=None, description="Evaluation: end of the data, at most 30 days after the start. Default: now."
    )
    max_spans: Count | None = Field(
        default=None, description="Evaluation: maximum number of rows to evaluate. Default 10000."
    )
    override_evaluations: Flag | None = Field(
        default=None, description="Evaluation: evaluate rows again that already have this evaluation. Default false."
    )
    experiment_ids: Texts | None = Field(
        default=None, description="Evaluation on a dataset: experiments (names or ids). Default: the task's own."
    )
    example_ids: Texts | None = Field(
        default=None, description="run_experiment: ids of the examples to run; excludes max_examples. Default: all."
    )
    evaluation_task_ids: Texts | None = Field(
        default=None, description="run_experiment: evaluation tasks (names or ids) to trigger on the new experiment."
    )
    experiment_name: ExperimentNameText | None = Field(
        default=None, description="run_experiment: required; name of the new experiment, unique in the dataset."
    )
    dataset_version_id: Text | None = Field(
        default=None, description="run_experiment: id of the dataset version. Default: the latest."
    )
    max_examples: Count | None = Field(
        default=None, description="run_experiment: maximum number of examples to run. Default: all."
    )
    query_filter: FilterText | None = Field(default=None, description="run_experiment: filter over examples.")
    tracing_metadata: TextMap | None = Field(
        default=None, description="run_experiment: object of text values, attached to its traces; or @file.json."
    )
    wait: Flag = Field(
        default=False, description="true waits until the task run has ended, with progress. Default false."
    )
    poll_interval: Seconds = Field(default=POLL_SECONDS, description=POLL_INTERVAL)
    timeout: Seconds = Field(default=TIMEOUT_SECONDS, description=TIMEOUT)


async def validate_with_context(arguments: Provided, context: ToolContext) -> tuple[str, list[ValidationIssue]]:
    """Check the arguments against the type of the task, if the task can be read."""
    if "task" not in arguments:
        return "", []
    named = await context.client.resolve.task(arguments["task"], arguments.get("space"))
    return trigger_issues(await context.client.tasks.get(named.id), arguments, context.time.now())


async def trigger_task_run(arguments: TriggerTaskRunInput, context: ToolContext) -> TaskRunAnswer:
    note_prerelease(context)
    named = await context.client.resolve.task(arguments.task, arguments.space)
    task = await context.client.tasks.get(named.id)
    remember_name(context, "task", task.id, task.name)
    provided = {name: getattr(arguments, name) for name in _SENT if name in arguments.model_fields_set}
    detail, issues = trigger_issues(task, provided, context.time.now())
    if issues:
        raise ValidationErrors(SPEC.subject(detail), issues)
    fields = await _fields(arguments, provided, task, context, SPEC.subject(detail))
    history = (await context.client.tasks.list_task_runs(task.id, ListTaskRuns(limit=_HISTORY_LIMIT))).task_runs
    running = await _same_running(task, fields, history, context)
    task_run = running or await _start(task, fields, history, context)
    if arguments.wait:
        result = await wait_for(context, task_run.id, arguments.poll_interval, arguments.timeout)
        return await waited_answer(result, arguments.poll_interval, context, started=running is None)
    return await started_answer(task_run, context, started=running is None)


async def _fields(
    arguments: TriggerTaskRunInput, provided: Provided, task: Task, context: ToolContext, subject: str
) -> dict[str, Any]:
    """Return the fields of the request, with ids instead of names."""
    references = References(context.client, arguments.space)
    fields = {name: value for name, value in provided.items() if value not in (None, "")}
    if "experiment_ids" in fields:
        fields["experiment_ids"] = await references.experiments(fields["experiment_ids"], task.dataset_id)
    if "evaluation_task_ids" in fields:
        fields["evaluation_task_ids"] = await references.tasks("evaluation_task_ids", fields["evaluation_task_ids"])
    references.check(subject)
    return fields


async def _start(task: Task, fields: dict[str, Any], history: Sequence[TaskRun], context: ToolContext) -> TaskRun:
    if task.evaluates and task.project_id:
        window = default_window(fields.get("data_start_time"), fields.get("data_end_time"), history, context.time.now())
        if window.note:
            context.note(window.note)
        times = {"data_start_time": window.start, "data_end_time": window.end}
        fields = {**fields, **{name: time for name, time in times.items() if time is not None}}
    # Every field was validated when the arguments were read.
    return await context.client.tasks.trigger(task.id, TriggerTaskRun.model_construct(**fields))


async def _same_running(
    task: Task, fields: dict[str, Any], history: Sequence[TaskRun], context: ToolContext
) -> TaskRun | None:
    """Return the unfinished task run that already does the requested work, so that a repeated call does not pay twice.

    Two task runs do the same work if they have the same data window (evaluation; a missing window matches any, and
    experiment_ids must be those of the task) or the same experiment name (run_experiment). Otherwise another one is
    started, with a note.
    """
    unfinished = [task_run for task_run in history if not task_run.finished]
    for task_run in unfinished:
        if await _same(task, fields, task_run, context):
            context.note(
                f"No task run was started: task run {task_run.id} of this task is still running and does the same. "
                "Wait for it or cancel it; another data window or experiment_name starts another one."
            )
            return task_run
    if unfinished:
        context.note(f"Task run {unfinished[0].id} of this task is still running; this is another one.")
    return None


async def _same(task: Task, fields: dict[str, Any], task_run: TaskRun, context: ToolContext) -> bool:
    if not task.evaluates:
        if task_run.experiment_id is None:
            return False
        try:
            experiment = await context.client.experiments.get(task_run.experiment_id)
        except NotFound:
            # The experiment was deleted during the task run, so the requested one is a different one.
            return False
        return experiment.name == str(fields["experiment_name"])
    if "experiment_ids" in fields and set(fields["experiment_ids"]) != set(task.experiment_ids):
        return False
    return same_window(task_run, fields.get("data_start_time"), fields.get("data_end_time"))


SPEC = ToolSpec(
    name="trigger_task_run",
    title="Trigger a task run",
    description=(
        "Run a task once now. Use it after creating or changing the task. Starts a task run in status pending "
        "and returns its run_id at once. wait=true waits for the end with progress and returns the counts, or "
        "finished=false and the next call if that takes longer than a host allows. Evaluation tasks accept a "
        "data window (at most 30 days; the first run of a project task defaults to the last 30 days, with a "
        "note), max_spans, override_evaluations and, on datasets, experiment_ids. run_experiment tasks require "
        "experiment_name and accept the other arguments. Arguments of the other type are refused before "
        "anything starts. If the same work is still running, that task run is returned and no second one is "
        "started."
    ),
    effect=Effect.CREATES,
    group=Group.TASKS,
    input=TriggerTaskRunInput,
    output=TaskRunAnswer,
    handler=trigger_task_run,
    validate=trigger_issues_without_task,
    validate_with_context=validate_with_context,
    example={
        "task": "Relevance Monitor",
        "data_start_time": "2026-11-01T00:00:00Z",
        "data_end_time": "2026-11-08T00:00:00Z",
        "wait": True,
    },
)
