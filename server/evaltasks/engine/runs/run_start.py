"""Start a task run: find its rows before it is claimed, and write them into its ledger with the claim.

Finding rows may take long and changes nothing; the claim is one short transaction. Between the two, other requests and
processes may write: cancel the task run, claim it first (then the rows were found in vain), or change the task (then
the task run uses the task as it was when its rows were found, as if it had started a moment earlier).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evaltasks.engine.call import Services
from evaltasks.engine.runs import claims
from evaltasks.engine.runs.candidate_rows import CandidateRows, find_candidate_rows
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.experiment import select_examples
from evaltasks.engine.runs.lease_monitor import Lease
from evaltasks.engine.runs.selection import select_rows
from evaltasks.engine.store.store import Transaction


@dataclass
class RunInitializer:
    """Prepares the rows of one task run and writes them into its ledger.

    Attributes:
        services: The services of the engine.
        lease: The lease of the task run when it was last read.
        now_us: The time of the start, in microseconds.
    """

    services: Services
    lease: Lease
    now_us: int
    _candidates: CandidateRows | None = field(default=None, init=False)

    async def prepare(self) -> None:
        """Find the rows of an evaluation task run on a snapshot. Does nothing if it has its rows already.

        Raises:
            PermanentFailure: What the task refers to is gone, or no longer fits together.
            Problem: A filter can no longer be used.
        """
        if self.lease.owner is None:
            self._candidates = await self.services.store.read(self._find_if_unstarted)

    def _find_if_unstarted(self, tx: Transaction) -> CandidateRows | None:
        claim = claims.unstarted(tx, self.lease)
        if claim is None or not claim.task.evaluates or self._ends_before_selection(claim):
            return None
        return self._find(tx, claim)

    def _find(self, tx: Transaction, claim: Claim) -> CandidateRows:
        index = self.services.fault_injection.evaluation_index(claim.task.name, self.now_us)
        return find_candidate_rows(tx, claim, index)

    def _ends_before_selection(self, claim: Claim) -> bool:
        cancellation = self.services.fault_injection.injected_cancellation(claim.task)
        return cancellation is not None and cancellation.is_before_selection

    def write_ledger(self, tx: Transaction, claim: Claim) -> None:
        """Write the rows into the ledger, in the transaction of the claim.

        Raises:
            PermanentFailure: As `prepare`, or the experiment cannot be made.
            Problem: As `prepare`.
        """
        if self._ends_before_selection(claim):
            return
        if claim.task.evaluates:
            # If `prepare` could not have the task run and the claim can, the rows are found here.
            select_rows(tx, claim, self._candidates or self._find(tx, claim), self.now_us)
        else:
            select_examples(tx, self.services, claim, self.now_us)
