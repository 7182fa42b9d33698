"""`ax tasks get`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import SPACE, TASK, Text
from evaltasks.tools.names import display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import TaskView, task_line, task_name_keys, task_view


class GetTaskInput(Input):
    task: Text = Field(description=TASK)
    space: Text | None = Field(default=None, description=SPACE)


class GetTaskOutput(Output):
    task: TaskView

    def text(self) -> str:
        return task_line(self.task)


async def get_task(arguments: GetTaskInput, context: ToolContext) -> GetTaskOutput:
    note_prerelease(context)
    named = await context.client.resolve.task(arguments.task, arguments.space)
    task = await context.client.tasks.get(named.id)
    names = await display_names(context, task_name_keys(task))
    return GetTaskOutput(task=task_view(task, names, context.time.now()))


SPEC = ToolSpec(
    name="get_task",
    title="Get a task",
    description=(
        "Get all details of one task: type, project or dataset, evaluators with pinned versions, filters and "
        "column mappings, sampling rate, whether it runs continuously, the run configuration of a "
        "run_experiment task, and when it last ran. Use it before update_task. Accepts a name or an id. For "
        "its runs use list_task_runs."
    ),
    effect=Effect.READS,
    group=Group.TASKS,
    input=GetTaskInput,
    output=GetTaskOutput,
    handler=get_task,
    example={"task": "Relevance Monitor"},
)
