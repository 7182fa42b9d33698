"""Read the rows of a task run with their results, from an evaltasks engine or from AX.

An evaltasks engine has a ledger: every row with its outcome, reason and provenance. AX does not list the rows of a run;
there they are assembled from the evaluations that spans or experiment runs have now, and what is unknown is reported.
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

# On a service without a ledger; the answer reports when there are more.
ROWS_READ_MAX = 20_000
_PREFIXES = {"SPAN": "eval", "TRACE": "trace_eval", "SESSION": "session_eval"}


@dataclass
class ScoredRows:
    """The rows of a task run.

    Attributes:
        rows: The rows with their results.
        limits: What this backend does not report, one sentence each.
        has_ledger: False if the rows were assembled from evaluations.
    """

    rows: list[TaskRunRow] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    has_ledger: bool = True


async def scored_rows(
    client: Client, run: TaskRun, task: Task | None, versions: Mapping[str, EvaluatorVersion], evaluator_id: str | None
) -> ScoredRows:
    """Read all rows of a run, or those of one evaluator.

    Args:
        client: The client of the backend.
        run: The task run.
        task: Its task; None if it was deleted.
        versions: The evaluator versions of the task, by evaluator id.
        evaluator_id: Only this evaluator's rows, if set.
    """
    if client.is_engine:
        query = ListTaskRunRows(evaluator_id=evaluator_id)
        return ScoredRows([row async for row in client.task_runs.all_rows(run.id, query)])
    wanted = {id_: version for id_, version in versions.items() if evaluator_id in {None, id_}}
    if task is None or not wanted:
        return ScoredRows(
            limits=["AX has results only on the rows of the task, and the task or its evaluators cannot be read."],
            has_ledger=False,
        )
    scored = ScoredRows(has_ledger=False)
    scored.limits.append("AX does not report errors and skips row by row: only their numbers are known.")
    if task.project_id and run.data_start_time and run.data_end_time:
        await _add_span_rows(client, run, task.project_id, wanted, scored)
    elif task.dataset_id:
        await _add_experiment_rows(client, [*task.experiment_ids], wanted, scored)
    else:
        scored.limits.append("The task run has no data window, so its spans cannot be found.")
    return scored


async def _add_span_rows(
    client: Client, run: TaskRun, project_id: str, versions: Mapping[str, EvaluatorVersion], scored: ScoredRows
) -> None:
    by_name = {version.evaluation_name: (id_, version) for id_, version in versions.items()}
    unattributed = of_other_runs = 0
    body = ListSpans(project_id=project_id, start_time=run.data_start_time, end_time=run.data_end_time)
    async for number, span in _numbered(client.spans.all(body)):
        if number > ROWS_READ_MAX:
            scored.limits.append(f"Only the first {ROWS_READ_MAX} spans of the window were read; narrow the window.")
            break
        for evaluation in span.evaluations:
            name = evaluation.name.removeprefix("trace_eval.").removeprefix("session_eval.").removeprefix("eval.")
            if name not in by_name:
                continue
            belongs = _belongs(evaluation, run.id)
            if belongs is False:
                of_other_runs += 1
                continue
            unattributed += belongs is None
            id_, version = by_name[name]
            result = (evaluation.label, evaluation.score, evaluation.explanation)
            scored.rows.append(_row("span", span.context.span_id, span.context.trace_id, id_, version, result))
    if unattributed:
        scored.limits.append(
            f"{unattributed} evaluations do not say which task run made them: they have the right name and are in the "
            "window, but an earlier or other task run may have written them."
        )
    if of_other_runs:
        scored.limits.append(
            f"{of_other_runs} evaluations of the same name in the window are of other task runs and are not counted."
        )


def _belongs(evaluation: SpanEvaluation, run_id: str) -> bool | None:
    """Return whether the evaluation's metadata names this run; None if it names no run."""
    runs = {
        str(value)
        for key, value in (evaluation.metadata or {}).items()
        if "run" in key.lower() and isinstance(value, str)
    }
    return run_id in runs if runs else None


async def _add_experiment_rows(
    client: Client, experiment_ids: Sequence[str], versions: Mapping[str, EvaluatorVersion], scored: ScoredRows
) -> None:
    scored.limits.append(
        "Evaluations on experiment runs do not say which task run made them: these are the current ones."
    )
    for experiment_id in experiment_ids:
        async for number, row in _numbered(client.experiments.all_experiment_runs(experiment_id)):
            if number > ROWS_READ_MAX:
                scored.limits.append(f"Only the first {ROWS_READ_MAX} rows of an experiment were read.")
                break
            columns: dict[str, Any] = row.columns
            for id_, version in versions.items():
                head = _PREFIXES.get(version.granularity, f"{version.granularity.lower()}_eval")
                prefix = f"{head}.{version.evaluation_name}"
                label, score, why = (columns.get(f"{prefix}.{part}") for part in ("label", "score", "explanation"))
                if label is None and score is None:
                    continue
                result = (_text(label), _number(score), _text(why))
                scored.rows.append(_row("experiment_run", row.id, None, id_, version, result))


def _row(
    kind: str,
    row_id: str,
    trace_id: str | None,
    evaluator_id: str,
    version: EvaluatorVersion,
    result: tuple[str | None, float | None, str | None],
) -> TaskRunRow:
    label, score, explanation = result
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
