"""What the executor needs of a kind of task run: its lines, what to do with one, and what to keep of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evaltasks.engine.evaluators.outcome import Outcome
from evaltasks.engine.runs.mapping import Columns
from evaltasks.engine.store.store import Transaction


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A WAITING line of the ledger with the row it is about; `columns` is None when the row is gone."""

    position: int
    row_seq: int
    row_id: str
    evaluator_id: str | None
    evaluator_version_id: str | None
    evaluation_name: str | None
    columns: Columns | None


class Job(Protocol):
    def pending_rows(self, tx: Transaction, after_position: int, limit: int) -> Sequence[LedgerRow]:
        """The next waiting lines in the order of their positions. Runs in a worker thread."""
        ...

    async def rate_limit_key(self, ledger_row: LedgerRow) -> str | None:
        """The id of the integration that has to answer for this line; None when no one outside has to.

        Raises PermanentFailure as `process`.
        """
        ...

    async def process(self, ledger_row: LedgerRow) -> Outcome:
        """Raises RetryLater when the provider asks to wait, PermanentFailure when no line of the task run can be
        done."""
        ...

    def persist(self, tx: Transaction, ledger_row: LedgerRow, outcome: Outcome, now_us: int) -> None:
        """Write what the outcome leaves behind besides its ledger line, in the same transaction.

        Raises PermanentFailure when what it belongs to is gone; then nothing of the transaction is kept.
        """
        ...

    def complete(self, tx: Transaction, now_us: int) -> None:
        """Write what follows from the task run's completion, in the transaction that completes it."""
        ...

    async def close(self) -> None:
        """Give back what doing lines took, such as a sandbox's worker. Called at the end, also when it is a cancel."""
        ...
