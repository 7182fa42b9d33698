"""What the two engines have in common: a cell holds one loaded evaluator and takes rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from evaltasks.engine.sandbox.program import Program

Values: TypeAlias = Mapping[str, object]

# Why a row has no answer. They group rows in results, so they are the same in both engines.
TOO_SLOW = "the evaluator's code ran longer than {seconds:g} s"
TOO_MUCH_MEMORY = "the evaluator's code used more memory than the sandbox allows"
TOO_MUCH_PRINTED = "the evaluator's code wrote more than the sandbox allows"
SLEPT = "the evaluator's code sleeps, which the sandbox does not allow"
ENDED = "the sandbox's worker ended while it ran the evaluator's code"
UNREADABLE = "the evaluator's code left no readable answer"


class SandboxUnavailable(Exception):
    """This sandbox cannot be had here; the text says why and what to do. Code is never run without one."""


class LoadFailed(Exception):
    """The program cannot be loaded in this sandbox. `problems` are sentences, all that were found."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class WorkerDied(Exception):
    """A limit was broken, or the worker is gone. The cell is of no more use; `reason` is one of the sentences above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SandboxWorker(Protocol):
    async def evaluate_batch(self, rows: Sequence[Values]) -> object:
        """What the sandbox answers, unread: nothing in it can be trusted, but it is plain data.

        Raises WorkerDied. A cell whose feed was cancelled is of no more use either.
        """
        ...

    async def close(self) -> None:
        """Give the worker back or kill it; may be called twice."""
        ...


class SandboxBackend(Protocol):
    """One engine."""

    async def start(self, program: Program) -> SandboxWorker:
        """A cell with the program loaded. Raises LoadFailed, SandboxUnavailable."""
        ...

    async def close(self) -> None:
        """End all workers."""
        ...
