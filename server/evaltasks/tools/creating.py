"""Creates tasks for the three tools that do so, after their arguments were validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaltasks.api.tasks import CreateTask, EvaluatorAttachment, TaskType
from evaltasks.insight.task_rules import subject_of
from evaltasks.tools.context import ToolContext
from evaltasks.tools.names import display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.references import References
from evaltasks.tools.spec import Output
from evaltasks.tools.views import NextCall, TaskView, task_line, task_name_keys, task_view


@dataclass(frozen=True)
class ProposedTask:
    """A task as the arguments describe it: with names in the place of ids. `settings` are those of `settings_of`."""

    name: str
    task_type: TaskType
    space: str | None = None
    project: str | None = None
    dataset: str | None = None
    evaluators: Sequence[EvaluatorAttachment] | None = None
    experiment_ids: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class CreatedTask(Output):
    task: TaskView
    next_call: NextCall

    def text(self) -> str:
        """Return the task and the next call as text."""
        return f"Created {task_line(self.task)}\nNext: {self.next_call.written()}"


async def create(tool: str, proposed: ProposedTask, context: ToolContext) -> CreatedTask:
    """Resolve all references, check that the resources fit together, and create the task.

    Args:
        tool: The name of the tool, for the message of errors.
        proposed: The task.
        context: The context of the tool call.

    Raises:
        ValidationErrors: A reference is unknown or the resources do not fit. Nothing is created then.
    """
    note_prerelease(context)
    body = await _body(tool, proposed, context)
    task = await context.client.tasks.create(body)
    names = await display_names(context, task_name_keys(task))
    arguments: dict[str, Any] = {"task": task.id}
    if not task.evaluates:
        arguments["experiment_name"] = f"{task.name[:200]} 1".replace('"', "").replace("\\", "")
    return CreatedTask(
        task=task_view(task, names, context.time.now()),
        next_call=NextCall(tool="trigger_task_run", arguments={**arguments, "wait": True}),
    )


async def _body(tool: str, proposed: ProposedTask, context: ToolContext) -> CreateTask:
    references = References(context.client, proposed.space)
    project_id = await references.project(proposed.project)
    dataset_id = await references.dataset(proposed.dataset)
    fields: dict[str, Any] = {"project_id": project_id, "dataset_id": dataset_id, **proposed.settings}
    if not proposed.project:
        # A dataset task is never continuous, and some services refuse the field; `false` is not sent.
        fields.pop("is_continuous", None)
    if proposed.dataset and proposed.task_type.evaluates:
        # Names of experiments are looked up inside the dataset, so an unknown dataset would only add false problems.
        if dataset_id is not None:
            fields["experiment_ids"] = await references.experiments(proposed.experiment_ids, dataset_id)
        if not proposed.experiment_ids:
            context.note("experiment_ids is missing: most services require at least one experiment for a dataset task.")
    if proposed.evaluators is not None:
        attachments = await references.attachments(proposed.evaluators)
        fields["evaluators"] = [attachment for _, attachment in attachments]
        for text in await references.fit(proposed.task_type, attachments):
            context.note(text)
    if "run_configuration" in fields:
        fields["run_configuration"] = await references.run_configuration(fields["run_configuration"])
    detail = subject_of(proposed.task_type, bool(proposed.project), bool(proposed.dataset))
    references.check(f"{tool} ({detail})")
    body = {name: value for name, value in fields.items() if value is not None and value != ""}
    # Every argument was validated when it was read.
    return CreateTask.model_construct(name=proposed.name, type=proposed.task_type, **body)
