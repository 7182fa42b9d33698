"""`ax tasks delete`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.task_runs import ListTaskRuns
from evaltasks.api.tasks import Task
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import FORCE, SPACE, TASK, Flag, Text
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import lower

# A larger number would not change the user's decision, and counting takes time.
_COUNTED_MAX = 1000


class DeleteTaskInput(Input):
    task: Text = Field(description=TASK)
    space: Text | None = Field(default=None, description=SPACE)
    force: Flag = Field(default=False, description=FORCE)
    confirm: Text | None = Field(
        default=None, description="The task's exact name or id, if the user agreed. Default: ask the user."
    )


class DeleteTaskOutput(Output):
    task_id: str
    name: str
    deleted: bool
    lost: str

    def text(self) -> str:
        return f"Deleted task {self.name} ({self.task_id}) with {self.lost}."


async def delete_task(arguments: DeleteTaskInput, context: ToolContext) -> DeleteTaskOutput:
    note_prerelease(context)
    named = await context.client.resolve.task(arguments.task, arguments.space)
    task = await context.client.tasks.get(named.id)
    if arguments.confirm is not None and arguments.confirm not in {task.name, task.id}:
        issue = ValidationIssue("confirm", "is neither the name nor the id of this task", "pass exactly one of them")
        raise ValidationErrors("delete_task", [issue])
    lost = await _lost(task, context)
    if not arguments.force and arguments.confirm is None:
        await context.confirm.ask(_question(task, lost), confirm_with=task.name)
    await context.client.tasks.delete(task.id)
    return DeleteTaskOutput(task_id=task.id, name=task.name, deleted=True, lost=lost)


async def _lost(task: Task, context: ToolContext) -> str:
    """Return what is deleted with the task: `3 task runs and its configuration`."""
    count = 0
    async for _ in context.client.tasks.all_task_runs(task.id, ListTaskRuns(limit=100)):
        count += 1
        if count >= _COUNTED_MAX:
            break
    more = "at least " if count >= _COUNTED_MAX else ""
    return f"{more}{count} task run{'' if count == 1 else 's'} and its configuration"


def _question(task: Task, lost: str) -> str:
    running = " It runs continuously: new spans will not be evaluated any more." if task.is_continuous else ""
    name = f'the {lower(task.type)} task "{task.name}" ({task.id})'
    return f"Delete {name}? This also deletes {lost}, and cannot be undone.{running}"


SPEC = ToolSpec(
    name="delete_task",
    title="Delete a task",
    description=(
        "Delete a task with its runs and configuration; this cannot be undone. Use it when the task is not "
        "needed any more. The user is asked first, with what would be lost. If the client cannot ask the user, "
        "the call returns an error with the question to show; if the user agrees, call again with confirm set "
        "to the task's exact name or id. If the user refuses, do not call again. To stop a continuous task "
        "without deleting it use update_task with is_continuous=false."
    ),
    effect=Effect.DESTROYS,
    group=Group.TASKS,
    input=DeleteTaskInput,
    output=DeleteTaskOutput,
    handler=delete_task,
    example={"task": "Relevance Monitor", "confirm": "Relevance Monitor"},
)
