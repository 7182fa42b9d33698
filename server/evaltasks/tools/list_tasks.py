"""`ax tasks list`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.tasks import ListTasks, Task, TaskType
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import CURSOR, LIMIT, SPACE, Limit, NameText, TaskTypeWord, Text
from evaltasks.tools.names import Names, display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.references import References
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import Ref, View, age, lower


class ListTasksInput(Input):
    space: Text | None = Field(default=None, description=SPACE)
    project: Text | None = Field(default=None, description="Only tasks on this project (name or id). Default: any.")
    dataset: Text | None = Field(default=None, description="Only tasks on this dataset (name or id). Default: any.")
    name: NameText | None = Field(
        default=None, description='Only tasks whose name contains this, in any letter case. Example: "relevance".'
    )
    task_type: TaskTypeWord | None = Field(default=None, description="Only tasks of this type. Default: any.")
    limit: Limit = Field(default=15, description=LIMIT)
    cursor: Text | None = Field(default=None, description=CURSOR)


class TaskSummary(View):
    task_id: str
    name: str
    type: str
    project: Ref | None = None
    dataset: Ref | None = None
    evaluators: list[Ref] | None = None
    is_continuous: bool | None = None
    last_run_age: str | None = None


class ListTasksOutput(Output):
    tasks: list[TaskSummary]
    has_more: bool
    next_cursor: str | None = None

    def text(self) -> str:
        if not self.tasks:
            return "No tasks match."
        lines = [_line(task) for task in self.tasks]
        more = [f"More: list_tasks with cursor={self.next_cursor}"] if self.has_more else []
        return "\n".join([f"{len(lines)} tasks:", *lines, *more])


async def list_tasks(arguments: ListTasksInput, context: ToolContext) -> ListTasksOutput:
    note_prerelease(context)
    references = References(context.client, arguments.space)
    project_id = await references.project(arguments.project)
    dataset_id = await references.dataset(arguments.dataset)
    references.check("list_tasks")
    # A default space limits the list as it limits names. Without one, all tasks that the key can see are listed.
    scoped = arguments.space is not None or context.settings.default_space is not None
    space_id = (await context.client.resolve.space(arguments.space)).id if scoped else None
    page = await context.client.tasks.list(
        ListTasks(
            space_id=space_id,
            project_id=project_id,
            dataset_id=dataset_id,
            name=arguments.name,
            type=TaskType(arguments.task_type.upper()) if arguments.task_type else None,
            limit=arguments.limit,
            cursor=arguments.cursor,
        )
    )
    names = await display_names(
        context,
        [
            target
            for task in page.tasks
            for target in (
                ("project", task.project_id) if task.project_id else None,
                ("dataset", task.dataset_id) if task.dataset_id else None,
            )
        ],
    )
    return ListTasksOutput(
        tasks=[_summary(task, names, context) for task in page.tasks],
        has_more=page.pagination.has_more,
        next_cursor=page.pagination.next_cursor,
    )


def _summary(task: Task, names: Names, context: ToolContext) -> TaskSummary:
    def ref(kind: str, id_: str | None) -> Ref | None:
        return Ref(id=id_, name=names.get((kind, id_))) if id_ else None

    return TaskSummary(
        task_id=task.id,
        name=task.name,
        type=lower(task.type),
        project=ref("project", task.project_id),
        dataset=ref("dataset", task.dataset_id),
        evaluators=[Ref(id=attachment.evaluator_id, name=attachment.evaluator_name) for attachment in task.evaluators]
        or None,
        is_continuous=task.is_continuous if task.evaluates else None,
        last_run_age=age(context.time.now(), task.last_run_at),
    )


def _line(task: TaskSummary) -> str:
    target = task.project or task.dataset
    on = f" on {target.name or target.id}" if target else ""
    ran = f", last run {task.last_run_age} ago" if task.last_run_age else ", never run"
    return f"- {task.name} ({task.task_id}): {task.type}{on}{', continuous' if task.is_continuous else ''}{ran}"


SPEC = ToolSpec(
    name="list_tasks",
    title="List tasks",
    description=(
        "List evaluation tasks. Use it to see which tasks exist or to find an id. Filters: space, project, "
        "dataset, part of the name, type; all filters must match. Returns name, id, project or dataset, "
        "evaluators and the age of the last run. For the next page pass next_cursor as cursor. For all details "
        "of one task use get_task."
    ),
    effect=Effect.READS,
    group=Group.TASKS,
    input=ListTasksInput,
    output=ListTasksOutput,
    handler=list_tasks,
    example={"task_type": "template_evaluation", "limit": 15},
)
