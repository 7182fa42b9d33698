"""The engine to choose for all of Python: CPython in a worker that has locked itself (`locked_worker`). Linux only.

A worker is one evaluator's for one task run, and the leader of a process group of its own, which is killed as a whole
when it answers too late. It runs with no environment, in `/`, and with nothing open but its two pipes. What it writes
is read as a stranger's: bounded in length and time, and parsed as plain data.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.engine.sandbox.cell import (
    ENDED,
    TOO_MUCH_PRINTED,
    TOO_SLOW,
    UNREADABLE,
    Died,
    LoadFailed,
    SandboxUnavailable,
    Values,
)
from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.program import FEED, PRELUDE, Program

_WORKER = Path(__file__).with_name("locked_worker.py")
_LENGTH_BYTES = 4
_PARSED_HERE_BYTES_MAX = 200_000
_INSTEAD = "Leave --sandbox out to use the sandbox that works everywhere; code is never run without protection."


class ProcessCells:
    """Raises SandboxUnavailable where there is no Linux."""

    def __init__(self, limits: SandboxLimits) -> None:
        if sys.platform != "linux":
            raise SandboxUnavailable(f"The sandbox 'process' needs Linux. {_INSTEAD}")
        self._limits = limits
        self._cells: set[ProcessCell] = set()

    async def start(self, program: Program) -> ProcessCell:
        limits = self._limits
        given = {
            "memory_bytes": limits.process_memory_bytes,
            "cpu_seconds": limits.worker_cpu_seconds,
            "explanation_chars_max": limits.explanation_chars_max,
            "detail_chars_max": limits.detail_chars_max,
        }
        process = await anyio.open_process(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_WORKER), json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        cell = ProcessCell(process, limits, self._cells)
        try:
            await cell.load(program)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await cell.close()
            raise
        return cell

    async def close(self) -> None:
        for cell in list(self._cells):
            await cell.close()


class ProcessCell:
    def __init__(self, process: Process, limits: SandboxLimits, others: set[ProcessCell]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._into = process.stdin
        self._out = BufferedByteReceiveStream(process.stdout)
        self._limits = limits
        self._others = others
        self._number = 0
        others.add(self)

    async def load(self, program: Program) -> None:
        """Raises LoadFailed, SandboxUnavailable."""
        message = {**asdict(program), "names": dict(program.names), "prelude": PRELUDE, "feed": FEED}
        try:
            with anyio.fail_after(self._limits.start_seconds):
                locked = await self._receive()
        except (Died, TimeoutError):
            locked = {"failed": "its worker does not start"}
        if locked != {"locked": True}:
            # The worker's own words: it has not seen any code yet.
            why = locked.get("failed") if isinstance(locked, dict) else None
            raise SandboxUnavailable(f"The sandbox 'process' cannot protect here: {why}. {_INSTEAD}")
        try:
            answer = await self._ask(message)
        except Died as died:
            raise LoadFailed([f"while it was loaded, {died.reason}"]) from died
        faults = answer.get("faults") if isinstance(answer, dict) else None
        if faults != []:
            raise LoadFailed(_sentences(faults))

    async def feed(self, rows: Sequence[Values]) -> object:
        self._number += 1
        answer = await self._ask([self._number, [dict(row) for row in rows]])
        # Whatever the code wrote into the pipe by itself must not be taken for the answers of other rows.
        match answer:
            case [number, answers] if number == self._number:
                return answers
        raise Died(UNREADABLE)

    async def close(self) -> None:
        if self not in self._others:
            return
        self._others.discard(self)
        with suppress(ProcessLookupError):
            # The group, not the process: should a child ever get past the locks, it dies too.
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._process.aclose()

    async def _ask(self, message: Any) -> Any:
        """Raises Died. What runs too long is killed, so the time is real time: the worker can only compute."""
        body = json.dumps(message).encode()
        try:
            with anyio.fail_after(self._limits.feed_seconds):
                await self._into.send(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
                return await self._receive()
        except TimeoutError:
            raise Died(TOO_SLOW.format(seconds=self._limits.feed_seconds)) from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise Died(ENDED) from None

    async def _receive(self) -> Any:
        """The next message. Raises Died."""
        try:
            size = int.from_bytes(await self._out.receive_exactly(_LENGTH_BYTES), "big")
            if size > self._limits.answer_bytes_max:
                raise Died(TOO_MUCH_PRINTED)
            body = await self._out.receive_exactly(size)
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            raise Died(ENDED) from None
        try:
            if size > _PARSED_HERE_BYTES_MAX:
                return await anyio.to_thread.run_sync(json.loads, body)
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Died(UNREADABLE) from None


def _sentences(faults: object) -> list[str]:
    """The worker's findings; code that ran while it was loaded may have written them, so they are bounded."""
    if not isinstance(faults, list) or not faults:
        return ["loading left no readable answer"]
    return [str(fault)[:300] for fault in faults[:20]]
