"""A signal that wakes the executor when there is work."""

from __future__ import annotations

import anyio


class WakeSignal:
    """A signal to one waiter. Signals are not counted: one or many before a wait end the same wait."""

    def __init__(self) -> None:
        self._notified = anyio.Event()

    def notify(self) -> None:
        """Wake the executor, or let its next wait return at once."""
        self._notified.set()

    async def wait(self, at_most_seconds: float) -> None:
        """Return after the next signal, at once if there was one since the last wait.

        Args:
            at_most_seconds: Return after this time in any case, to look for work of other processes.
        """
        with anyio.move_on_after(at_most_seconds):
            await self._notified.wait()
        self._notified = anyio.Event()
