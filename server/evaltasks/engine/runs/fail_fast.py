"""Stop a task run early when the first answers of a judge all fail for the same reason.

A judge that refuses every call, or gives an unreadable answer to each, would otherwise be paid for ten thousand rows
before a person looks at the results. So when all of the first rows that an evaluator judged failed for one and the same
reason, the task run stops with that reason. A failure for another reason, or any outcome that is not a failure, ends
the check of that evaluator, because its rows differ. Failures without a call (a row without the value) cost nothing and
do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaltasks.engine.evaluators.outcome import Failed, Outcome
from evaltasks.engine.runs.job import LedgerRow


@dataclass(slots=True)
class _FirstFailures:
    reason: str
    num: int = 0


class FailFast:
    """The check of one task run's first outcomes; `is_over` switches it off."""

    def __init__(self, same_failures_max: int) -> None:
        self._same_failures_max = same_failures_max
        # By evaluator version; None once the check of that evaluator is over.
        self._first_failures: dict[str | None, _FirstFailures | None] = {}
        self.is_over = False

    def early_stop_reason(self, ledger_row: LedgerRow, outcome: Outcome) -> str | None:
        """Return why the task run should stop after this outcome, or None."""
        if not outcome.provenance:
            return None
        version_id = ledger_row.evaluator_version_id
        reason = outcome.reason if isinstance(outcome, Failed) else None
        first = self._first_failures.setdefault(version_id, None if reason is None else _FirstFailures(reason))
        if first is None:
            return None
        if reason != first.reason:
            self._first_failures[version_id] = None
            return None
        first.num += 1
        if first.num < self._same_failures_max:
            return None
        return f"stopped because each of the first {first.num} answers failed for the same reason: {reason}"
