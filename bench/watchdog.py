"""The longest that one piece of work kept the event loop from all others."""

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
    # Where it went to sleep afterwards.
    names, awaited = [task.get_name()], task.get_coro()
    while awaited is not None and hasattr(awaited, "__qualname__"):
        names.append(awaited.__qualname__)
        awaited = getattr(awaited, "cr_await", None)
    return " → ".join(names)


@contextmanager
def watchdog() -> Iterator[Watched]:
    """Time every callback of every loop. In CPU time of the loop's thread: what the machine does besides is not ours.

    A turn of the loop runs many callbacks; between two of them others get their turn, so a turn may be longer.
    """
    watched = Watched()
    run = events.Handle._run

    def timed(handle: events.Handle) -> None:
        began = time.thread_time()
        run(handle)
        took = (time.thread_time() - began) * 1000
        if took > watched.longest_ms:
            watched.longest_ms, watched.what = took, _name(handle)

    events.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield watched
    finally:
        events.Handle._run = run  # type: ignore[method-assign]
