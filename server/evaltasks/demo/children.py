"""Start programs of the demo as child processes; each prints its address as one line of JSON."""

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
    """Run `python -m <module>` for the length of the block, and yield what its first line contains.

    Args:
        module: The module to run.
        folder: Where its log file is written.

    Raises:
        ToolFailed: The child did not start; the text has the last line of its log.
    """
    log = folder / f"{module.rpartition('.')[2]}.log"
    with log.open("wb") as errors:
        process = await anyio.open_process([sys.executable, "-m", module], stderr=errors)
    async with process:
        try:
            assert process.stdout is not None
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", LINE_BYTES_MAX)
        except (anyio.IncompleteRead, anyio.EndOfStream):
            last_line = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ToolFailed(f"{module} did not start. {' '.join(last_line)}") from None
        try:
            yield json.loads(line)
        finally:
            process.terminate()
