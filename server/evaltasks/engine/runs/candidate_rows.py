"""Which rows an evaluation task run is to work on: the walk through the store, which changes nothing.

It is made before the task run is claimed, on a snapshot of its own: a filter that matches almost nothing over a huge
window walks for long, and a walk inside the claim's transaction would keep everybody else from writing for as long.
`selection` writes down what was chosen, in the claim's transaction and only if the task run is still to be had.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.evaluators import DataGranularity, EvaluatorVersion
from evaltasks.api.tasks import QueryFilters, QueryId, Task
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_filter
from evaltasks.engine.filters.expression import condition, parse_expression
from evaltasks.engine.filters.index import WHOLE, Index
from evaltasks.engine.runs.claims import Claim
from evaltasks.engine.runs.plan import ROW_KINDS, EvaluationPlan, make_plan
from evaltasks.engine.store.queries import named_parts
from evaltasks.engine.store.store import Row, Transaction

ROWS_MAX_DEFAULT = 10_000
_NO_LIMIT = -1
_FIRST_US, _LAST_US = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """The rows, as the JSON that `ledger.select_rows` takes, and what was decided with them."""

    plan: EvaluationPlan
    versions: Sequence[EvaluatorVersion]
    row_kind: str
    rows: str


def find_candidate_rows(tx: Transaction, claim: Claim, index: Index = WHOLE) -> CandidateRows:
    """What the index of spans has for the task run; reads only.

    Raises PermanentFailure when what the task refers to is gone or does not fit together any more, Problem when a
    filter cannot be used any more.
    """
    row = tx.fetch_one("task_runs.by_seq", {"seq": claim.seq})
    assert row is not None
    plan, versions = make_plan(tx, claim.task)
    # What a continuous task run takes was there when it was made, and no later one takes it up.
    index = index if row["after_span_seq"] is None else index.exclude_unsettled()
    is_spans = claim.task.project_id is not None
    values, slots = _filters(claim.task, plan, versions, index, Target.SPAN if is_spans else Target.EXPERIMENT_RUN)
    values["rows_max"] = claim.options.max_spans or ROWS_MAX_DEFAULT
    if is_spans:
        row_kind, found = ROW_KINDS[plan.granularity], _spans(tx, claim.task, row, plan, values, slots)
    else:
        values["experiment_ids"] = json.dumps(claim.options.experiment_ids or claim.task.experiment_ids)
        row_kind, found = "experiment_run", tx.fetch_one("ledger.choose_experiment_runs", values, **slots)
    assert found is not None
    return CandidateRows(plan, versions, row_kind, found["chosen"])


def _spans(
    tx: Transaction, task: Task, row: Row, plan: EvaluationPlan, values: dict[str, Any], slots: dict[str, str]
) -> Row | None:
    """Spans, or the traces or sessions they make up."""
    is_continuous = row["after_span_seq"] is not None
    values.update(
        project_id=task.project_id,
        task_id=task.id,
        sampling_rate=task.sampling_rate,
        first_us=_FIRST_US if is_continuous or row["data_start_us"] is None else row["data_start_us"],
        last_us=_LAST_US if is_continuous or row["data_end_us"] is None else row["data_end_us"],
        after_seq=row["after_span_seq"],
        upto_seq=row["upto_span_seq"],
    )
    if is_continuous:
        # What a continuous task run leaves out, no later one takes up.
        values["rows_max"] = _NO_LIMIT
    if plan.granularity is DataGranularity.SPAN:
        rows = named_parts()["ledger.new_spans" if is_continuous else "ledger.spans_of_window"]
        return tx.fetch_one("ledger.choose_spans", values, rows=rows, **slots)
    kind = values["row_kind"] = ROW_KINDS[plan.granularity]
    rows = named_parts()[f"groups.new_{kind}s" if is_continuous else f"groups.{kind}s_of_window"]
    key = "g.trace_id" if plan.granularity is DataGranularity.TRACE else "g.session_id"
    return tx.fetch_one("groups.choose", values, key=key, rows=rows, **slots)


def _filters(
    task: Task, plan: EvaluationPlan, versions: Sequence[EvaluatorVersion], index: Index, target: Target
) -> tuple[dict[str, Any], dict[str, str]]:
    """The task's filter and each evaluator's own, as bound values and as slots of a query."""

    def compiled(text: str | None, prefix: str) -> CompiledFilter:
        return _compiled(text or None, target, prefix, plan, index)

    task_filter = compiled(task.query_filter, "t")
    if task.query_filters is not None:
        task_filter = all_of(task_filter, _expression(task.query_filters, plan, index))
    fits = [
        all_of(
            compiled(one.query_filter, f"e{nth}"),
            compiled(version.code_config.query_filter if version.code_config else None, f"v{nth}"),
        )
        for nth, (one, version) in enumerate(zip(task.evaluators, versions, strict=True))
    ]
    values = dict(task_filter.values)
    for one in fits:
        values.update(one.values)
    slots = {
        "task_filter": task_filter.sql,
        "any_fit": " OR ".join(f"({one.sql})" for one in fits),
        "fits": ", ".join(f"({one.sql}) AS fits_{nth}" for nth, one in enumerate(fits)),
        "marks": " || ".join(f"iif(fits_{nth}, '1', '0')" for nth in range(len(fits))),
    }
    return values, slots


def _compiled(text: str | None, target: Target, prefix: str, plan: EvaluationPlan, index: Index) -> CompiledFilter:
    """A filter over the row; a trace or session passes it with any of its spans."""
    if target is Target.EXPERIMENT_RUN:
        return compile_filter(text, target, prefix=prefix, field="query_filter") if text else ALL_ROWS
    compiled = index.filter(text, prefix=prefix, field="query_filter")
    return _of_some_span(compiled, plan) if plan.reads_spans_of_groups and compiled is not ALL_ROWS else compiled


def _of_some_span(compiled: CompiledFilter, plan: EvaluationPlan) -> CompiledFilter:
    some_span = named_parts()[f"groups.some_span_of_{ROW_KINDS[plan.granularity]}"]
    return CompiledFilter(some_span.format(filter=compiled.sql), compiled.values)


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
