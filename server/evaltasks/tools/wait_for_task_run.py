"""`ax tasks wait-for-run`, in calls that are short enough for MCP hosts."""

from __future__ import annotations

from pydantic import Field

from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import POLL_INTERVAL, RUN_ID, TIMEOUT, Seconds, Text
from evaltasks.tools.prerelease import note_prerelease
from evaltasks.tools.spec import Effect, Group, Input, ToolSpec
from evaltasks.tools.task_run_answers import TaskRunAnswer, waited_answer
from evaltasks.tools.waiting import POLL_SECONDS, TIMEOUT_SECONDS, wait_for


class WaitForTaskRunInput(Input):
    run_id: Text = Field(description=RUN_ID)
    poll_interval: Seconds = Field(default=POLL_SECONDS, description=POLL_INTERVAL)
    timeout: Seconds = Field(default=TIMEOUT_SECONDS, description=TIMEOUT)


async def wait_for_task_run(arguments: WaitForTaskRunInput, context: ToolContext) -> TaskRunAnswer:
    note_prerelease(context)
    result = await wait_for(context, arguments.run_id, arguments.poll_interval, arguments.timeout)
    return await waited_answer(result, arguments.poll_interval, context)


SPEC = ToolSpec(
    name="wait_for_task_run",
    title="Wait for a task run",
    description=(
        "Wait until a task run has ended, with progress. Use it after trigger_task_run. Returns "
        "outcome=finished with the counts; outcome=still_running after about 45 s, the longest call that "
        "hosts allow (not an error: make next_call exactly as it is); or outcome=timed_out when the whole "
        "timeout is over (the task run continues). Waiting only reads, so ending it never cancels the task "
        "run. Network errors do not end the wait."
    ),
    effect=Effect.READS,
    group=Group.TASKS,
    input=WaitForTaskRunInput,
    output=TaskRunAnswer,
    handler=wait_for_task_run,
    example={"run_id": "VGFza1J1bjoxOmFCM2Q=", "timeout": 300, "poll_interval": 10},
)
