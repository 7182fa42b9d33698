"""A signal that wakes the executor when there is work."""

from __future__ import annotations

import anyio


class WakeSignal:
    """Signals are not counted: one or many before a wait end the same wait."""

    def __init__(self) -> None:
        self._notified = anyio.Event()

    def notify(self) -> None:
        """Wake the executor, or let its next wait return at once."""
        self._notified.set()

    async def wait(self, at_most_seconds: float) -> None:
        """Return after the next signal, or after the given time to look for work of other processes.

        A signal since the last wait ends this one at once.
        """
        with anyio.move_on_after(at_most_seconds):
            await self._notified.wait()
        self._notified = anyio.Event()
