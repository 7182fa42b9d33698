"""Time as the machine has it; tests turn their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio


class SystemTime:
    """The `Time` that tools wait by, outside tests."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
