"""The tool update_task (`ax tasks update`), which can also change single evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from evaltasks.api.tasks import TASK_SETTINGS, EvaluatorAttachment, Task, UpdateTask
from evaltasks.insight.task_difference import differences, merge_changes, to_attachment
from evaltasks.insight.task_rules import UPDATABLE, Provided, shape_issues, update_issues, update_issues_without_task
from evaltasks.insight.validation import ValidationErrors, ValidationIssue, is_provided
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import SPACE, TASK, NameText, Text
from evaltasks.tools.names import display_names, remember_name
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.references import References
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.task_inputs import (
    BriefQueryFilters,
    BriefRunConfiguration,
    EvaluationSettingsInput,
    EvaluatorChanges,
    EvaluatorsOrChanges,
)
from evaltasks.tools.views import TaskView, View, plain, task_line, task_name_keys, task_view


# Fields of a base that is further right come first: the required argument.
class _TaskAndName(Input):
    task: Text = Field(description=TASK)
    space: Text | None = Field(default=None, description=SPACE)
    name: NameText | None = Field(default=None, description="New name. Default: unchanged.")


class UpdateTaskInput(EvaluationSettingsInput, _TaskAndName):
    query_filters: BriefQueryFilters | None = Field(
        default=None, description="Evaluation of traces or sessions: new filters. Default: unchanged."
    )
    evaluators: EvaluatorsOrChanges | None = Field(
        default=None,
        description='Evaluation: a list replaces all; {"add": [], "change": [], "remove": []} changes single ones.',
    )
    run_configuration: BriefRunConfiguration | None = Field(
        default=None, description="run_experiment: replaces the whole configuration; or @file.json."
    )


class Change(View):
    field: str
    before: Any = None
    after: Any = None


class UpdateTaskOutput(Output):
    task: TaskView
    changes: list[Change]

    def text(self) -> str:
        if not self.changes:
            return f"Nothing changed: {task_line(self.task)}"
        lines = [
            f"- {change.field}: {_abbreviated(change.before)} → {_abbreviated(change.after)}" for change in self.changes
        ]
        return "\n".join([f"Updated {task_line(self.task)}", *lines])


async def validate_with_context(given: Provided, context: ToolContext) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments by the type of the task, if there is something to update."""
    if "task" not in given or not any(is_provided(given, argument) for argument in UPDATABLE):
        return "", []
    named = await context.client.resolve.task(given["task"], given.get("space"))
    return update_issues(await context.client.tasks.get(named.id), given)


async def update_task(arguments: UpdateTaskInput, context: ToolContext) -> UpdateTaskOutput:
    note_prerelease(context)
    named = await context.client.resolve.task(arguments.task, arguments.space)
    before = await context.client.tasks.get(named.id)
    given = {name: getattr(arguments, name) for name in UPDATABLE if name in arguments.model_fields_set}
    detail, issues = update_issues(before, given)
    if issues:
        raise ValidationErrors(SPEC.subject(detail), issues)
    body = await _body(arguments, given, before, context, SPEC.subject(detail))
    after = await context.client.tasks.update(before.id, body)
    remember_name(context, "task", after.id, after.name)
    names = await display_names(context, task_name_keys(after))
    return UpdateTaskOutput(
        task=task_view(after, names, context.time.now()),
        changes=[
            Change(field=difference.field, before=_to_view(difference.before), after=_to_view(difference.after))
            for difference in differences(before, after)
        ],
    )


async def _body(
    arguments: UpdateTaskInput, given: Provided, before: Task, context: ToolContext, subject: str
) -> UpdateTask:
    references = References(context.client, arguments.space)
    # An empty text clears a setting.
    fields: dict[str, Any] = {
        name: None if given[name] == "" else given[name] for name in ("name", *TASK_SETTINGS) if name in given
    }
    if "is_continuous" in fields and before.dataset_id:
        # A dataset task is never continuous.
        del fields["is_continuous"]
    if "run_configuration" in given:
        fields["run_configuration"] = await references.run_configuration(given["run_configuration"])
    if "evaluators" in given:
        fields["evaluators"] = await _evaluators(given["evaluators"], before, references, context)
    if before.evaluates:
        evaluators: Sequence[EvaluatorAttachment] = fields.get(
            "evaluators", [to_attachment(evaluator) for evaluator in before.evaluators]
        )
        query_filter = fields.get("query_filter", before.query_filter)
        references.issues += shape_issues(evaluators, query_filter, fields.get("query_filters", before.query_filters))
    references.check(subject)
    if not fields:
        # The only argument is `is_continuous: false` of a dataset task; an update needs at least one field.
        fields["name"] = before.name
    return UpdateTask.model_construct(_fields_set=set(fields), **fields)


async def _evaluators(
    given: list[EvaluatorAttachment] | EvaluatorChanges, before: Task, references: References, context: ToolContext
) -> list[EvaluatorAttachment]:
    """Return the complete list after the change, with ids. Problems are collected in `references`."""
    if isinstance(given, EvaluatorChanges):
        placed = await _merged(given, before, references)
    else:
        placed = await references.attachments(given)
    if not references.issues:
        for text in await references.fit(before.type, placed):
            context.note(text)
    return [attachment for _, attachment in placed]


async def _merged(
    changes: EvaluatorChanges, before: Task, references: References
) -> list[tuple[str, EvaluatorAttachment]]:
    add = await references.attachments(changes.add, "evaluators.add")
    change = await references.attachments(changes.change, "evaluators.change")
    attached = {
        evaluator.evaluator_name: evaluator.evaluator_id for evaluator in before.evaluators if evaluator.evaluator_name
    }
    remove: dict[str, int] = {}
    for index, text in enumerate(changes.remove):
        # An attached evaluator is found by its name without a request, even if the name is ambiguous.
        id_ = attached.get(text) or await references.evaluator(text, f"evaluators.remove[{index}]")
        if id_ is not None:
            remove[id_] = index
    if references.issues:
        return []
    after, issues = merge_changes(
        before.evaluators,
        add=[attachment for _, attachment in add],
        change=[attachment for _, attachment in change],
        remove=remove,
    )
    references.issues += issues
    places = {attachment.evaluator_id: place for place, attachment in (*add, *change)}
    return [
        (places.get(attachment.evaluator_id, f"evaluator {attachment.evaluator_id} (already attached)"), attachment)
        for attachment in after
    ]


def _to_view(value: Any) -> Any:
    """Return a value of a difference in the form that agents see."""
    if isinstance(value, list):
        return [_to_view(item) for item in value]
    return plain(value) if hasattr(value, "model_dump") else value


def _abbreviated(value: Any) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


SPEC = ToolSpec(
    name="update_task",
    title="Update a task",
    description=(
        "Update an existing task: its name, sampling rate, continuous running, filters, evaluators or run "
        "configuration. Use it instead of creating the task again. Omitted arguments stay unchanged. "
        'evaluators as a list replaces the whole list; to change single ones pass {"add": [...], "change": '
        '[{"evaluator_id": ..., only the fields to change}], "remove": [names]}. run_configuration replaces '
        'the whole configuration. query_filter="" clears the filter. Fields that do not apply to the task\'s '
        "type are refused before anything is changed. Returns the updated task and what changed."
    ),
    effect=Effect.CHANGES,
    group=Group.TASKS,
    input=UpdateTaskInput,
    output=UpdateTaskOutput,
    handler=update_task,
    validate=update_issues_without_task,
    validate_with_context=validate_with_context,
    idempotent=True,
    example={"task": "Relevance Monitor", "name": "Relevance Monitor v2", "sampling_rate": 0.25},
)
