"""Waiting for a task run inside the patience of hosts.

How it works: hosts drop long calls, mostly after 60 s, so one call waits no longer than `settings.patience_seconds`.
What is left of the caller's `timeout` then travels in the exact next call that the answer carries: no process keeps
the wait, any process can go on with it, and `timeout` counts over all calls together. A wait only looks. Ending it,
in whatever way, leaves the task run as it is.

Faults of the network and of an overloaded service are waited out inside the time; what says that the task run cannot
be seen at all (not found, no right to) ends the wait at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from evaltasks.api.problems import NotBuilt, Problem, RateLimited, ServerFault
from evaltasks.api.task_runs import TaskRun
from evaltasks.client.faults import ClientFault, Unreachable, Unreadable
from evaltasks.client.retries import told_seconds
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
class Waited:
    """How far a wait came. `timed_out`: the caller's whole time is over, which is not the task run's fault.

    `left_seconds` of the caller's time-out are for the next call. `trouble` tells of polls that failed last.
    """

    task_run: TaskRun
    waited_seconds: float
    left_seconds: float
    timed_out: bool = False
    trouble: str | None = None


async def wait_for(context: ToolContext, run_id: str, poll_interval: float, timeout: float) -> Waited:
    """Watch a task run until it is over, the host's patience ends or the caller's time-out does.

    Raises Problem and ClientFault when the task run could never be read, or cannot be read any more.
    """
    started = context.time.monotonic_seconds()
    seconds_max = min(timeout, context.settings.patience_seconds)
    interval = min(poll_interval, _ENGINE_POLL_SECONDS_MAX) if context.client.is_engine else poll_interval
    pause = min(_FIRST_POLL_SECONDS, interval) if context.client.is_engine else interval
    seen: TaskRun | None = None
    trouble: Problem | ClientFault | None = None
    while True:
        left = seconds_max - (context.time.monotonic_seconds() - started)
        try:
            found = await _look(context, run_id, left)
        except (Problem, ClientFault) as fault:
            if not _passes(fault):
                raise
            trouble = fault
        else:
            if found is not None:
                seen, trouble = found, None
                await _report(context, seen)
        waited = context.time.monotonic_seconds() - started
        over = waited >= seconds_max
        if seen is not None and (seen.finished or over):
            return _waited(seen, waited, timeout, trouble)
        if over:
            raise trouble if trouble is not None else _unseen(run_id, waited)
        rest = max(pause, told_seconds(trouble) or 0.0)
        await _rest(context, min(rest, seconds_max - waited), seen)
        pause = min(pause * 2, interval)


async def _look(context: ToolContext, run_id: str, left_seconds: float) -> TaskRun | None:
    """One look, within the time that is left; None when that was too short for an answer."""
    # The client repeats failed reads by itself and may take longer than the host's patience.
    with anyio.move_on_after(max(left_seconds, _REQUEST_SECONDS_MIN) + 1.0):
        return await context.client.task_runs.get(run_id)
    return None


async def _rest(context: ToolContext, seconds: float, seen: TaskRun | None) -> None:
    """Sleep in slices, with a sign of life after each."""
    while seconds > 0:
        slice_seconds = min(seconds, _SILENCE_SECONDS_MAX)
        await context.time.sleep(slice_seconds)
        seconds -= slice_seconds
        if seconds > 0 and seen is not None:
            await _report(context, seen)


async def _report(context: ToolContext, task_run: TaskRun) -> None:
    sentence = progress_sentence(task_run, context.time.now())
    total = float(task_run.num_selected) if task_run.num_selected is not None else None
    await context.progress.report(float(task_run.num_done), total, sentence)


def _passes(fault: Problem | ClientFault) -> bool:
    """True for what may be over by the next look."""
    if isinstance(fault, NotBuilt):
        return False
    return isinstance(fault, (RateLimited, ServerFault, Unreachable, Unreadable))


def _waited(task_run: TaskRun, waited: float, timeout: float, trouble: Problem | ClientFault | None) -> Waited:
    left = max(0.0, timeout - waited)
    return Waited(
        task_run=task_run,
        waited_seconds=round(waited, 1),
        left_seconds=round(left, 1),
        # Less than a second is no time to wait for: what rounds to nothing is over.
        timed_out=not task_run.finished and left < 1.0,
        trouble=None if trouble is None else f"The last looks failed ({trouble}); the counts are from before.",
    )


def _unseen(run_id: str, waited: float) -> ClientFault:
    return Unreachable(
        f"No answer about task run {run_id[:80]} came within {span_words(waited)}. It goes on by itself; "
        "look again with get_task_run."
    )
