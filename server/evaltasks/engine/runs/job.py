"""What the executor needs from a kind of task run: its pending rows, how to process one, and what to store for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evaltasks.engine.evaluators.outcome import Outcome
from evaltasks.engine.runs.mapping import Columns
from evaltasks.engine.store.store import Transaction


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A pending row of the ledger with the data it is about; `columns` is None if that data was deleted."""

    position: int
    row_seq: int
    row_id: str
    evaluator_id: str | None
    evaluator_version_id: str | None
    evaluation_name: str | None
    columns: Columns | None


class Job(Protocol):
    """The work of one task run."""

    def pending_rows(self, tx: Transaction, after_position: int, limit: int) -> Sequence[LedgerRow]:
        """Return the next pending rows in the order of their positions. Runs in a worker thread."""
        ...

    async def rate_limit_key(self, ledger_row: LedgerRow) -> str | None:
        """Return the id of the integration that the row calls; None if it calls no provider.

        Raises:
            PermanentFailure: No row of the task run can be processed.
        """
        ...

    async def process(self, ledger_row: LedgerRow) -> Outcome:
        """Evaluate or run one row.

        Raises:
            RetryLater: The provider asks to wait.
            PermanentFailure: No row of the task run can be processed.
        """
        ...

    def persist(self, tx: Transaction, ledger_row: LedgerRow, outcome: Outcome, now_us: int) -> None:
        """Write what the outcome produces besides its ledger row, in the same transaction.

        Raises:
            PermanentFailure: What the outcome belongs to is gone; then the transaction is rolled back.
        """
        ...

    def complete(self, tx: Transaction, now_us: int) -> None:
        """Write what follows from the completion of the task run, in the transaction that completes it."""
        ...

    async def close(self) -> None:
        """Release resources acquired while processing rows, such as a sandbox worker. Called also after a cancel."""
        ...
