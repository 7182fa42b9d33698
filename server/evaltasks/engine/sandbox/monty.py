"""The default engine: pydantic-monty, a Python interpreter that has no files, no network and no processes at all.

Its workers are processes of their own that are replaced when they die. What monty does not know of Python (some of
the standard library, generators, inheritance) is found when a program is loaded, and said.
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
from evaltasks.engine.sandbox.program import FEED, PRELUDE, Program
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


_ELSEWHERE = "the sandbox 'monty' knows a part of Python; write it otherwise, or start evaltasks with --sandbox process"
_DEPTH_MAX = 100
# A program that is missing is an OSError when the pool is made, a RuntimeError when a worker is spawned; a program
# that starts and ends at once is a MontyCrashedError.
_CANNOT_START = (MontyError, RuntimeError, OSError)


class MontyBackend:
    def __init__(self, pool: Monty, limits: SandboxLimits) -> None:
        self._pool = pool
        self._limits = limits
        # Feeds wait in threads of their own, so that the store always finds one.
        self._threads = anyio.CapacityLimiter(limits.sessions_max)

    async def start(self, program: Program) -> MontyWorker:
        return await self._in_thread(lambda: self._start(program))

    async def close(self) -> None:
        await self._in_thread(lambda: self._pool.__exit__(None, None, None))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Not abandoned when cancelled: a session must not be used twice at once. Every feed ends by its limits."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def _start(self, program: Program) -> MontyWorker:
        limits = self._limits
        session = self._pool.checkout(
            script_name="evaluator.py",
            limits=ResourceLimits(
                max_feed_duration_secs=limits.feed_seconds,
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
            worker.give_back()
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
    """One session; its worker is no one else's until it is given back."""

    def __init__(self, session: MontySession, limits: SandboxLimits, in_thread: _InThread) -> None:
        self._session: MontySession | None = session
        self._limits = limits
        self._in_thread = in_thread

    async def evaluate_batch(self, rows: Sequence[Values]) -> object:
        return await self._in_thread(lambda: self._feed(rows))

    async def close(self) -> None:
        await self._in_thread(self.give_back)

    def give_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)

    def _feed(self, rows: Sequence[Values]) -> object:
        limits = self._limits
        call = (
            "__evaltasks_feed(__evaltasks_rows, __evaltasks_evaluator, __evaltasks_kind, "
            f"{limits.explanation_chars_max}, {limits.detail_chars_max})"
        )
        try:
            return self.run(call, {"__evaltasks_rows": [dict(row) for row in rows]})
        except MontyRuntimeError as error:
            if isinstance(error.exception(), UnicodeError | ValueError):
                # Half a surrogate pair, which JSON can carry, is not text to monty.
                return self.run(call, {"__evaltasks_rows": [_sendable(dict(row), _DEPTH_MAX) for row in rows]})
            raise

    def run(self, source: str, values: dict[str, object] | None = None) -> object:
        """Run a snippet. Raises WorkerDied for what no code can catch; MontyError for what the snippet raised."""
        assert self._session is not None, "the cell was given back"
        # Without a collector, prints would go to our own stdout, which is the protocol's.
        printed = CollectString(max_bytes=self._limits.printed_bytes_max)
        try:
            return self._session.feed_run(source, inputs=values, print_callback=printed)
        except MontyCrashedError as crash:
            raise WorkerDied(TOO_SLOW.format(seconds=self._limits.feed_seconds) if crash.timed_out else ENDED) from None
        except MontyRuntimeError as error:
            reason = self._reason(error)
            if reason is None:
                raise
            raise WorkerDied(reason) from None

    def _reason(self, error: MontyRuntimeError) -> str | None:
        """Which limit was broken; what the rows themselves raise is caught inside and never comes here."""
        inner, said = error.exception(), str(error)
        if isinstance(inner, TimeoutError):
            return SLEPT if "sleep limit" in said else TOO_SLOW.format(seconds=self._limits.feed_seconds)
        if isinstance(inner, MemoryError):
            return TOO_MUCH_PRINTED if f"> {self._limits.printed_bytes_max} bytes" in said else TOO_MUCH_MEMORY
        return None


def _load(worker: MontyWorker, program: Program) -> None:
    """Raises LoadFailed with all that was found."""
    try:
        worker.run(PRELUDE + FEED + "\n__evaltasks_kind = EvaluationResult\n")
        problems = [
            *_import_problems(worker, program),
            *_class_problems(worker, program),
            *_pattern_problems(worker, program),
        ]
    except WorkerDied as died:
        raise LoadFailed([f"while it was loaded, {died.reason}"]) from died
    if problems:
        raise LoadFailed(problems)


def _import_problems(worker: MontyWorker, program: Program) -> Iterator[str]:
    for line in program.imports:
        if _runs(worker, line.source):
            continue
        (node,) = ast.parse(line.source).body
        if isinstance(node, ast.ImportFrom):
            missing = [name.name for name in node.names if not _runs(worker, f"from {node.module} import {name.name}")]
            known = missing and len(missing) < len(node.names)
            named = f"{', '.join(missing)} of the module {node.module}" if known else f"the module {node.module}"
        else:
            assert isinstance(node, ast.Import)
            missing = [name.name for name in node.names if not _runs(worker, f"import {name.name}")]
            named = f"the module {', '.join(missing)}"
        yield f"imports line {line.line}: {named} is not there; {_ELSEWHERE}"


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
        yield _said(error)


def _said(error: MontyError) -> str:
    """In our words; of monty's only what it says about the language, never what the code itself says."""
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    where = f"code line {frames[-1].line}" if frames else "code"
    kind, said = type(error.exception()).__name__, str(error)
    lacking = "does not yet support "
    if kind == "NotImplementedError" and lacking in said:
        return f"{where}: {said.partition(lacking)[2][:120]}: monty has no such thing; {_ELSEWHERE}"
    if isinstance(error, MontySyntaxError):
        return f"{where}: monty cannot read this; {_ELSEWHERE}"
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
