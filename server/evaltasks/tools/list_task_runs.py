"""`ax tasks list-runs`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.task_runs import ListTaskRuns, TaskRunStatus
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import CURSOR, LIMIT, SPACE, TASK, Limit, TaskRunStatusWord, Text
from evaltasks.tools.names import display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import Ref, TaskRunView, task_run_line, task_run_view


class ListTaskRunsInput(Input):
    task: Text = Field(description=TASK)
    space: Text | None = Field(default=None, description=SPACE)
    status: TaskRunStatusWord | None = Field(default=None, description="Only task runs with this status. Default: any.")
    limit: Limit = Field(default=15, description=LIMIT)
    cursor: Text | None = Field(default=None, description=CURSOR)


class ListTaskRunsOutput(Output):
    task: Ref
    task_runs: list[TaskRunView]
    has_more: bool
    next_cursor: str | None = None

    def text(self) -> str:
        if not self.task_runs:
            return f"{self.task.name or self.task.id} has no matching task runs."
        lines = [f"- {task_run_line(task_run)}" for task_run in self.task_runs]
        more = [f"More: list_task_runs with cursor={self.next_cursor}"] if self.has_more else []
        return "\n".join([f"{len(lines)} task runs, newest first:", *lines, *more])


async def list_task_runs(arguments: ListTaskRunsInput, context: ToolContext) -> ListTaskRunsOutput:
    note_prerelease(context)
    named = await context.client.resolve.task(arguments.task, arguments.space)
    page = await context.client.tasks.list_task_runs(
        named.id,
        ListTaskRuns(
            status=TaskRunStatus(arguments.status.upper()) if arguments.status else None,
            limit=arguments.limit,
            cursor=arguments.cursor,
        ),
    )
    names = await display_names(context, [("task", named.id)])
    now = context.time.now()
    return ListTaskRunsOutput(
        task=Ref(id=named.id, name=named.name or names.get(("task", named.id))),
        task_runs=[task_run_view(task_run, names, now) for task_run in page.task_runs],
        has_more=page.pagination.has_more,
        next_cursor=page.pagination.next_cursor,
    )


SPEC = ToolSpec(
    name="list_task_runs",
    title="List a task's runs",
    description=(
        "List the runs of a task, newest first, optionally with one status. Use it to see the history of a "
        "task or to find its last run_id. Returns counts, age, data window and, for failed or cancelled task "
        "runs, the reason. For the next page pass next_cursor as cursor."
    ),
    effect=Effect.READS,
    group=Group.TASKS,
    input=ListTaskRunsInput,
    output=ListTaskRunsOutput,
    handler=list_task_runs,
    example={"task": "Relevance Monitor", "status": "completed"},
)
