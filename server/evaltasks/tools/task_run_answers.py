"""What trigger and wait answer: the task run, whether it is over, and how to go on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evaltasks.api.task_runs import TaskRun
from evaltasks.tools.context import ToolContext
from evaltasks.tools.names import display_names
from evaltasks.tools.spec import Output
from evaltasks.tools.views import (
    ChainedRunView,
    NextCall,
    TaskRunView,
    chained_line,
    chained_view,
    span_words,
    task_run_line,
    task_run_name_keys,
    task_run_view,
)
from evaltasks.tools.waiting import Waited


class TaskRunAnswer(Output):
    outcome: Literal["started", "already_running", "finished", "still_running", "timed_out"]
    finished: bool
    started: bool | None = Field(default=None, description="false: nothing new was started")
    task_run: TaskRunView
    chained_task_runs: list[ChainedRunView] | None = Field(
        default=None, description="evaluation task runs triggered on the new experiment; finished counts them in"
    )
    waited_seconds: float | None = None
    next_call: NextCall | None = None

    def text(self) -> str:
        said = {
            "started": "Started",
            "already_running": "Already under way",
            "finished": "Finished",
            "still_running": "Still running after this call's patience; nothing is wrong",
            "timed_out": "Not finished within the timeout; it goes on by itself",
        }[self.outcome]
        run = self.task_run
        if self.outcome == "still_running" and run.status == "pending":
            said = "Not started yet after this call's patience; if it stays pending for minutes, something holds it up"
        left = f", about {span_words(run.seconds_left)} left" if run.seconds_left is not None else ""
        following = f"\nNext: {self.next_call.written()}" if self.next_call else ""
        chained = "".join(f"\nThen {chained_line(each)}" for each in self.chained_task_runs or ())
        return f"{said}: {task_run_line(run)}{left}{chained}{following}"


async def started_answer(task_run: TaskRun, context: ToolContext, *, started: bool) -> TaskRunAnswer:
    """The answer of a trigger that does not wait."""
    return TaskRunAnswer(
        outcome="started" if started else "already_running",
        finished=task_run.finished,
        started=started,
        task_run=await _view(task_run, context),
        next_call=NextCall(tool="wait_for_task_run", arguments={"run_id": task_run.id}),
    )


async def waited_answer(
    waited: Waited, poll_interval: float, context: ToolContext, *, started: bool | None = None
) -> TaskRunAnswer:
    """The answer of a wait. What is left of the time-out is in the next call, so it counts over all calls."""
    if waited.last_failure:
        context.note(waited.last_failure)
    task_run, chained = waited.job.task_run, waited.job.chained
    if waited.job.finished:
        outcome: Literal["finished", "timed_out", "still_running"] = "finished"
        # The scores are where they were given: in the evaluation, when there is one.
        following = NextCall(tool="task_run_results", arguments={"run_id": (*chained, task_run)[0].id})
    elif waited.timed_out:
        outcome = "timed_out"
        following = NextCall(tool="get_task_run", arguments={"run_id": task_run.id})
    else:
        outcome = "still_running"
        following = NextCall(
            tool="wait_for_task_run",
            arguments={"run_id": task_run.id, "poll_interval": poll_interval, "timeout": waited.left_seconds},
        )
    names = await display_names(context, [wanted for each in chained for wanted in task_run_name_keys(each)])
    return TaskRunAnswer(
        outcome=outcome,
        finished=waited.job.finished,
        started=started,
        task_run=await _view(task_run, context),
        chained_task_runs=[chained_view(each, names) for each in chained] or None,
        waited_seconds=waited.waited_seconds,
        next_call=following,
    )


async def _view(task_run: TaskRun, context: ToolContext) -> TaskRunView:
    names = await display_names(context, task_run_name_keys(task_run))
    return task_run_view(task_run, names, context.time.now())
