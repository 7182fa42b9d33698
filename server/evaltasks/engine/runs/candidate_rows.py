"""Which rows an evaluation task run is to work on: the walk through the store, which changes nothing.

It is made before the task run is claimed, on a snapshot of its own: a filter that matches almost nothing over a huge
window walks for long, and a walk inside the claim's transaction would keep everybody else from writing for as long.
`selection` writes down what was chosen, in the claim's transaction and only if the task run is still to be had.
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
    """The rows, as the JSON that `ledger.insert_selected` takes, and what was decided with them."""

    plan: EvaluationPlan
    versions: Sequence[EvaluatorVersion]
    row_kind: str
    rows: str


def find_candidate_rows(tx: Transaction, claim: Claim, index: Index = WHOLE) -> CandidateRows:
    """What the index of spans has for the task run; reads only.

    Raises PermanentFailure when what the task refers to is gone or does not fit together any more, Problem when a
    filter cannot be used any more.
    """
    row = task_run_row_by_seq(tx, claim.seq)
    assert row is not None
    plan, versions = make_plan(tx, claim.task)
    # What a continuous task run takes was there when it was made, and no later one takes it up.
    index = index if row["after_span_seq"] is None else index.exclude_unsettled()
    is_spans = claim.task.project_id is not None
    filters = _filters(claim.task, plan, versions, index, Target.SPAN if is_spans else Target.EXPERIMENT_RUN)
    rows_max = claim.options.max_spans or ROWS_MAX_DEFAULT
    if is_spans:
        return CandidateRows(
            plan, versions, ROW_KINDS[plan.granularity], _spans(tx, claim.task, row, plan, filters, rows_max)
        )
    experiment_ids = claim.options.experiment_ids or claim.task.experiment_ids
    rows = candidates.select_experiment_runs(tx, experiment_ids, filters, rows_max)
    return CandidateRows(plan, versions, "experiment_run", rows)


def _spans(tx: Transaction, task: Task, row: Row, plan: EvaluationPlan, filters: RowFilters, rows_max: int) -> str:
    """Spans, or the traces or sessions they make up."""
    is_continuous = row["after_span_seq"] is not None
    scope = SpanScope(
        project_id=task.project_id,
        task_id=task.id,
        sampling_rate=task.sampling_rate,
        new_spans=(row["after_span_seq"], row["upto_span_seq"]) if is_continuous else None,
        window_us=(row["data_start_us"], row["data_end_us"]),
    )
    if is_continuous:
        # What a continuous task run leaves out, no later one takes up.
        rows_max = candidates.NO_LIMIT
    kind = ROW_KINDS[plan.granularity]
    if kind == "span":
        return candidates.select_spans(tx, scope, filters, rows_max)
    return candidates.select_groups(tx, kind, scope, filters, rows_max)


def _filters(
    task: Task, plan: EvaluationPlan, versions: Sequence[EvaluatorVersion], index: Index, target: Target
) -> RowFilters:
    """The task's filter and each evaluator's own."""

    def compiled(text: str | None, prefix: str) -> CompiledFilter:
        return _compiled(text or None, target, prefix, plan, index)

    task_filter = compiled(task.query_filter, "t")
    if task.query_filters is not None:
        task_filter = all_of(task_filter, _expression(task.query_filters, plan, index))
    evaluator_filters = [
        all_of(
            compiled(one.query_filter, f"e{nth}"),
            compiled(version.query_filter, f"v{nth}"),
        )
        for nth, (one, version) in enumerate(zip(task.evaluators, versions, strict=True))
    ]
    return RowFilters(task_filter, evaluator_filters)


def _compiled(text: str | None, target: Target, prefix: str, plan: EvaluationPlan, index: Index) -> CompiledFilter:
    """A filter over the row; a trace or session passes it with any of its spans."""
    if target is Target.EXPERIMENT_RUN:
        return compile_filter(text, target, prefix=prefix, field="query_filter") if text else ALL_ROWS
    compiled = index.filter(text, prefix=prefix, field="query_filter")
    return _of_some_span(compiled, plan) if plan.reads_spans_of_groups and compiled is not ALL_ROWS else compiled


def _of_some_span(compiled: CompiledFilter, plan: EvaluationPlan) -> CompiledFilter:
    kind = ROW_KINDS[plan.granularity]
    assert kind != "span"
    return candidates.any_span_of_group(kind, compiled)


def _expression(given: QueryFilters, plan: EvaluationPlan, index: Index) -> CompiledFilter:
    """The named filters combined as their expression says."""
    passed: dict[QueryId, str] = {}
    values: dict[str, Any] = {}
    for named in given.filters:
        field = f"query_filters.{named.id}"
        compiled = index.filter(named.filter, prefix=f"q{named.id.lower()}", field=field)
        passed[named.id] = _of_some_span(compiled, plan).sql
        values.update(compiled.values)
    tree = parse_expression(given.expression or given.filters[0].id, passed)
    return CompiledFilter(f"({condition(tree, passed)})", values)
