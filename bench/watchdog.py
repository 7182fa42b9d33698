"""Measure the longest time that one callback blocked the event loop."""

from __future__ import annotations

import time
from asyncio import Task, events
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Watched:
    longest_ms: float = 0.0
    what: str = ""


def _name(handle: events.Handle) -> str:
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    if not isinstance(task, Task):
        return repr(handle)[:200]
    # The coroutine in which the task is waiting afterwards.
    names, awaited = [task.get_name()], task.get_coro()
    while awaited is not None and hasattr(awaited, "__qualname__"):
        names.append(awaited.__qualname__)
        awaited = getattr(awaited, "cr_await", None)
    return " → ".join(names)


@contextmanager
def watchdog() -> Iterator[Watched]:
    """Time every callback of every event loop, in CPU time of the loop's thread, which excludes other load.

    One iteration of the loop runs many callbacks, so an iteration may take longer than the longest callback.
    """
    watched = Watched()
    run = events.Handle._run

    def timed(handle: events.Handle) -> None:
        started_at = time.thread_time()
        run(handle)
        took = (time.thread_time() - started_at) * 1000
        if took > watched.longest_ms:
            watched.longest_ms, watched.what = took, _name(handle)

    events.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield watched
    finally:
        events.Handle._run = run  # type: ignore[method-assign]
