"""How long the event loop was kept from everybody else, at the longest."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import anyio

_TICK_SECONDS = 0.01


class Watchdog:
    """`async with Watchdog() as dog:` then `dog.longest_ms`: how late a timer was at most, less what a tick takes.

    On a machine with other work this is the longest time the process was not given a CPU, too.
    """

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await anyio.sleep(_TICK_SECONDS)
            late = time.perf_counter() - before - _TICK_SECONDS
            self.longest_ms = max(self.longest_ms, late * 1000)
