"""The rows of a task run, as the backend can tell them.

An evaltasks engine keeps a ledger: every row with its outcome, reason and provenance. AX does not tell rows of a run;
there they are put together from what is on the spans or experiment runs now, and what cannot be known is said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.spans import ListSpans, SpanEvaluation
from evaltasks.api.task_runs import ListTaskRunRows, RowOutcome, TaskRun, TaskRunRow
from evaltasks.api.tasks import Task
from evaltasks.client.client import Client

# Read on a service without a ledger; the answer says when there were more.
ROWS_READ_MAX = 20_000
_PREFIXES = {"SPAN": "eval", "TRACE": "trace_eval", "SESSION": "session_eval"}


@dataclass
class ScoredRows:
    """`limits` says what this backend cannot tell, in sentences. `has_ledger` is False when rows were put together."""

    rows: list[TaskRunRow] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    has_ledger: bool = True


async def scored_rows(
    client: Client, run: TaskRun, task: Task | None, versions: Mapping[str, EvaluatorVersion], evaluator_id: str | None
) -> ScoredRows:
    """All rows of the run; those of one evaluator when `evaluator_id` is given. `versions` is by evaluator id."""
    if client.is_engine:
        query = ListTaskRunRows(evaluator_id=evaluator_id)
        return ScoredRows([row async for row in client.task_runs.all_rows(run.id, query)])
    wanted = {id_: version for id_, version in versions.items() if evaluator_id in {None, id_}}
    if task is None or not wanted:
        return ScoredRows(limits=["AX tells rows only through the task and its evaluators, which cannot be read."],
                          has_ledger=False)  # fmt: skip
    found = ScoredRows(has_ledger=False)
    found.limits.append("AX does not tell errors and skips row by row: only their numbers are known.")
    if task.project_id and run.data_start_time and run.data_end_time:
        await _from_spans(client, run, task.project_id, wanted, found)
    elif task.dataset_id:
        await _from_experiments(client, [*task.experiment_ids], wanted, found)
    else:
        found.limits.append("The task run tells no window, so its spans cannot be found.")
    return found


async def _from_spans(
    client: Client, run: TaskRun, project_id: str, versions: Mapping[str, EvaluatorVersion], found: ScoredRows
) -> None:
    by_name = {version.evaluation_name: (id_, version) for id_, version in versions.items()}
    untold = foreign = 0
    body = ListSpans(project_id=project_id, start_time=run.data_start_time, end_time=run.data_end_time)
    async for number, span in _numbered(client.spans.all(body)):
        if number > ROWS_READ_MAX:
            found.limits.append(f"Only the first {ROWS_READ_MAX} spans of the window were read; narrow the window.")
            break
        for evaluation in span.evaluations:
            name = evaluation.name.removeprefix("trace_eval.").removeprefix("session_eval.").removeprefix("eval.")
            if name not in by_name:
                continue
            belongs = _belongs(evaluation, run.id)
            if belongs is False:
                foreign += 1
                continue
            untold += belongs is None
            id_, version = by_name[name]
            said = (evaluation.label, evaluation.score, evaluation.explanation)
            found.rows.append(_row("span", span.context.span_id, span.context.trace_id, id_, version, said))
    if untold:
        found.limits.append(
            f"{untold} evaluations do not say which task run made them: they carry the right name and lie in the "
            "window, but an earlier or other task run may have written them."
        )
    if foreign:
        found.limits.append(f"{foreign} evaluations of the same name in the window are of other task runs; left out.")


def _belongs(evaluation: SpanEvaluation, run_id: str) -> bool | None:
    """Whether the evaluation says that this run made it; None when it says nothing about runs."""
    runs = {
        str(value)
        for key, value in (evaluation.metadata or {}).items()
        if "run" in key.lower() and isinstance(value, str)
    }
    return run_id in runs if runs else None


async def _from_experiments(
    client: Client, experiment_ids: Sequence[str], versions: Mapping[str, EvaluatorVersion], found: ScoredRows
) -> None:
    found.limits.append(
        "Evaluations on experiment runs do not say which task run made them: shown is what is there now."
    )
    for experiment_id in experiment_ids:
        async for number, row in _numbered(client.experiments.all_experiment_runs(experiment_id)):
            if number > ROWS_READ_MAX:
                found.limits.append(f"Only the first {ROWS_READ_MAX} rows of an experiment were read.")
                break
            columns: dict[str, Any] = row.columns
            for id_, version in versions.items():
                head = _PREFIXES.get(version.granularity, f"{version.granularity.lower()}_eval")
                prefix = f"{head}.{version.evaluation_name}"
                label, score, why = (columns.get(f"{prefix}.{part}") for part in ("label", "score", "explanation"))
                if label is None and score is None:
                    continue
                said = (_text(label), _number(score), _text(why))
                found.rows.append(_row("experiment_run", row.id, None, id_, version, said))


def _row(
    kind: str,
    row_id: str,
    trace_id: str | None,
    evaluator_id: str,
    version: EvaluatorVersion,
    said: tuple[str | None, float | None, str | None],
) -> TaskRunRow:
    label, score, explanation = said
    llm = version.llm_config
    return TaskRunRow(
        row_kind=kind,
        row_id=row_id,
        trace_id=trace_id,
        evaluator_id=evaluator_id,
        evaluator_version_id=version.id,
        evaluation_name=version.evaluation_name,
        outcome=RowOutcome.SUCCESS,
        label=label,
        score=score,
        explanation=explanation,
        provenance={"judge": version.label_source, "model": llm.model_name if llm is not None else None},
    )


async def _numbered(items: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    number = 0
    async for item in items:
        number += 1
        yield number, item


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
