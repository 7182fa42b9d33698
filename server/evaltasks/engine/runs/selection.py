"""Which rows an evaluation task run works on, decided once and written into its ledger.

One `INSERT … SELECT` in the transaction that makes the task run RUNNING: whoever goes on with it later finds the same
lines. Rows that already carry the evaluation become SKIPPED lines at once, unless the trigger overrides. What a row is
(a span, a trace, a session, an experiment run) follows from the evaluators, which share one granularity.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.evaluators import DataGranularity, EvaluatorVersion
from evaltasks.api.task_runs import RowOutcome
from evaltasks.api.tasks import QueryFilters, QueryId
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_filter
from evaltasks.engine.filters.expression import condition, parse_expression
from evaltasks.engine.filters.index import WHOLE, Index
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.runs.plan import ROW_KINDS, EvaluationPlan, make_plan
from evaltasks.engine.store.queries import named_parts
from evaltasks.engine.store.store import Row, Transaction

ALREADY_LABELLED = "already labelled"
_ALL_LABELLED = (
    "Every selected row already carries this task's evaluations, so there was nothing to do. "
    "Trigger again with override_evaluations to evaluate them anew."
)
ROWS_MAX_DEFAULT = 10_000
_NO_LIMIT = -1
_FIRST_US, _LAST_US = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Attached:
    version: EvaluatorVersion
    filter: CompiledFilter


def select_rows(tx: Transaction, claim: Claim, now_us: int, index: Index = WHOLE) -> None:
    """Fill the ledger with what the index of spans has; ends the task run when there is nothing to evaluate.

    No rows at all: completed with nothing done. All of them labelled: cancelled with a reason that tells how to
    override. Raises Broken when what the task refers to is gone or does not fit together any more, Problem when a
    filter cannot be used any more.
    """
    row = tx.one("task_runs.by_seq", {"seq": claim.seq})
    assert row is not None
    plan, versions = make_plan(tx, claim.task)
    # What a continuous task run takes was there when it was made, and no later one takes it up.
    index = index if row["after_span_seq"] is None else index.without_lag()
    _insert_lines(tx, claim, row, plan, versions, now_us, index)
    tally = {found["outcome"]: found["n"] for found in tx.all("ledger.tally", {"seq": claim.seq})}
    lines = sum(tally.values())
    skipped = tally.get(RowOutcome.SKIPPED, 0)
    all_labelled = lines > 0 and skipped == lines
    if row["after_span_seq"] is not None:
        bounds = tx.one("ledger.span_bounds", {"seq": claim.seq})
        assert bounds is not None
        covered = {"data_start_us": bounds["first_us"], "data_end_us": bounds["last_us"]}
        tx.run("task_runs.covers", {"seq": claim.seq, **covered})
    if all_labelled:
        tx.run("ledger.discard", {"seq": claim.seq})
    selected = {
        "seq": claim.seq,
        "num_selected": 0 if all_labelled else lines,
        "num_skipped": 0 if all_labelled else skipped,
        "experiment_id": None,
        "plan": plan.model_dump_json(),
    }
    tx.run("task_runs.selected", selected)
    if all_labelled:
        end(tx, claim, Step.CANCEL, _ALL_LABELLED, now_us)
    elif lines == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)


def _insert_lines(
    tx: Transaction,
    claim: Claim,
    row: Row,
    plan: EvaluationPlan,
    versions: Sequence[EvaluatorVersion],
    now_us: int,
    index: Index,
) -> None:
    task, options = claim.task, claim.options
    target = Target.SPAN if task.project_id is not None else Target.EXPERIMENT_RUN

    def compiled(text: str | None, prefix: str) -> CompiledFilter:
        return _compiled(text or None, target, prefix, plan, index)

    task_filter = compiled(task.query_filter, "t")
    if task.query_filters is not None:
        task_filter = all_of(task_filter, _expression(task.query_filters, plan, index))
    attached = [
        _Attached(
            version,
            all_of(
                compiled(one.query_filter, f"e{nth}"),
                compiled(version.code_config.query_filter if version.code_config else None, f"v{nth}"),
            ),
        )
        for nth, (one, version) in enumerate(zip(task.evaluators, versions, strict=True))
    ]
    values: dict[str, Any] = {
        **task_filter.values,
        "seq": claim.seq,
        "already_labelled": ALREADY_LABELLED,
        "override": bool(options.override_evaluations),
        "rows_max": options.max_spans or ROWS_MAX_DEFAULT,
        "now_us": now_us,
    }
    for nth, one in enumerate(attached):
        values.update(one.filter.values)
        values[f"evaluator_{nth}"] = one.version.evaluator_id
        values[f"version_{nth}"] = one.version.id
        values[f"name_{nth}"] = one.version.evaluation_name
    slots = {
        "task_filter": task_filter.sql,
        "any_fit": " OR ".join(f"({one.filter.sql})" for one in attached),
        "fits": ", ".join(f"({one.filter.sql}) AS fits_{nth}" for nth, one in enumerate(attached)),
    }
    if target is Target.EXPERIMENT_RUN:
        values["experiment_ids"] = json.dumps(options.experiment_ids or task.experiment_ids)
        tx.run("ledger.select_experiment_runs", values, lines=_lines("id", "NULL", len(attached)), **slots)
        return
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
        tx.run("ledger.select_spans", values, rows=rows, lines=_lines("span_id", "trace_id", len(attached)), **slots)
        return
    kind = values["row_kind"] = ROW_KINDS[plan.granularity]
    rows = named_parts()[f"groups.new_{kind}s" if is_continuous else f"groups.{kind}s_of_window"]
    is_trace = plan.granularity is DataGranularity.TRACE
    lines = _lines("row_id", "row_id" if is_trace else "NULL", len(attached))
    tx.run("groups.select", values, key="g.trace_id" if is_trace else "g.session_id", rows=rows, lines=lines, **slots)


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


def _lines(row_id: str, trace_id: str, evaluators: int) -> str:
    """One SELECT per evaluator: the chosen rows that fit it. Made of our own words and bound names alone."""
    return " UNION ALL ".join(
        f"SELECT place, {nth} AS nth, seq AS row_seq, {row_id} AS row_id, {trace_id} AS trace_id, "  # noqa: S608
        f":evaluator_{nth} AS evaluator_id, :version_{nth} AS evaluator_version_id, :name_{nth} AS evaluation_name "
        f"FROM chosen WHERE fits_{nth}"
        for nth in range(evaluators)
    )
