"""The default sandbox: pydantic-monty, a Python interpreter that has no files, no network and no processes.

Its workers are separate processes, which are replaced when they end. Features of Python that monty does not have (parts
of the standard library, generators, inheritance) are reported when a program is loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
from pydantic_monty import (
    CollectString,
    Monty,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    MontySyntaxError,
    ResourceLimits,
)

from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.program import EVALUATE_BATCH, PRELUDE, Program
from evaltasks.engine.sandbox.worker import (
    ENDED,
    SLEPT,
    TOO_MUCH_MEMORY,
    TOO_MUCH_PRINTED,
    TOO_SLOW,
    LoadFailed,
    SandboxUnavailable,
    Values,
    WorkerDied,
)

T = TypeVar("T")


class _InThread(Protocol):
    async def __call__(self, work: Callable[[], T]) -> T: ...


_REMEDY = "the sandbox 'monty' has a part of Python; write it differently, or start evaltasks with --sandbox process"
_DEPTH_MAX = 100
# A program that is missing is an OSError when the pool is made, a RuntimeError when a worker is spawned; a program
# that starts and ends at once is a MontyCrashedError.
_CANNOT_START = (MontyError, RuntimeError, OSError)


class MontyBackend:
    """A pool of monty's worker processes, made by `open_monty`."""

    def __init__(self, pool: Monty, limits: SandboxLimits) -> None:
        self._pool = pool
        self._limits = limits
        # Calls wait in their own threads, so that the store always has one.
        self._threads = anyio.CapacityLimiter(limits.sessions_max)

    async def start(self, program: Program) -> MontyWorker:
        return await self._in_thread(lambda: self._start(program))

    async def close(self) -> None:
        await self._in_thread(lambda: self._pool.__exit__(None, None, None))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread. It is not abandoned when cancelled, because a session is used by one call at a
        time; every call ends by its limits."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def _start(self, program: Program) -> MontyWorker:
        limits = self._limits
        session = self._pool.checkout(
            script_name="evaluator.py",
            limits=ResourceLimits(
                max_feed_duration_secs=limits.batch_seconds,
                max_memory=limits.memory_bytes,
                max_recursion_depth=limits.recursion_depth,
                max_total_sleep_secs=0,
            ),
        )
        try:
            session.__enter__()
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"No worker of the sandbox 'monty' became free within {limits.start_seconds:g} s. Trigger the task "
                "again when fewer custom evaluators run."
            ) from error
        except _CANNOT_START as error:
            raise _unavailable(error) from error
        worker = MontyWorker(session, limits, self._in_thread)
        try:
            _load(worker, program)
        except BaseException:
            worker.release()
            raise
        return worker


async def open_monty(limits: SandboxLimits) -> MontyBackend:
    """Open the pool of worker processes; the first process starts with the first program.

    Raises:
        SandboxUnavailable: the worker program of pydantic-monty is missing.
    """
    try:
        pool = Monty(
            min_processes=0,
            max_processes=limits.sessions_max,
            checkout_timeout=limits.start_seconds,
            request_timeout=limits.request_seconds,
            max_checkouts_per_worker=limits.sessions_per_worker_max,
        )
        await anyio.to_thread.run_sync(pool.__enter__)
    except _CANNOT_START as error:
        raise _unavailable(error) from error
    return MontyBackend(pool, limits)


def _unavailable(error: Exception) -> SandboxUnavailable:
    return SandboxUnavailable(
        "The sandbox 'monty' cannot start: its worker program 'monty' is missing or does not run "
        f"({type(error).__name__}). Reinstall it (pip install --force-reinstall pydantic-monty pydantic-monty-runtime) "
        "and restart evaltasks, or on Linux start evaltasks with --sandbox process."
    )


