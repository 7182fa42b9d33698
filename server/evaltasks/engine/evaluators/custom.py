"""Custom code evaluators: the user's class, run in the sandbox and never in this process.

The executor asks row by row, with as many rows under way as it keeps in flight; crossing into the sandbox costs as
much as many rows. So rows that are asked for at the same time are fed together: whoever comes first takes all that
wait, and the others find their outcome when their turn comes.
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
class _Asked:
    values: Mapping[str, object]
    outcome: Outcome | None = None


async def problems_of_custom(config: CustomCodeConfig, sandbox: Sandbox) -> list[str]:
    """Everything that keeps this evaluator from being made: what breaks the contract, and what does not load.

    Raises Unavailable when the sandbox is not to be had.
    """
    contract = read_contract(config)
    try:
        return contract.problems + await sandbox.problems_of(contract.program)
    except SandboxUnavailable as missing:
        raise Unavailable(str(missing)) from missing


class CustomCodeEvaluator(Evaluator):
    """One version, for one task run, which closes it. Its session opens with the first row.

    Raises PermanentFailure at making when the version breaks the contract, which one made by this engine does not.
    """

    def __init__(self, config: CustomCodeConfig, sandbox: Sandbox) -> None:
        contract = read_contract(config)
        if contract.problems:
            raise PermanentFailure(f"The custom evaluator cannot be run: {'; '.join(contract.problems)}.")
        self.variables = tuple(config.variables)
        self._program = contract.program
        self._sandbox = sandbox
        self._session: Session | None = None
        self._waiting: deque[_Asked] = deque()
        self._turn = anyio.Lock()

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        """Raises PermanentFailure."""
        asked = _Asked(values)
        self._waiting.append(asked)
        try:
            async with self._turn:
                if asked.outcome is None:
                    await self._feed()
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)
        assert asked.outcome is not None, "those who wait are fed in turn"
        return asked.outcome

    async def _feed(self) -> None:
        """Evaluate everybody who waits, up to a feed. The caller has the turn, and no one who waits is without it."""
        # Lets those who were woken together with us come as well.
        await anyio.lowlevel.checkpoint()
        if self._session is None:
            try:
                self._session = await self._sandbox.session(self._program)
            except SandboxUnavailable as missing:
                raise PermanentFailure(str(missing)) from missing
        batch = [self._waiting[place] for place in range(min(len(self._waiting), self._session.rows_per_batch))]
        outcomes = await self._session.evaluate([asked.values for asked in batch])
        for asked, outcome in zip(batch, outcomes, strict=True):
            asked.outcome = outcome
            # It may have been cancelled meanwhile.
            if asked in self._waiting:
                self._waiting.remove(asked)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
