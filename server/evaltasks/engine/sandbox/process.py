"""The sandbox with all of Python: CPython in a worker that has restricted itself (`locked_worker`). Linux only.

A worker serves one evaluator of one task run. It leads its own process group, which is killed as a whole if it answers
too late. It runs in `/` without environment variables, and only its two pipes are open. Its answers are not trusted:
they are limited in length and time, and parsed as plain data.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.program import EVALUATE_BATCH, PRELUDE, Program
from evaltasks.engine.sandbox.worker import (
    ENDED,
    TOO_MUCH_PRINTED,
    TOO_SLOW,
    UNREADABLE,
    LoadFailed,
    SandboxUnavailable,
    Values,
    WorkerDied,
)

_WORKER = Path(__file__).with_name("locked_worker.py")
_LENGTH_BYTES = 4
_PARSED_HERE_BYTES_MAX = 200_000
_CPU_CLOCK = 2  # the kernel's clock of a process: its complement, shifted by three, and this
_REMEDY = "Omit --sandbox to use the sandbox that works everywhere; code is never run without protection."


class ProcessBackend:
    """The workers of this sandbox. Raises SandboxUnavailable if the system is not Linux."""

    def __init__(self, limits: SandboxLimits) -> None:
        if sys.platform != "linux":
            raise SandboxUnavailable(f"The sandbox 'process' needs Linux. {_REMEDY}")
        self._limits = limits
        self._workers: set[ProcessWorker] = set()

    async def start(self, program: Program) -> ProcessWorker:
        limits = self._limits
        worker_limits = {
            "memory_bytes": limits.process_memory_bytes,
            "cpu_seconds": limits.worker_cpu_seconds,
            "explanation_chars_max": limits.explanation_chars_max,
            "detail_chars_max": limits.detail_chars_max,
        }
        process = await anyio.open_process(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_WORKER), json.dumps(worker_limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        worker = ProcessWorker(process, limits, self._workers)
        try:
            await worker.load(program)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await worker.close()
            raise
        return worker

    async def close(self) -> None:
        for worker in list(self._workers):
            await worker.close()


class ProcessWorker:
    """One worker process and the messages to and from it."""

    def __init__(self, process: Process, limits: SandboxLimits, others: set[ProcessWorker]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._into = process.stdin
        self._out = BufferedByteReceiveStream(process.stdout)
        self._limits = limits
        self._others = others
        self._number = 0
        self._size: int | None = None  # of the message that is being received
        others.add(self)

    async def load(self, program: Program) -> None:
        """Wait until the worker has restricted itself, then load the program.

        Raises:
            SandboxUnavailable: The worker cannot restrict itself here.
            LoadFailed: The program cannot be loaded.
        """
        message = {
            **asdict(program),
            "names": dict(program.names),
            "prelude": PRELUDE,
            "evaluate_batch": EVALUATE_BATCH,
        }
        try:
            with anyio.fail_after(self._limits.start_seconds):
                locked = await self._receive()
        except (WorkerDied, TimeoutError):
            locked = {"failed": "its worker does not start"}
        if locked != {"locked": True}:
            # The text is the worker's own: it has not received any code yet.
            why = locked.get("failed") if isinstance(locked, dict) else None
            raise SandboxUnavailable(f"The sandbox 'process' cannot protect here: {why}. {_REMEDY}")
        try:
            answer = await self._ask(message, self._limits.batch_seconds)
        except WorkerDied as died:
            raise LoadFailed([f"loading failed: {died.reason}"]) from died
        problems = answer.get("problems") if isinstance(answer, dict) else None
        if problems != []:
            raise LoadFailed(_sentences(problems))

    async def evaluate_batch(self, rows: Sequence[Values]) -> object:
        self._number += 1
        answer = await self._ask([self._number, [dict(row) for row in rows]], self._limits.batch_seconds)
        # Anything that the code itself wrote into the pipe must not be taken for the answers of other rows.
        match answer:
            case [number, answers] if number == self._number:
                return answers
        raise WorkerDied(UNREADABLE)

    async def close(self) -> None:
        if self not in self._others:
            return
        self._others.discard(self)
        with suppress(ProcessLookupError):
            # The group, not the process: a child process that got past the restrictions ends as well.
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._process.aclose()

    async def _ask(self, message: Any, seconds: float) -> Any:
        """Send a message and return the answer.

        CPU time is what is limited: on a busy machine a row must not fail because it waited for a core.

        Raises:
            WorkerDied: The worker used more than `seconds` of CPU time, or has not answered in `request_seconds`.
        """
        body = json.dumps(message).encode()
        deadline = anyio.current_time() + self._limits.request_seconds
        cpu_seconds_before = self._cpu_seconds()
        try:
            with anyio.fail_at(deadline):
                await self._into.send(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
            left = seconds
            while left > 0 and anyio.current_time() < deadline:
                with anyio.move_on_after(min(left, deadline - anyio.current_time())):
                    return await self._receive()
                left = seconds - (self._cpu_seconds() - cpu_seconds_before)
        except TimeoutError:
            pass
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ProcessLookupError):
            raise WorkerDied(ENDED) from None
        raise WorkerDied(TOO_SLOW.format(seconds=seconds))

    def _cpu_seconds(self) -> float:
        """Return the CPU time of the worker. Raises ProcessLookupError if it ended."""
        try:
            return time.clock_gettime(~self._process.pid << 3 | _CPU_CLOCK)
        except OSError:
            raise ProcessLookupError from None

    async def _receive(self) -> Any:
        """Receive the next message. May be cancelled and called again. Raises WorkerDied."""
        try:
            if self._size is None:
                self._size = int.from_bytes(await self._out.receive_exactly(_LENGTH_BYTES), "big")
            size = self._size
            if size > self._limits.answer_bytes_max:
                raise WorkerDied(TOO_MUCH_PRINTED)
            body = await self._out.receive_exactly(size)
            self._size = None
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            raise WorkerDied(ENDED) from None
        try:
            if size > _PARSED_HERE_BYTES_MAX:
                return await anyio.to_thread.run_sync(json.loads, body)
            return json.loads(body)
        except (ValueError, RecursionError):
            raise WorkerDied(UNREADABLE) from None


def _sentences(problems: object) -> list[str]:
    """Return the worker's problems. Code that ran while it was loaded may have written them, so they are limited."""
    if not isinstance(problems, list) or not problems:
        return ["loading returned no readable answer"]
    return [str(problem)[:300] for problem in problems[:20]]
