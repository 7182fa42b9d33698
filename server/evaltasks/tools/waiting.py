"""Wait for a task run within the time that one tool call may last.

How it works: MCP hosts abort long calls, most of them after 60 s, so one call waits at most
`settings.call_wait_seconds_max`. The remaining part of the caller's `timeout` is an argument of the next call, which
the answer contains: no process stores the wait, every process can continue it, and `timeout` counts over all calls
together. A wait only reads. Ending it, in whatever way, does not change the task run.

A run_experiment task run can trigger evaluation task runs on its experiment. Where the service reports their ids (an
evaltasks engine does), they belong to the wait: it ends when all of them have ended.

Errors of the network and of an overloaded service do not end a wait before its time is over. Errors that say that the
task run cannot be seen (not found, forbidden) end it at once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import anyio

from evaltasks.api.problems import NotBuilt, NotFound, Problem, RateLimited, ServerError
from evaltasks.api.task_runs import TaskRun
from evaltasks.client.errors import ClientError, Unreachable, Unreadable
from evaltasks.client.retries import retry_after_of
from evaltasks.tools.context import ToolContext
from evaltasks.tools.views import progress_sentence, span_words

POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 600.0
# An engine in this process answers within a millisecond, so frequent polls cost nothing and keep progress current.
_ENGINE_POLL_SECONDS_MAX = 1.0
# The first polls come sooner, because many task runs end before the first interval does.
_FIRST_POLL_SECONDS = 0.1
# Well below the 15 s without progress after which hosts consider a call dead.
_SILENCE_SECONDS_MAX = 10.0
_REQUEST_SECONDS_MIN = 0.05


@dataclass(frozen=True)
class RunChain:
    """A task run and the task runs that its completion triggered."""

    task_run: TaskRun
    chained: tuple[TaskRun, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether all task runs have ended."""
        return all(each.finished for each in (self.task_run, *self.chained))


@dataclass(frozen=True)
class WaitResult:
    """The state of a wait at the end of one call.

    Attributes:
        chain: The task runs as last read.
        waited_seconds: How long this call waited.
        left_seconds: The rest of the caller's timeout, for the next call.
        timed_out: Whether the whole timeout is over. It says nothing about the task run.
        last_failure: Why the most recent polls failed, if they did.
    """

    chain: RunChain
    waited_seconds: float
    left_seconds: float
    timed_out: bool = False
    last_failure: str | None = None


async def wait_for(context: ToolContext, run_id: str, poll_interval: float, timeout: float) -> WaitResult:
    """Poll a task run until it has ended, or the time of this call or the caller's timeout is over.

    Args:
        context: The context of the call, which also receives progress.
        run_id: The id of the task run.
        poll_interval: Seconds between two polls. An embedded engine is polled at least every second.
        timeout: Seconds to wait, over this and all following calls.

    Raises:
        Problem: The service refused to show the task run.
        ClientError: The task run could not be read once within the time of this call.
    """
    started = context.time.monotonic_seconds()
    seconds_max = min(timeout, context.settings.call_wait_seconds_max)
    interval = min(poll_interval, _ENGINE_POLL_SECONDS_MAX) if context.client.is_engine else poll_interval
    pause = min(_FIRST_POLL_SECONDS, interval) if context.client.is_engine else interval
    seen: RunChain | None = None
    last_failure: Problem | ClientError | None = None
    while True:
        left = seconds_max - (context.time.monotonic_seconds() - started)
        try:
            current = await _poll(context, run_id, left, seen)
        except (Problem, ClientError) as error:
            if not _is_transient(error):
                raise
            last_failure = error
        else:
            if current is None:
                # The client was still retrying when the time of this poll was over.
                last_failure = last_failure or _no_answer(run_id, context.time.monotonic_seconds() - started)
            else:
                seen, last_failure = current, None
                await _report(context, seen)
        waited = context.time.monotonic_seconds() - started
        over = waited >= seconds_max
        if seen is not None and (seen.finished or over):
            return _result(seen, waited, timeout, last_failure)
        if over:
            raise last_failure or _no_answer(run_id, waited)
        sleep_seconds = max(pause, retry_after_of(last_failure) or 0.0)
        await _sleep(context, min(sleep_seconds, seconds_max - waited), seen)
        pause = min(pause * 2, interval)


async def _poll(context: ToolContext, run_id: str, left_seconds: float, seen: RunChain | None) -> RunChain | None:
    """Read the task runs once within the remaining time. Return None if no answer arrived in time."""
    # The client retries failed reads, which can take longer than the time of this call.
    with anyio.move_on_after(max(left_seconds, _REQUEST_SECONDS_MIN) + 1.0):
        over = {each.id: each for each in (seen.task_run, *seen.chained) if each.finished} if seen else {}
        task_run = over.get(run_id) or await context.client.task_runs.get(run_id)
        chained = []
        for chained_id in task_run.chained_task_run_ids or ():
            # A chained task run that does not exist was deleted with its task: there is nothing to wait for.
            with suppress(NotFound):
                chained.append(over.get(chained_id) or await context.client.task_runs.get(chained_id))
        return RunChain(task_run, tuple(chained))
    return None


async def _sleep(context: ToolContext, seconds: float, seen: RunChain | None) -> None:
    """Sleep in slices and report progress after each."""
    while seconds > 0:
        slice_seconds = min(seconds, _SILENCE_SECONDS_MAX)
        await context.time.sleep(slice_seconds)
        seconds -= slice_seconds
        if seconds > 0 and seen is not None:
            await _report(context, seen)


async def _report(context: ToolContext, chain: RunChain) -> None:
    """Report the counts of all task runs together, and a sentence about the one that is running."""
    task_runs = (chain.task_run, *chain.chained)
    current = next((task_run for task_run in task_runs if not task_run.finished), task_runs[-1])
    sentence = progress_sentence(current, context.time.now())
    if chain.chained:
        sentence = f"task run {task_runs.index(current) + 1} of {len(task_runs)}: {sentence}"
    selected = [task_run.num_selected for task_run in task_runs if task_run.num_selected is not None]
    total = float(sum(selected)) if len(selected) == len(task_runs) else None
    num_done = sum(task_run.num_done for task_run in task_runs)
    await context.progress.report(float(num_done), total, sentence)


def _is_transient(error: Problem | ClientError) -> bool:
    """Return whether the next poll may succeed."""
    if isinstance(error, NotBuilt):
        return False
    return isinstance(error, (RateLimited, ServerError, Unreachable, Unreadable))


def _result(chain: RunChain, waited: float, timeout: float, last_failure: Problem | ClientError | None) -> WaitResult:
    left = max(0.0, timeout - waited)
    return WaitResult(
        chain=chain,
        waited_seconds=round(waited, 1),
        left_seconds=round(left, 1),
        # A next call with less than a second left would not wait at all.
        timed_out=not chain.finished and left < 1.0,
        last_failure=None if last_failure is None else f"The last polls failed ({last_failure}); the counts are older.",
    )


def _no_answer(run_id: str, waited: float) -> ClientError:
    return Unreachable(
        f"The service did not answer within {span_words(waited)}. Task run {run_id[:80]} is not affected; read it "
        "later with get_task_run."
    )
