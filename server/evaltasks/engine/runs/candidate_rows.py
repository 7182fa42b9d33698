"""Find the rows of an evaluation task run; reads only.

The search is made before the task run is claimed, on a snapshot of its own: a filter that matches almost nothing in a
huge window takes long, and inside the transaction of the claim it would block all writers for as long. `selection`
writes the rows into the ledger, in the transaction of the claim and only if the task run is still claimable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import QueryFilters, QueryId, Task
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_filter
from evaltasks.engine.filters.expression import condition, parse_expression
from evaltasks.engine.filters.index import WHOLE, Index
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.plan import ROW_KINDS, EvaluationPlan, make_plan
from evaltasks.engine.store import candidates
from evaltasks.engine.store.candidates import RowFilters, SpanScope
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.task_runs import task_run_row_by_seq

ROWS_MAX_DEFAULT = 10_000


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """The rows, as the JSON that `ledger.insert_selected` reads, with the plan and the evaluator versions they were
    found for."""

    plan: EvaluationPlan
    versions: Sequence[EvaluatorVersion]
    row_kind: str
    rows: str


def find_candidate_rows(tx: Transaction, claim: Claim, index: Index = WHOLE) -> CandidateRows:
    """Find the rows of a task run.

    Args:
        tx: A transaction that reads.
        claim: The task run.
        index: Which spans are indexed; fewer than all only with an injected fault.

    Raises:
        PermanentFailure: What the task refers to is gone, or no longer fits together.
        Problem: A filter can no longer be used.
    """
    row = task_run_row_by_seq(tx, claim.seq)
    assert row is not None
    plan, versions = make_plan(tx, claim.task)
    # The spans of a continuous task run were indexed when it was made, and no later task run covers them.
    index = index if row["after_span_seq"] is None else index.ignore_lag()
    is_spans = claim.task.project_id is not None
    filters = row_filters(claim.task, plan, versions, index, Target.SPAN if is_spans else Target.EXPERIMENT_RUN)
    rows_max = claim.options.max_spans or ROWS_MAX_DEFAULT
    if is_spans:
        return CandidateRows(
            plan, versions, ROW_KINDS[plan.granularity], _spans(tx, claim.task, row, plan, filters, rows_max)
        )
    experiment_ids = claim.options.experiment_ids or claim.task.experiment_ids
    rows = candidates.select_experiment_runs(tx, experiment_ids, filters, rows_max)
    return CandidateRows(plan, versions, "experiment_run", rows)


def _spans(tx: Transaction, task: Task, row: Row, plan: EvaluationPlan, filters: RowFilters, rows_max: int) -> str:
    """Find spans, or the traces or sessions that they belong to."""
    is_continuous = row["after_span_seq"] is not None
    scope = SpanScope(
        project_id=task.project_id,
        task_id=task.id,
        sampling_rate=task.sampling_rate,
        new_spans=(row["after_span_seq"], row["upto_span_seq"]) if is_continuous else None,
        window_us=(row["data_start_us"], row["data_end_us"]),
    )
    if is_continuous:
        # Rows that a continuous task run leaves out are covered by no later one.
        rows_max = candidates.NO_LIMIT
    kind = ROW_KINDS[plan.granularity]
    if kind == "span":
        return candidates.select_spans(tx, scope, filters, rows_max)
    return candidates.select_groups(tx, kind, scope, filters, rows_max)


def row_filters(
    task: Task, plan: EvaluationPlan, versions: Sequence[EvaluatorVersion], index: Index, target: Target
) -> RowFilters:
    """Return the filters of the task and of each evaluator.

    Raises:
        Problem: A filter can no longer be used.
    """

    def compiled(text: str | None, prefix: str) -> CompiledFilter:
        return _compiled(text or None, target, prefix, plan, index)

    task_filter = compiled(task.query_filter, "t")
    if task.query_filters is not None:
        task_filter = all_of(task_filter, _combined(task.query_filters, plan, index))
    evaluator_filters = [
        all_of(
            compiled(attached.query_filter, f"e{nth}"),
            compiled(version.query_filter, f"v{nth}"),
        )
        for nth, (attached, version) in enumerate(zip(task.evaluators, versions, strict=True))
    ]
    return RowFilters(task_filter, evaluator_filters)


def _compiled(text: str | None, target: Target, prefix: str, plan: EvaluationPlan, index: Index) -> CompiledFilter:
    """Compile a filter over the row; a trace or session passes it with any of its spans."""
    if target is Target.EXPERIMENT_RUN:
        return compile_filter(text, target, prefix=prefix, field="query_filter") if text else ALL_ROWS
    compiled = index.filter(text, prefix=prefix, field="query_filter")
    return _of_some_span(compiled, plan) if plan.reads_spans_of_groups and compiled is not ALL_ROWS else compiled


def _of_some_span(compiled: CompiledFilter, plan: EvaluationPlan) -> CompiledFilter:
    kind = ROW_KINDS[plan.granularity]
    assert kind != "span"
    return candidates.any_span_of_group(kind, compiled)


def _combined(query_filters: QueryFilters, plan: EvaluationPlan, index: Index) -> CompiledFilter:
    """Combine the named filters as in their expression."""
    passed: dict[QueryId, str] = {}
    values: dict[str, Any] = {}
    for named in query_filters.filters:
        field = f"query_filters.{named.id}"
        compiled = index.filter(named.filter, prefix=f"q{named.id.lower()}", field=field)
        passed[named.id] = _of_some_span(compiled, plan).sql
        values.update(compiled.values)
    tree = parse_expression(query_filters.expression or query_filters.filters[0].id, passed)
    return CompiledFilter(f"({condition(tree, passed)})", values)
