"""The command `evaltasks engine`, started as a user starts it and used over its ports.

async with engine_command(store, "--rate-limit", "5", key=KEY) as served:
    async with open_remote_client(served.address, KEY) as client: ...
served.log            # what it wrote on stderr, once the block is over
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process

from tests.support.starts import quick_command

KEY = "k1-pX3vQ9dT7mZ2rL8wN4bY6c"
OTHER_KEY = "k2-hG5jK1sF0aE3uI7oR9tV2x"


@dataclass
class Served:
    """`addresses` in the order they were printed, the REST API's first."""

    process: Process
    addresses: list[str]
    log: str = ""

    @property
    def address(self) -> str:
        return self.addresses[0]


@asynccontextmanager
async def engine_command(
    store: str | Path, *arguments: str, key: str | None = KEY, port: int = 0, lines: int = 1
) -> AsyncIterator[Served]:
    """Run the command during the block, after `lines` addresses were printed. It must end cleanly on a signal."""
    command = quick_command("engine", "--port", str(port), "--store", str(store), *arguments)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EVALTASKS_", "ARIZE_"))}
    environment = clean if key is None else {**clean, "EVALTASKS_ENGINE_KEY": key}
    async with await anyio.open_process(command, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        said = b""
        with anyio.fail_after(30):
            while said.count(b"\n") < lines:
                try:
                    said += await process.stdout.receive()
                except anyio.EndOfStream:
                    raise AssertionError((await process.stderr.receive()).decode()) from None
        served = Served(process, said.decode().split())
        try:
            yield served
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(20):
                with suppress(ProcessLookupError):  # a test may have killed it
                    process.send_signal(signal.SIGTERM)
                try:
                    async for part in process.stderr:
                        served.log += part.decode()
                finally:
                    await process.wait()
