"""`ax tasks cancel-run`."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.task_runs import TaskRun
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import FORCE, RUN_ID, Flag, Text
from evaltasks.tools.names import Names, display_names
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.views import TaskRunView, lower, task_run_line, task_run_name_keys, task_run_view


class CancelTaskRunInput(Input):
    run_id: Text = Field(description=RUN_ID)
    force: Flag = Field(default=False, description=FORCE)
    confirm: Text | None = Field(
        default=None, description="The run_id again, if the user agreed. Default: ask the user."
    )


class CancelTaskRunOutput(Output):
    task_run: TaskRunView
    evaluated_so_far: str

    def text(self) -> str:
        return f"Cancelled {task_run_line(self.task_run)}\n{self.evaluated_so_far}"


async def cancel_task_run(arguments: CancelTaskRunInput, context: ToolContext) -> CancelTaskRunOutput:
    note_prerelease(context)
    if arguments.confirm is not None and arguments.confirm != arguments.run_id:
        issue = ValidationIssue("confirm", "is not the run_id of this call", "pass exactly the run_id")
        raise ValidationErrors("cancel_task_run", [issue])
    task_run = await context.client.task_runs.get(arguments.run_id)
    if task_run.finished:
        raise Refused(
            f"Task run {task_run.id} is already {lower(task_run.status)}. Only pending and running task runs can be "
            "cancelled; read it with get_task_run."
        )
    names = await display_names(context, task_run_name_keys(task_run))
    if not arguments.force and arguments.confirm is None:
        await context.confirm.ask(_question(task_run, names), confirm_with=task_run.id)
    cancelled = await context.client.task_runs.cancel(task_run.id)
    view = task_run_view(cancelled, names, context.time.now())
    return CancelTaskRunOutput(
        task_run=view,
        evaluated_so_far=f"{view.done} rows have an outcome ({cancelled.num_successes} evaluated) and are kept.",
    )


def _question(task_run: TaskRun, names: Names) -> str:
    """Return the question, without counts: in the newer protocol it must be identical when the answer arrives."""
    name = names.get(("task", task_run.task_id))
    of = f' of "{name}"' if name else f" of task {task_run.task_id}"
    return (
        f"Cancel task run {task_run.id}{of}? The evaluations made so far are kept; the other rows are not evaluated, "
        "and the task run cannot be resumed."
    )


SPEC = ToolSpec(
    name="cancel_task_run",
    title="Cancel a task run",
    description=(
        "Cancel a pending or running task run permanently. Use it when the task run should not continue. "
        "Evaluations made so far are kept and counted in the result. The user is asked first. If the client "
        "cannot ask the user, the call returns an error with the question to show; if the user agrees, call "
        "again with confirm set to the run_id. If the user refuses, do not call again. A finished task run "
        "cannot be cancelled."
    ),
    effect=Effect.DESTROYS,
    group=Group.TASKS,
    input=CancelTaskRunInput,
    output=CancelTaskRunOutput,
    handler=cancel_task_run,
    example={"run_id": "VGFza1J1bjoxOmFCM2Q=", "confirm": "VGFza1J1bjoxOmFCM2Q="},
)
