"""The command over real pipes: only the protocol on stdout, and a graceful end in every case."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.agents import MODES, stdio_agent
from tests.support.starts import quick_code, true_command

# Serves the real server on an empty store, prints and logs meanwhile, and writes to stderr when it is closed.
NOISY = """
import os, subprocess, sys
import anyio
from contextlib import asynccontextmanager
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from evaltasks.face.server import ToolApp, make_server
from evaltasks.face.stdio import serve_stdio
from evaltasks.tools.context import ToolSettings

async def main():
    async with Engine.open(":memory:", environment={}) as engine, open_app_client(engine.app) as client:
        server = make_server(ToolApp(client=client, settings=ToolSettings(), tools=()))

        @server.tool()
        async def make_noise() -> str:
            "Prints in every way there is."
            print("printed", flush=True)
            os.write(1, b"written\\n")
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
            return "quiet"

        @server.tool()
        async def work_long() -> str:
            "Never ends on its own."
            print("working", file=sys.stderr, flush=True)
            try:
                await anyio.sleep_forever()
            finally:
                print("work was cancelled", file=sys.stderr, flush=True)

        code = await serve_stdio(server)
    print("everything is closed", file=sys.stderr, flush=True)
    return code

sys.exit(anyio.run(main))
"""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


class Pipes:
    """A started server and what came out of it."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def send(self, *messages: object) -> None:
        assert self.process.stdin is not None
        for message in messages:
            await self.process.stdin.send(json.dumps(message).encode() + b"\n")

    async def answer(self) -> dict[str, object]:
        """The next line of stdout, which must be a message of the protocol."""
        with anyio.fail_after(20):
            line = await self._lines.receive_until(b"\n", 2**20)
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return dict(message)

    async def start(self) -> None:
        await self.send(INITIALIZE)
        assert (await self.answer())["id"] == 1
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def call(self, tool: str, id_: int = 2) -> None:
        params = {"name": tool, "arguments": {}}
        await self.send({"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params})

    async def until_said(self, words: str) -> None:
        """Read stderr until these words come."""
        assert self.process.stderr is not None
        seen = b""
        with anyio.fail_after(20):
            while words.encode() not in seen:
                seen += await self.process.stderr.receive()

    async def end(self) -> tuple[int, str, bytes]:
        """Wait for the end: exit code, the rest of stderr, the rest of stdout."""
        assert self.process.stderr is not None
        rest, errors = b"", b""
        with anyio.fail_after(20):
            async for part in self.process.stderr:
                errors += part
            code = await self.process.wait()
            try:
                while True:
                    rest += await self._lines.receive()
            except anyio.EndOfStream:
                pass
        return code, errors.decode(), rest


@asynccontextmanager
async def noisy_server() -> AsyncIterator[Pipes]:
    process = await anyio.open_process(quick_code(NOISY), stderr=subprocess.PIPE, env=_environment())
    async with process:
        try:
            yield Pipes(process)
        finally:
            if process.returncode is None:
                process.kill()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "")}


async def test_the_end_of_stdin_ends_the_server_with_exit_code_0() -> None:
    async with noisy_server() as it:
        await it.start()
        assert it.process.stdin is not None
        await it.process.stdin.aclose()
        code, errors, rest = await it.end()

    assert code == 0
    assert errors.splitlines() == ["everything is closed"]
    assert rest == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_cancels_calls_and_sets_the_exit_code(number: int, code: int) -> None:
    async with noisy_server() as it:
        await it.start()
        await it.call("work_long")
        await it.until_said("working")
        it.process.send_signal(number)
        ended, errors, _ = await it.end()

    assert ended == code
    assert errors.strip().splitlines() == ["work was cancelled", "everything is closed"]


async def test_output_of_tools_and_their_child_processes_never_reaches_stdout() -> None:
    async with noisy_server() as it:
        await it.start()
        await it.call("make_noise", 7)
        answer = await it.answer()
        assert it.process.stdin is not None
        await it.process.stdin.aclose()
        _, errors, rest = await it.end()

    assert answer["id"] == 7
    assert rest == b""
    assert {"printed", "written", "from a child"} <= set(errors.splitlines())


async def test_an_invalid_line_does_not_end_the_server() -> None:
    async with noisy_server() as it:
        await it.start()
        assert it.process.stdin is not None
        await it.process.stdin.send(b"this is not JSON\n\xff\xfe\n")
        await it.send({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
        answers = [await it.answer()]
        while answers[-1].get("id") != 3:
            answers.append(await it.answer())

    assert "result" in answers[-1]


async def test_a_client_that_stops_reading_ends_the_server_quietly() -> None:
    async with noisy_server() as it:
        await it.start()
        assert it.process.stdout is not None
        await it.process.stdout.aclose()
        for number in range(3):
            try:
                await it.send({"jsonrpc": "2.0", "id": 10 + number, "method": "tools/list"})
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                break
        assert it.process.stdin is not None
        await it.process.stdin.aclose()
        errors = b""
        with anyio.fail_after(20):
            assert it.process.stderr is not None
            async for part in it.process.stderr:
                errors += part
            code = await it.process.wait()

    assert code == 0
    assert b"Traceback" not in errors


@pytest.mark.parametrize("mode", MODES)
async def test_the_command_serves_its_tools_on_its_own_store(mode: str, tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    async with stdio_agent(mode, store, start=true_command) as it:
        listed = await it.mcp.list_tools()
        answer = await it.answer("list_tasks")

    assert "trigger_task_run" in {tool.name for tool in listed.tools}
    assert answer["tasks"] == []
    assert store.exists()
