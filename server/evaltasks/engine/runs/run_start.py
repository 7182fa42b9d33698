"""How a task run begins: its rows are chosen before it is claimed, and written down with the claim.

The walk for the rows may take long and changes nothing; the claim is one short transaction. Between the two anybody may
write: cancel the task run, claim it first (then the walk was in vain), or change the task (then the task run does what
the task was when its rows were chosen, as if it had started a moment earlier).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evaltasks.engine.call import Services
from evaltasks.engine.runs import claims
from evaltasks.engine.runs.candidate_rows import CandidateRows, find_candidate_rows
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.experiment import select_examples
from evaltasks.engine.runs.selection import select_rows
from evaltasks.engine.runs.watch import Lease
from evaltasks.engine.store.store import Transaction


@dataclass
class RunInitializer:
    """Of the task run with this lease, now."""

    services: Services
    seen: Lease
    now_us: int
    _candidates: CandidateRows | None = field(default=None, init=False)

    async def choose(self) -> None:
        """Choose its rows, on a snapshot. Does nothing for one that has them. Raises what `find_candidate_rows`
        does."""
        if self.seen.owner is None:
            self._candidates = await self.services.store.read(self._find_unclaimed)

    def _find_unclaimed(self, tx: Transaction) -> CandidateRows | None:
        claim = claims.without_rows(tx, self.seen)
        is_open = claim is not None and claim.task.evaluates and not self._ends_before_rows(claim)
        return self._choose(tx, claim) if claim is not None and is_open else None

    def _choose(self, tx: Transaction, claim: Claim) -> CandidateRows:
        return find_candidate_rows(
            tx, claim, self.services.fault_injection.evaluation_index(claim.task.name, self.now_us)
        )

    def _ends_before_rows(self, claim: Claim) -> bool:
        injected_cancellation = self.services.fault_injection.injected_cancellation(claim.task)
        return injected_cancellation is not None and injected_cancellation.comes_before_rows

    def select(self, tx: Transaction, claim: Claim) -> None:
        """Write its rows into the ledger, in the claim's transaction."""
        if self._ends_before_rows(claim):
            return
        if claim.task.evaluates:
            # One that could not be had a moment ago, and can be now, is walked for here.
            select_rows(tx, claim, self._candidates or self._choose(tx, claim), self.now_us)
        else:
            select_examples(tx, self.services, claim, self.now_us)
