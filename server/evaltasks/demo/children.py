"""Programs that the demo starts beside itself and that tell their address as one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.tools.context import ToolFailed

LINE_BYTES_MAX = 10_000


@asynccontextmanager
async def child(module: str, folder: Path) -> AsyncIterator[dict[str, str]]:
    """`python -m <module>` for as long as the block is open: what its first line told. It logs into `folder`.

    Raises ToolFailed, with the child's last words, when it does not start.
    """
    log = folder / f"{module.rpartition('.')[2]}.log"
    with log.open("wb") as errors:
        process = await anyio.open_process([sys.executable, "-m", module], stderr=errors)
    async with process:
        try:
            assert process.stdout is not None
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", LINE_BYTES_MAX)
        except (anyio.IncompleteRead, anyio.EndOfStream):
            last_words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ToolFailed(f"{module} did not start. {' '.join(last_words)}") from None
        try:
            yield json.loads(line)
        finally:
            process.terminate()