class MontyWorker:
    """One session of monty, which has its worker process for itself until `release`."""

    def __init__(self, session: MontySession, limits: SandboxLimits, in_thread: _InThread) -> None:
        self._session: MontySession | None = session
        self._limits = limits
        self._in_thread = in_thread

    async def evaluate_batch(self, rows: Sequence[Values]) -> object:
        return await self._in_thread(lambda: self._evaluate_batch(rows))

    async def close(self) -> None:
        await self._in_thread(self.release)

    def release(self) -> None:
        """Return the worker process to the pool; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)

    def _evaluate_batch(self, rows: Sequence[Values]) -> object:
        limits = self._limits
        call = (
            "__evaltasks_evaluate_batch(__evaltasks_rows, __evaltasks_evaluator, __evaltasks_kind, "
            f"{limits.explanation_chars_max}, {limits.detail_chars_max})"
        )
        try:
            return self.run(call, {"__evaltasks_rows": [dict(row) for row in rows]})
        except MontyRuntimeError as error:
            if isinstance(error.exception(), UnicodeError | ValueError):
                # JSON may contain half a surrogate pair, which monty does not accept as text.
                return self.run(call, {"__evaltasks_rows": [_sendable(dict(row), _DEPTH_MAX) for row in rows]})
            raise

    def run(self, source: str, values: dict[str, object] | None = None) -> object:
        """Run Python source in the session.

        Raises:
            WorkerDied: A limit was exceeded, which no code can catch.
            MontyError: The source raised an exception.
        """
        assert self._session is not None, "the worker was released"
        # Without a collector, prints would go to our own stdout, which belongs to the protocol.
        printed = CollectString(max_bytes=self._limits.printed_bytes_max)
        try:
            return self._session.feed_run(source, inputs=values, print_callback=printed)
        except MontyCrashedError as crash:
            raise WorkerDied(
                TOO_SLOW.format(seconds=self._limits.batch_seconds) if crash.timed_out else ENDED
            ) from None
        except MontyRuntimeError as error:
            reason = self._reason(error)
            if reason is None:
                raise
            raise WorkerDied(reason) from None

    def _reason(self, error: MontyRuntimeError) -> str | None:
        """Return which limit was exceeded, if any. Exceptions of the rows are caught inside and are not seen here."""
        inner, text = error.exception(), str(error)
        if isinstance(inner, TimeoutError):
            return SLEPT if "sleep limit" in text else TOO_SLOW.format(seconds=self._limits.batch_seconds)
        if isinstance(inner, MemoryError):
            return TOO_MUCH_PRINTED if f"> {self._limits.printed_bytes_max} bytes" in text else TOO_MUCH_MEMORY
        return None


def _load(worker: MontyWorker, program: Program) -> None:
    """Load a program into a worker. Raises LoadFailed with every problem."""
    try:
        worker.run(PRELUDE + EVALUATE_BATCH + "\n__evaltasks_kind = EvaluationResult\n")
        problems = [
            *_import_problems(worker, program),
            *_class_problems(worker, program),
            *_pattern_problems(worker, program),
        ]
    except WorkerDied as died:
        raise LoadFailed([f"loading failed: {died.reason}"]) from died
    if problems:
        raise LoadFailed(problems)


def _import_problems(worker: MontyWorker, program: Program) -> Iterator[str]:
    for line in program.imports:
        if _runs(worker, line.source):
            continue
        (node,) = ast.parse(line.source).body
        if isinstance(node, ast.ImportFrom):
            missing = [name.name for name in node.names if not _runs(worker, f"from {node.module} import {name.name}")]
            module_exists = missing and len(missing) < len(node.names)
            names = ", ".join(missing)
            subject = f"{names} of the module {node.module}" if module_exists else f"the module {node.module}"
        else:
            assert isinstance(node, ast.Import)
            missing = [name.name for name in node.names if not _runs(worker, f"import {name.name}")]
            subject = f"the module {', '.join(missing)}"
        yield f"imports line {line.line}: {subject} is not available; {_REMEDY}"


def _runs(worker: MontyWorker, source: str) -> bool:
    try:
        worker.run(source)
    except MontyError:
        return False
    return True


def _class_problems(worker: MontyWorker, program: Program) -> Iterator[str]:
    if not program.class_name:
        return
    try:
        for alias, name in program.names.items():
            if alias != name:
                worker.run(f"{alias} = {name}")
        worker.run(program.bare_code)
        for static in program.static:
            worker.run(f"{program.class_name}.{static.name} = __evaltasks_value", {"__evaltasks_value": static.value})
        worker.run(f"__evaltasks_evaluator = {program.class_name}()")
    except MontyError as error:
        yield _load_problem(error)


def _load_problem(error: MontyError) -> str:
    """Describe a load error. Of monty's text only the name of a missing feature is quoted, never text of the code."""
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    where = f"code line {frames[-1].line}" if frames else "code"
    kind, text = type(error.exception()).__name__, str(error)
    unsupported = "does not yet support "
    if kind == "NotImplementedError" and unsupported in text:
        return f"{where}: monty does not support {text.partition(unsupported)[2][:120]}; {_REMEDY}"
    if isinstance(error, MontySyntaxError):
        return f"{where}: monty cannot parse this; {_REMEDY}"
    return f"{where}: loading the class raised {kind}"


def _pattern_problems(worker: MontyWorker, program: Program) -> Iterator[str]:
    for static in program.static:
        if static.is_pattern:
            try:
                worker.run("import re\nre.compile(__evaltasks_value)", {"__evaltasks_value": static.value})
            except MontyError:
                yield f"static parameter '{static.name}' is a REGEX, but its value is not a regular expression here"


def _sendable(value: object, depth: int) -> object:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if depth and isinstance(value, list):
        return [_sendable(part, depth - 1) for part in value]
    if depth and isinstance(value, dict):
        return {_sendable(key, 0): _sendable(part, depth - 1) for key, part in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else None
