"""The result of `trigger_task_run` and `wait_for_task_run`: the task run, whether it has ended, and the next call."""

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
from evaltasks.tools.waiting import WaitResult


class TaskRunAnswer(Output):
    """The state of a task run and of the task runs that it triggered."""

    outcome: Literal["started", "already_running", "finished", "still_running", "timed_out"]
    finished: bool
    started: bool | None = Field(default=None, description="false if a task run was already running")
    task_run: TaskRunView
    chained_task_runs: list[ChainedRunView] | None = Field(
        default=None, description="Evaluation task runs triggered on the new experiment. finished includes them."
    )
    waited_seconds: float | None = None
    next_call: NextCall | None = None

    def text(self) -> str:
        """Return outcome, counts, chained task runs and the next call as text."""
        headline = {
            "started": "Started",
            "already_running": "Already running",
            "finished": "Finished",
            "still_running": "Still running at the end of this call, which is not an error",
            "timed_out": "Not finished within the timeout; it continues",
        }[self.outcome]
        run = self.task_run
        if self.outcome == "still_running" and run.status == "pending":
            headline = "Not started yet at the end of this call; if it stays pending for minutes, it may be blocked"
        left = f", about {span_words(run.seconds_left)} left" if run.seconds_left is not None else ""
        following = f"\nNext: {self.next_call.written()}" if self.next_call else ""
        chained = "".join(f"\nThen {chained_line(each)}" for each in self.chained_task_runs or ())
        return f"{headline}: {task_run_line(run)}{left}{chained}{following}"


async def started_answer(task_run: TaskRun, context: ToolContext, *, started: bool) -> TaskRunAnswer:
    """Return the result of a trigger that does not wait."""
    return TaskRunAnswer(
        outcome="started" if started else "already_running",
        finished=task_run.finished,
        started=started,
        task_run=await _view(task_run, context),
        next_call=NextCall(tool="wait_for_task_run", arguments={"run_id": task_run.id}),
    )


async def waited_answer(
    result: WaitResult, poll_interval: float, context: ToolContext, *, started: bool | None = None
) -> TaskRunAnswer:
    """Return the result of a wait. The next call carries the rest of the timeout, which counts over all calls."""
    if result.last_failure:
        context.note(result.last_failure)
    task_run, chained = result.chain.task_run, result.chain.chained
    if result.chain.finished:
        outcome: Literal["finished", "timed_out", "still_running"] = "finished"
        # The scores belong to the evaluation task run, if there is one.
        following = NextCall(tool="task_run_results", arguments={"run_id": (*chained, task_run)[0].id})
    elif result.timed_out:
        outcome = "timed_out"
        following = NextCall(tool="get_task_run", arguments={"run_id": task_run.id})
    else:
        outcome = "still_running"
        following = NextCall(
            tool="wait_for_task_run",
            arguments={"run_id": task_run.id, "poll_interval": poll_interval, "timeout": result.left_seconds},
        )
    names = await display_names(context, [key for each in chained for key in task_run_name_keys(each)])
    return TaskRunAnswer(
        outcome=outcome,
        finished=result.chain.finished,
        started=started,
        task_run=await _view(task_run, context),
        chained_task_runs=[chained_view(each, names) for each in chained] or None,
        waited_seconds=result.waited_seconds,
        next_call=following,
    )


async def _view(task_run: TaskRun, context: ToolContext) -> TaskRunView:
    names = await display_names(context, task_run_name_keys(task_run))
    return task_run_view(task_run, names, context.time.now())
