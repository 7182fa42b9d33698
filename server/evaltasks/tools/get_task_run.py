"""`ax tasks get-run`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import RUN_ID, Text
from evaltasks.tools.names import display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import TaskRunView, task_run_line, task_run_name_keys, task_run_view


class GetTaskRunInput(Input):
    run_id: Text = Field(description=RUN_ID)


class GetTaskRunOutput(Output):
    task_run: TaskRunView

    def text(self) -> str:
        unexplained = f"\n{self.task_run.unexplained}" if self.task_run.unexplained else ""
        return task_run_line(self.task_run) + unexplained


async def get_task_run(arguments: GetTaskRunInput, context: ToolContext) -> GetTaskRunOutput:
    note_prerelease(context)
    task_run = await context.client.task_runs.get(arguments.run_id)
    names = await display_names(context, task_run_name_keys(task_run))
    return GetTaskRunOutput(task_run=task_run_view(task_run, names, context.time.now()))


SPEC = ToolSpec(
    name="get_task_run",
    title="Get a task run",
    description=(
        "Get the current state of a task run: status, rows done of rows selected, errors, skipped rows, pace, "
        "estimated end, data window, created experiment, why it failed, and which counts have no explanation. "
        "Use it for a single look; to wait for the end use wait_for_task_run, for scores task_run_results."
    ),
    effect=Effect.READS,
    group=Group.TASKS,
    input=GetTaskRunInput,
    output=GetTaskRunOutput,
    handler=get_task_run,
    example={"run_id": "VGFza1J1bjoxOmFCM2Q="},
)
