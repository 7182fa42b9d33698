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
# An engine in this process answers in a millisecond: watching it closely costs nothing and keeps progress live.
_ENGINE_POLL_SECONDS_MAX = 1.0
# The first looks come sooner: many task runs are over before the first interval is.
_FIRST_POLL_SECONDS = 0.1
# Well below the 15 s after which hosts begin to think that a call has died.
_SILENCE_SECONDS_MAX = 10.0
_REQUEST_SECONDS_MIN = 0.05


@dataclass(frozen=True)
class Job:
    """A task run and the task runs that its completion triggered."""

    task_run: TaskRun
    chained: tuple[TaskRun, ...] = ()

    @property
    def finished(self) -> bool:
        return all(each.finished for each in (self.task_run, *self.chained))


@dataclass(frozen=True)
class Waited:
    """How far a wait came. `timed_out`: the caller's whole time is over, which is not the task run's problem.

    `left_seconds` of the caller's time-out are for the next call. `last_failure` tells of polls that failed last.
    """

    job: Job
    waited_seconds: float
    left_seconds: float
    timed_out: bool = False
    last_failure: str | None = None


async def wait_for(context: ToolContext, run_id: str, poll_interval: float, timeout: float) -> Waited:
    """Watch a task run until it is over, the host's patience ends or the caller's time-out does.

    Raises Problem and ClientError when the task run could never be read, or cannot be read any more.
    """
    started = context.time.monotonic_seconds()
    seconds_max = min(timeout, context.settings.call_wait_seconds_max)
    interval = min(poll_interval, _ENGINE_POLL_SECONDS_MAX) if context.client.is_engine else poll_interval
    pause = min(_FIRST_POLL_SECONDS, interval) if context.client.is_engine else interval
    seen: Job | None = None
    last_failure: Problem | ClientError | None = None
    while True:
        left = seconds_max - (context.time.monotonic_seconds() - started)
        try:
            found = await _look(context, run_id, left, seen)
        except (Problem, ClientError) as error:
            if not _passes(error):
                raise
            last_failure = error
        else:
            if found is None:
                # The client was still trying when the time for this look was over.
                last_failure = last_failure or _unseen(run_id, context.time.monotonic_seconds() - started)
            else:
                seen, last_failure = found, None
                await _report(context, seen)
        waited = context.time.monotonic_seconds() - started
        over = waited >= seconds_max
        if seen is not None and (seen.finished or over):
            return _waited(seen, waited, timeout, last_failure)
        if over:
            raise last_failure or _unseen(run_id, waited)
        rest = max(pause, retry_after_of(last_failure) or 0.0)
        await _rest(context, min(rest, seconds_max - waited), seen)
        pause = min(pause * 2, interval)


async def _look(context: ToolContext, run_id: str, left_seconds: float, seen: Job | None) -> Job | None:
    """One look, within the time that is left; None when that was too short for an answer."""
    # The client repeats failed reads by itself and may take longer than the host's patience.
    with anyio.move_on_after(max(left_seconds, _REQUEST_SECONDS_MIN) + 1.0):
        over = {each.id: each for each in (seen.task_run, *seen.chained) if each.finished} if seen else {}
        task_run = over.get(run_id) or await context.client.task_runs.get(run_id)
        chained = []
        for chained_id in task_run.chained_task_run_ids or ():
            # One that is gone went with its task, which is no reason to wait on.
            with suppress(NotFound):
                chained.append(over.get(chained_id) or await context.client.task_runs.get(chained_id))
        return Job(task_run, tuple(chained))
    return None


async def _rest(context: ToolContext, seconds: float, seen: Job | None) -> None:
    """Sleep in slices, with a sign of life after each."""
    while seconds > 0:
        slice_seconds = min(seconds, _SILENCE_SECONDS_MAX)
        await context.time.sleep(slice_seconds)
        seconds -= slice_seconds
        if seconds > 0 and seen is not None:
            await _report(context, seen)


async def _report(context: ToolContext, job: Job) -> None:
    """Counts of all task runs of the job; words about the one that is under way."""
    parts = (job.task_run, *job.chained)
    current = next((each for each in parts if not each.finished), parts[-1])
    sentence = progress_sentence(current, context.time.now())
    if job.chained:
        sentence = f"task run {parts.index(current) + 1} of {len(parts)}: {sentence}"
    selected = [each.num_selected for each in parts if each.num_selected is not None]
    total = float(sum(selected)) if len(selected) == len(parts) else None
    await context.progress.report(float(sum(each.num_done for each in parts)), total, sentence)


def _passes(error: Problem | ClientError) -> bool:
    """True for what may be over by the next look."""
    if isinstance(error, NotBuilt):
        return False
    return isinstance(error, (RateLimited, ServerError, Unreachable, Unreadable))


def _waited(job: Job, waited: float, timeout: float, last_failure: Problem | ClientError | None) -> Waited:
    left = max(0.0, timeout - waited)
    return Waited(
        job=job,
        waited_seconds=round(waited, 1),
        left_seconds=round(left, 1),
        # Less than a second is not a time to wait for: what rounds to nothing is over.
        timed_out=not job.finished and left < 1.0,
        last_failure=None
        if last_failure is None
        else f"The last looks failed ({last_failure}); the counts are from before.",
    )


def _unseen(run_id: str, waited: float) -> ClientError:
    return Unreachable(
        f"No answer about task run {run_id[:80]} came within {span_words(waited)}. It goes on by itself; "
        "look again with get_task_run."
    )
