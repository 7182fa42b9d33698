"""Which rows an evaluation task run works on, decided once and written into its ledger.

One `INSERT … SELECT` in the transaction that makes the task run RUNNING: whoever goes on with it later finds the same
lines. Rows that already carry the evaluation become SKIPPED lines at once, unless the trigger overrides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.task_runs import RowOutcome
from evaltasks.api.tasks import TaskEvaluator
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_filter
from evaltasks.engine.providers.provider import Broken
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.store.store import Row, Transaction
from evaltasks.engine.store.tasks import version_for

ALREADY_LABELLED = "already labelled"
_ALL_LABELLED = (
    "Every selected row already carries this task's evaluations, so there was nothing to do. "
    "Trigger again with override_evaluations to evaluate them anew."
)
ROWS_MAX_DEFAULT = 10_000
_NO_LIMIT = -1


@dataclass(frozen=True, slots=True)
class _Attached:
    evaluator: TaskEvaluator
    version: EvaluatorVersion
    filter: CompiledFilter


def select_rows(tx: Transaction, claim: Claim, now_us: int) -> None:
    """Fill the ledger; ends the task run when there is nothing to evaluate.

    No rows at all: completed with nothing done. All of them labelled: cancelled with a reason that tells how to
    override. Raises Broken when what the task refers to is gone, Problem when a filter cannot be used any more.
    """
    row = tx.one("task_runs.by_seq", {"seq": claim.seq})
    assert row is not None
    target = Target.SPAN if claim.task.project_id is not None else Target.EXPERIMENT_RUN
    attached = [_attached(tx, nth, line, target) for nth, line in enumerate(claim.task.evaluators)]
    _insert_lines(tx, claim, row, attached, target, now_us)
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
        "plan": json.dumps({"column_mappings": _mappings(attached)}, ensure_ascii=False),
    }
    tx.run("task_runs.selected", selected)
    if all_labelled:
        end(tx, claim, Step.CANCEL, _ALL_LABELLED, now_us)
    elif lines == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)


def _mappings(attached: Sequence[_Attached]) -> dict[str, dict[str, str]]:
    return {one.version.id: one.evaluator.column_mappings or {} for one in attached}


def _attached(tx: Transaction, nth: int, line: TaskEvaluator, target: Target) -> _Attached:
    version = version_for(tx, line.evaluator_id, line.evaluator_version_id)
    if version is None or version.evaluation_name is None:
        raise Broken(f"The evaluator '{line.evaluator_name}' has no version that can be used.")
    own = version.code_config.query_filter if version.code_config is not None else None
    return _Attached(
        line,
        version,
        all_of(
            _compiled(line.query_filter, target, f"e{nth}"),
            _compiled(own, target, f"v{nth}"),
        ),
    )


def _compiled(text: str | None, target: Target, prefix: str) -> CompiledFilter:
    return compile_filter(text, target, prefix=prefix, field="query_filter") if text else ALL_ROWS


def _insert_lines(
    tx: Transaction, claim: Claim, row: Row, attached: Sequence[_Attached], target: Target, now_us: int
) -> None:
    task, options = claim.task, claim.options
    task_filter = _compiled(task.query_filter, target, "t")
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
    if target is Target.SPAN:
        is_continuous = row["after_span_seq"] is not None
        values.update(
            project_id=task.project_id,
            task_id=task.id,
            sampling_rate=task.sampling_rate,
            data_start_us=row["data_start_us"],
            data_end_us=row["data_end_us"],
            after_seq=row["after_span_seq"],
            upto_seq=row["upto_span_seq"],
        )
        if is_continuous:
            # What a continuous task run leaves out, no later one takes up.
            values["rows_max"] = _NO_LIMIT
        tx.run("ledger.select_spans", values, lines=_lines("span_id", "trace_id", len(attached)), **slots)
        return
    values["experiment_ids"] = json.dumps(options.experiment_ids or task.experiment_ids)
    tx.run("ledger.select_experiment_runs", values, lines=_lines("id", "NULL", len(attached)), **slots)


def _lines(row_id: str, trace_id: str, evaluators: int) -> str:
    """One SELECT per evaluator: the chosen rows that fit it. Made of our own words and bound names alone."""
    return " UNION ALL ".join(
        f"SELECT place, {nth} AS nth, seq AS row_seq, {row_id} AS row_id, {trace_id} AS trace_id, "  # noqa: S608
        f":evaluator_{nth} AS evaluator_id, :version_{nth} AS evaluator_version_id, :name_{nth} AS evaluation_name "
        f"FROM chosen WHERE fits_{nth}"
        for nth in range(evaluators)
    )
