"""What the sandboxes monty and process have in common: a worker that has loaded one evaluator and evaluates rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from evaltasks.engine.sandbox.program import Program

Values: TypeAlias = Mapping[str, object]

# Why a row has no answer. Results are grouped by these texts, so they are the same in both sandboxes.
TOO_SLOW = "the evaluator's code ran longer than {seconds:g} s"
TOO_MUCH_MEMORY = "the evaluator's code used more memory than the sandbox allows"
TOO_MUCH_PRINTED = "the evaluator's code wrote more than the sandbox allows"
SLEPT = "the evaluator's code sleeps, which the sandbox does not allow"
ENDED = "the sandbox's worker ended while it ran the evaluator's code"
UNREADABLE = "the evaluator's code left no readable answer"


class SandboxUnavailable(Exception):
    """The sandbox does not run here; the text says why, and the repair. Code is never run without a sandbox."""


class LoadFailed(Exception):
    """The program cannot be loaded in this sandbox. `problems` lists every problem, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class WorkerDied(Exception):
    """A worker exceeded a limit or ended, and cannot be used any more. `reason` is one of the texts above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SandboxWorker(Protocol):
    """One worker with one evaluator loaded."""

    async def evaluate_batch(self, rows: Sequence[Values]) -> object:
        """Evaluate rows and return the sandbox's answer: plain data that is not parsed and must not be trusted.

        A worker whose call was cancelled cannot be used any more.

        Raises:
            WorkerDied: The rows exceeded a limit, or the worker ended.
        """
        ...

    async def close(self) -> None:
        """Release the worker or kill it; may be called twice."""
        ...


class SandboxBackend(Protocol):
    """One of the two sandboxes."""

    async def start(self, program: Program) -> SandboxWorker:
        """Start a worker and load the program.

        Raises:
            LoadFailed: The program cannot be loaded in this sandbox.
            SandboxUnavailable: The sandbox does not run here.
        """
        ...

    async def close(self) -> None:
        """End all workers."""
        ...
