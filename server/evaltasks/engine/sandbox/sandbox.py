"""The sandbox of this process, chosen at start-up: where the code of custom evaluators runs, and nowhere else."""

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
    """Made by `open_sandbox`. Its engine starts with the first program, so that those who have none pay nothing."""

    def __init__(self, kind: SandboxKind, limits: SandboxLimits) -> None:
        self.kind = kind
        self.limits = limits
        self._maker: SandboxBackend | None = None
        self._fail_fast = anyio.Lock()

    async def session(self, program: Program) -> Session:
        """Nothing runs until the first rows come. Raises SandboxUnavailable. The caller closes it."""
        provenance = {"judge": "code", "sandbox": self.kind.value}
        return Session(await self._open(), program, self.limits, provenance)

    async def problems_of(self, program: Program) -> list[str]:
        """What keeps the program from loading here, one sentence each; empty when it loads. Runs no row.

        Raises SandboxUnavailable.
        """
        try:
            worker = await (await self._open()).start(program)
        except LoadFailed as failed:
            return failed.problems
        await worker.close()
        return []

    async def _open(self) -> SandboxBackend:
        async with self._fail_fast:
            if self._maker is None:
                self._maker = await _open_maker(self.kind, self.limits)
            return self._maker

    async def close(self) -> None:
        if self._maker is not None:
            await self._maker.close()


@asynccontextmanager
async def open_sandbox(
    kind: SandboxKind = SandboxKind.MONTY, limits: SandboxLimits | None = None
) -> AsyncIterator[Sandbox]:
    """The sandbox; its workers are gone when the block is left.

    PROCESS is tried at once: raises SandboxUnavailable where it cannot protect, so that no one who asked for it finds
    out later.
    """
    sandbox = Sandbox(kind, limits or SandboxLimits())
    try:
        if kind is SandboxKind.PROCESS:
            await sandbox.problems_of(Program())
        yield sandbox
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await sandbox.close()


async def _open_maker(kind: SandboxKind, limits: SandboxLimits) -> SandboxBackend:
    if kind is SandboxKind.PROCESS:
        from evaltasks.engine.sandbox.process import ProcessBackend  # noqa: PLC0415  only Linux has what it imports

        return ProcessBackend(limits)
    try:
        from evaltasks.engine.sandbox.monty import open_monty  # noqa: PLC0415  0.1 s that only custom code needs
    except ImportError as error:
        raise SandboxUnavailable(
            "Custom code evaluators run in the package pydantic-monty, which cannot be imported here; install it, or "
            "on Linux start with --sandbox process."
        ) from error
    return await open_monty(limits)
