"""Custom code evaluators: the user's class, which runs in the sandbox and never in this process.

The executor evaluates row by row, with several rows in flight, and one call into the sandbox costs as much as many
rows. Rows that wait at the same time are therefore sent as one batch: the first caller sends all waiting rows, and the
others find their outcome when it is their turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from evaltasks.api.evaluator_kinds import CustomCodeConfig
from evaltasks.api.problems import Unavailable
from evaltasks.engine.evaluators.outcome import Evaluator, Outcome
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.contract import read_contract
from evaltasks.engine.sandbox.sandbox import Sandbox
from evaltasks.engine.sandbox.session import Session
from evaltasks.engine.sandbox.worker import SandboxUnavailable


@dataclass(slots=True, eq=False)
class _WaitingRow:
    values: Mapping[str, object]
    outcome: Outcome | None = None


async def problems_of_custom(config: CustomCodeConfig, sandbox: Sandbox) -> list[str]:
    """Return a sentence for everything that is wrong with a custom evaluator: breaches of the contract, load errors.

    Raises:
        Unavailable: The sandbox cannot be started.
    """
    contract = read_contract(config)
    try:
        return contract.problems + await sandbox.problems_of(contract.program)
    except SandboxUnavailable as missing:
        raise Unavailable(str(missing)) from missing


class CustomCodeEvaluator(Evaluator):
    """Evaluates the rows of one task run with the user's class. The sandbox session opens with the first row."""

    def __init__(self, config: CustomCodeConfig, sandbox: Sandbox) -> None:
        """Read the source of the class, without running it.

        Raises:
            PermanentFailure: The source breaks the contract. A version created by this engine never does.
        """
        contract = read_contract(config)
        if contract.problems:
            raise PermanentFailure(f"The custom evaluator cannot be run: {'; '.join(contract.problems)}.")
        self.variables = tuple(config.variables)
        self._program = contract.program
        self._sandbox = sandbox
        self._session: Session | None = None
        self._waiting: deque[_WaitingRow] = deque()
        self._turn = anyio.Lock()

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        """Evaluate one row, together with the rows that wait at the same time.

        Raises:
            PermanentFailure: The sandbox cannot be started, or no row can be evaluated.
        """
        row = _WaitingRow(values)
        self._waiting.append(row)
        try:
            async with self._turn:
                if row.outcome is None:
                    await self._evaluate_batch()
        finally:
            if row in self._waiting:
                self._waiting.remove(row)
        assert row.outcome is not None, "a batch includes the row of its caller"
        return row.outcome

    async def _evaluate_batch(self) -> None:
        """Evaluate the waiting rows, at most one batch. The caller must hold the lock `_turn`."""
        # Rows that became ready at the same time as this one join the batch.
        await anyio.lowlevel.checkpoint()
        if self._session is None:
            try:
                self._session = await self._sandbox.session(self._program)
            except SandboxUnavailable as missing:
                raise PermanentFailure(str(missing)) from missing
        batch = [self._waiting[place] for place in range(min(len(self._waiting), self._session.rows_per_batch))]
        outcomes = await self._session.evaluate([row.values for row in batch])
        for row, outcome in zip(batch, outcomes, strict=True):
            row.outcome = outcome
            # The caller may have been cancelled in the meantime.
            if row in self._waiting:
                self._waiting.remove(row)

    async def close(self) -> None:
        """Close the sandbox session, if one was opened."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
