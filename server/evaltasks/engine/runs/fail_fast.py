"""The first outcomes of a task run: do they promise anything?

A judge that refuses everything, or answers nonsense to everything, would be paid for ten thousand rows before anybody
looked. So when all of the first rows an evaluator judged failed for one and the same reason, the task run stops with
it. A failure for another reason, or anything that is not a failure, ends the watch over that evaluator: rows differ.
Failures that no one was asked for (a row without the value) cost nothing and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaltasks.engine.evaluators.outcome import Failed, Outcome
from evaltasks.engine.runs.job import LedgerRow


@dataclass(slots=True)
class _First:
    reason: str
    num: int = 0


class FailFast:
    def __init__(self, same_failures_max: int) -> None:
        self._same_failures_max = same_failures_max
        self._first: dict[str | None, _First | None] = {}  # by evaluator version; None: it is over
        self.is_over = False

    def early_stop_reason(self, ledger_row: LedgerRow, outcome: Outcome) -> str | None:
        """Why the task run should stop after this outcome, or None."""
        if not outcome.provenance:
            return None
        version_id = ledger_row.evaluator_version_id
        reason = outcome.reason if isinstance(outcome, Failed) else None
        first = self._first.setdefault(version_id, None if reason is None else _First(reason))
        if first is None:
            return None
        if reason != first.reason:
            self._first[version_id] = None
            return None
        first.num += 1
        if first.num < self._same_failures_max:
            return None
        return f"stopped because each of the first {first.num} answers was a failure for the same reason: {reason}"
