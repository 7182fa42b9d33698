"""A task run that evaluates whole traces or sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Failed, Outcome
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.evaluation import EvaluationJob, ledger_row_of
from evaltasks.engine.runs.group_values import GroupReader, GroupValues
from evaltasks.engine.runs.job import LedgerRow
from evaltasks.engine.runs.plan import ROW_KINDS, EvaluationPlan
from evaltasks.engine.store import ledger
from evaltasks.engine.store.evaluations import StoredEvaluation, put_group_evaluation
from evaltasks.engine.store.store import Transaction


class GroupEvaluationJob(EvaluationJob):
    """Its ledger rows have no data: a row may be a whole session, so its spans are read when it is processed."""

    def __init__(self, services: Services, providers: Providers, claim: Claim, plan: EvaluationPlan) -> None:
        super().__init__(services, providers, claim)
        assert claim.task.project_id is not None
        self._project_id = claim.task.project_id
        self._group_kind = ROW_KINDS[plan.granularity]
        self._reader = GroupReader(plan, claim.task.project_id)

    def pending_rows(self, tx: Transaction, after_position: int, limit: int) -> Sequence[LedgerRow]:
        rows = ledger.pending_rows(tx, "group", self._claim.seq, after_position=after_position, limit=limit)
        return [ledger_row_of(row, None) for row in rows]

    async def process(self, ledger_row: LedgerRow) -> Outcome:
        evaluator = await self._evaluator(ledger_row)

        def read(tx: Transaction) -> GroupValues | Failed:
            assert ledger_row.evaluator_version_id is not None
            return self._reader.read(tx, ledger_row.row_id, ledger_row.evaluator_version_id, evaluator.variables)

        read_values = await self._services.store.read(read)
        if isinstance(read_values, Failed):
            return read_values
        outcome = await evaluator.evaluate(read_values.values)
        metadata: dict[str, Any] = {"num_spans": read_values.num_spans}
        if read_values.truncated:
            metadata["cut_to_characters"] = dict(read_values.truncated)
        return replace(outcome, provenance={**outcome.provenance, **metadata})

    def _put(self, tx: Transaction, ledger_row: LedgerRow, evaluation: StoredEvaluation, now_us: int) -> None:
        put_group_evaluation(tx, self._project_id, self._group_kind, ledger_row.row_id, evaluation, now_us)


def evaluation_job(services: Services, providers: Providers, claim: Claim) -> EvaluationJob:
    """Return the job for the granularity that was decided when the rows were selected."""
    plan = EvaluationPlan.model_validate_json(claim.plan or "{}")
    if plan.reads_spans_of_groups:
        return GroupEvaluationJob(services, providers, claim, plan)
    return EvaluationJob(services, providers, claim)
