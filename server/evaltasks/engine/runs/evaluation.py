"""A task run that evaluates spans or experiment runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evaltasks.api.problems import NotBuilt
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.kinds import make_evaluator
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Failed, Outcome
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.job import LedgerRow
from evaltasks.engine.runs.mapping import Columns, experiment_run_columns, span_columns, values_for
from evaltasks.engine.runs.plan import EvaluationPlan
from evaltasks.engine.store import ledger
from evaltasks.engine.store.ai_integrations import find_integration
from evaltasks.engine.store.evaluations import (
    EvaluatedRowKind,
    StoredEvaluation,
    evaluation_rows,
    put_evaluation,
)
from evaltasks.engine.store.evaluators import find_version
from evaltasks.engine.store.store import Row, Transaction

_EVALUATION_FIELDS = ("label", "score", "explanation")


class EvaluationJob:
    """Evaluators are created for the first row that needs them, from the versions that were selected with the rows."""

    def __init__(self, services: Services, providers: Providers, claim: Claim) -> None:
        self._services = services
        self._providers = providers
        self._claim = claim
        self._is_spans = claim.task.project_id is not None
        self._row_kind: EvaluatedRowKind = "span" if self._is_spans else "experiment_run"
        plan = EvaluationPlan.model_validate_json(claim.plan or "{}")
        self._mappings = plan.column_mappings
        # Evaluations are looked up only if a mapping reads them.
        self._reads_evaluations = any(path.startswith("eval.") for path in plan.paths)
        self._evaluators: dict[str, Evaluator] = {}
        self._integration_ids: dict[str, str | None] = {}  # what each evaluator version calls; None for no provider

    def pending_rows(self, tx: Transaction, after_position: int, limit: int) -> Sequence[LedgerRow]:
        rows = ledger.pending_rows(tx, self._row_kind, self._claim.seq, after_position=after_position, limit=limit)
        evaluations = self._evaluations(tx, rows) if self._reads_evaluations else {}
        columns_of = span_columns if self._is_spans else experiment_run_columns
        ledger_rows: list[LedgerRow] = []
        row_seq, columns = -1, None
        for row in rows:
            if row["row_seq"] != row_seq:
                # Ledger rows of one row are adjacent; its attributes are parsed once.
                row_seq = row["row_seq"]
                columns = columns_of(row, evaluations.get(row_seq)) if row["found"] is not None else None
            ledger_rows.append(ledger_row_of(row, columns))
        return ledger_rows

    def _evaluations(self, tx: Transaction, rows: Sequence[Row]) -> dict[int, dict[str, Any]]:
        evaluations: dict[int, dict[str, Any]] = {}
        for row in evaluation_rows(tx, self._row_kind, [row["row_seq"] for row in rows]):
            columns = evaluations.setdefault(row["row_seq"], {})
            columns.update({f"eval.{row['name']}.{field}": row[field] for field in _EVALUATION_FIELDS})
        return evaluations

    async def rate_limit_key(self, ledger_row: LedgerRow) -> str | None:
        await self._evaluator(ledger_row)
        return self._integration_ids[ledger_row.evaluator_version_id or ""]

    async def process(self, ledger_row: LedgerRow) -> Outcome:
        if ledger_row.columns is None:
            return Failed(f"the {self._row_kind.replace('_', ' ')} was deleted before it was evaluated")
        evaluator = await self._evaluator(ledger_row)
        values = values_for(
            evaluator.variables, self._mappings.get(ledger_row.evaluator_version_id or "", {}), ledger_row.columns
        )
        return values if isinstance(values, Failed) else await evaluator.evaluate(values)

    async def _evaluator(self, ledger_row: LedgerRow) -> Evaluator:
        assert ledger_row.evaluator_version_id is not None
        evaluator = self._evaluators.get(ledger_row.evaluator_version_id)
        return await self._create_evaluator(ledger_row.evaluator_version_id) if evaluator is None else evaluator

    async def _create_evaluator(self, version_id: str) -> Evaluator:
        def read(tx: Transaction) -> Any:
            version = find_version(tx, version_id)
            if version is None:
                raise PermanentFailure("An evaluator version of this task run was deleted while it was running.")
            llm = version.llm_config
            integration = find_integration(tx, llm.ai_integration_id) if llm is not None else None
            return version, integration

        version, integration = await self._services.store.read_by_key(read)
        try:
            evaluator = await make_evaluator(version, self._providers, integration, self._services.sandbox)
        except NotBuilt as missing:
            raise PermanentFailure(missing.detail) from missing
        calls_provider = integration is not None and not integration.is_heuristic
        self._integration_ids[version_id] = integration.id if calls_provider else None
        return self._evaluators.setdefault(version_id, evaluator)

    def persist(self, tx: Transaction, ledger_row: LedgerRow, outcome: Outcome, now_us: int) -> None:
        """Store the evaluation on the row under its name, replacing an earlier one."""
        if not isinstance(outcome, Evaluated):
            return
        metadata = {
            "task_id": self._claim.task.id,
            "task_run_id": self._claim.run_id,
            "evaluator_id": ledger_row.evaluator_id,
            "evaluator_version_id": ledger_row.evaluator_version_id,
            **outcome.provenance,
        }
        evaluation = StoredEvaluation(
            name=ledger_row.evaluation_name,
            label=outcome.label,
            score=outcome.score,
            explanation=outcome.explanation,
            metadata=json.dumps(metadata, ensure_ascii=False),
        )
        self._put(tx, ledger_row, evaluation, now_us)

    def _put(self, tx: Transaction, ledger_row: LedgerRow, evaluation: StoredEvaluation, now_us: int) -> None:
        put_evaluation(tx, self._row_kind, ledger_row.row_seq, evaluation, now_us)

    def complete(self, tx: Transaction, now_us: int) -> None:
        """Does nothing: nothing follows from an evaluation."""

    async def close(self) -> None:
        for evaluator in self._evaluators.values():
            await evaluator.close()


def ledger_row_of(row: Row, columns: Columns | None) -> LedgerRow:
    """Convert a row of the store, with the data of its columns."""
    return LedgerRow(
        position=row["position"],
        row_seq=row["row_seq"],
        row_id=row["row_id"],
        evaluator_id=row["evaluator_id"],
        evaluator_version_id=row["evaluator_version_id"],
        evaluation_name=row["evaluation_name"],
        columns=columns,
    )
