"""A bell: whoever makes work rings it, the executor waits for it."""

from __future__ import annotations

import anyio


class WakeSignal:
    """Rings are not counted: one ring or many before a wait end the same wait."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, at_most_seconds: float) -> None:
        """Return when the bell was rung since the last wait, or after the given time (another process's work)."""
        with anyio.move_on_after(at_most_seconds):
            await self._rung.wait()
        self._rung = anyio.Event()
