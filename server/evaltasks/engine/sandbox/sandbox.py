"""The sandbox of this process: the only place where the code of custom evaluators runs. It is chosen at start-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from evaltasks.engine.sandbox.program import Program
from evaltasks.engine.sandbox.session import Session
from evaltasks.engine.sandbox.worker import LoadFailed, SandboxBackend, SandboxUnavailable

_CLOSE_SECONDS = 10.0


class Sandbox:
    """A sandbox, made by `open_sandbox`. Its backend starts with the first program, and costs nothing before that."""

    def __init__(self, kind: SandboxKind, limits: SandboxLimits) -> None:
        self.kind = kind
        self.limits = limits
        self._backend: SandboxBackend | None = None
        self._opening = anyio.Lock()

    async def session(self, program: Program) -> Session:
        """Make a session for one program, which the caller closes. Nothing runs before its first rows.

        Raises:
            SandboxUnavailable: The sandbox does not run here.
        """
        provenance = {"judge": "code", "sandbox": self.kind.value}
        return Session(await self._open(), program, self.limits, provenance)

    async def problems_of(self, program: Program) -> list[str]:
        """Load the program without running a row, and return what prevents loading, one sentence each.

        Raises:
            SandboxUnavailable: The sandbox does not run here.
        """
        try:
            worker = await (await self._open()).start(program)
        except LoadFailed as failed:
            return failed.problems
        await worker.close()
        return []

    async def _open(self) -> SandboxBackend:
        async with self._opening:
            if self._backend is None:
                self._backend = await _open_backend(self.kind, self.limits)
            return self._backend

    async def close(self) -> None:
        if self._backend is not None:
            await self._backend.close()


@asynccontextmanager
async def open_sandbox(
    kind: SandboxKind = SandboxKind.MONTY, limits: SandboxLimits | None = None
) -> AsyncIterator[Sandbox]:
    """Open the sandbox of a process; its workers end with the block.

    Raises:
        SandboxUnavailable: PROCESS does not protect here. It is tried at once, so that the engine does not start.
    """
    sandbox = Sandbox(kind, limits or SandboxLimits())
    try:
        if kind is SandboxKind.PROCESS:
            await sandbox.problems_of(Program())
        yield sandbox
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await sandbox.close()


async def _open_backend(kind: SandboxKind, limits: SandboxLimits) -> SandboxBackend:
    if kind is SandboxKind.PROCESS:
        from evaltasks.engine.sandbox.process import ProcessBackend  # noqa: PLC0415  it imports modules that only Linux has

        return ProcessBackend(limits)
    try:
        from evaltasks.engine.sandbox.monty import open_monty  # noqa: PLC0415  0.1 s that only custom code needs
    except ImportError as error:
        raise SandboxUnavailable(
            "Custom code evaluators run in the package pydantic-monty, which cannot be imported. Install it (pip "
            "install pydantic-monty), or on Linux start evaltasks with --sandbox process."
        ) from error
    return await open_monty(limits)
