"""Views of a task run's results for an agent: shares as n of N, statistics of scores, untrusted text in its fence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from evaltasks.api.evaluator_kinds import CODE_LABELS, Direction
from evaltasks.api.evaluators import EvaluatorVersion, EvaluatorWithVersion
from evaltasks.api.task_runs import RowOutcome, TaskRun, TaskRunRow
from evaltasks.api.tasks import Task
from evaltasks.insight.results import CODE, HEURISTIC, SMALL_SAMPLE_ROWS, Group, ReasonCount
from evaltasks.insight.statistics import Properties, score_properties
from evaltasks.tools.untrusted import Untrusted, as_untrusted
from evaltasks.tools.views import age, lower, moment

REASONS_SHOWN_MAX = 10
LABELS_SHOWN_MAX = 20
CONCISE_CHARACTERS = 240
FULL_CHARACTERS = 2000
# Explanations of one answer together; well under what a host lets a model read.
CHARACTERS_TOTAL_MAX = 30_000


# The published schema stays short: these parts explain themselves, and every list of tools would carry their schema.
_Parts = WithJsonSchema({"type": "array", "items": {"type": "object"}})
_Object = WithJsonSchema({"type": "object"})


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class LabelShare(_View):
    """A label and its share. `label` is one of the evaluator's own labels; any other text is in `other_label`."""

    label: str | None = None
    other_label: Untrusted | None = None
    rows: str = Field(description="n of N evaluated rows")


class ReasonView(_View):
    reason: str
    rows: str
    row_ids: list[str] = Field(description="The first few.")
    example: Untrusted | None = None


class WorstRow(_View):
    row_kind: str
    row_id: str
    trace_id: str | None = None
    label: str | None = None
    other_label: Untrusted | None = None
    score: float | None = None
    explanation: Untrusted | None = None


class EvaluatorResults(_View):
    """One evaluator version as one judge ran it; results of different judges are never put together."""

    evaluation_name: str | None = None
    evaluator_id: str | None = None
    evaluator_name: str | None = None
    evaluator_version_id: str | None = None
    version: str | None = None
    judge: str
    model: str | None = None
    direction: str | None = None
    evaluated: str
    errors: str | None = None
    skipped: str | None = None
    waiting: str | None = None
    labels: Annotated[list[LabelShare], _Parts]
    score: Annotated[Properties, _Object] | None = None
    error_reasons: Annotated[list[ReasonView], _Parts] | None = None
    skip_reasons: Annotated[list[ReasonView], _Parts] | None = None
    worst_rows: Annotated[list[WorstRow], _Parts]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: str | None = Field(None, description="List price of the calls in USD, and of how many it is known.")
    caution: str | None = None


class Provenance(_View):
    """Where every number of this answer comes from."""

    run_id: str
    task_id: str
    task_name: str | None = None
    status: str
    counts: str
    data_start_time: str | None = None
    data_end_time: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    finished_age: str | None = None
    experiment_id: str | None = None
    failure_reason: str | None = None
    rows_read: int


class Budget:
    """Characters that the untrusted texts of one answer may use together, so that a model can read the answer."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self._left = CHARACTERS_TOTAL_MAX
        self._each = FULL_CHARACTERS if full else CONCISE_CHARACTERS

    def fenced(self, text: str | None) -> Untrusted | None:
        """Return the text in its fence, cut to what is left; None for no text, or if nothing is left."""
        if self._left <= 0:
            return None
        shown = as_untrusted(text, min(self._each, self._left))
        self._left -= len(shown.untrusted) if shown else 0
        return shown


def evaluator_view(
    group: Group,
    latest: EvaluatorWithVersion | None,
    version: EvaluatorVersion | None,
    task: Task | None,
    shown: slice,
    budget: Budget,
) -> EvaluatorResults:
    """Make the view of one group.

    Args:
        group: The rows of one evaluator version and one judge.
        latest: The evaluator with its latest version; None if it was deleted or is not readable.
        version: The version that made these results, if it is readable.
        task: The task of the run, if it still exists.
        shown: Which rows of the ranking (worst first) to show.
        budget: Shared by all groups of the answer.
    """
    key, n = group.key, group.rows
    direction = version.direction if version else Direction.MAXIMIZE
    # Outputs of a model or an agent carry no label; those of a template_evaluation experiment are labels.
    is_judged = key.evaluator_id is not None or any(label is not None for label in group.labels)
    own_labels = version.labels if version else CODE_LABELS
    evaluated = group.counts[RowOutcome.SUCCESS]
    worst = group.ranked(direction)[shown]
    return EvaluatorResults(
        evaluation_name=key.evaluation_name,
        evaluator_id=key.evaluator_id,
        evaluator_name=latest.name if latest else None,
        evaluator_version_id=key.evaluator_version_id,
        version=_version_words(group, latest, task),
        judge=key.judge.kind or ("unknown" if key.evaluator_id else "none: outputs of a run_experiment task"),
        model=key.judge.model,
        direction=lower(direction) if key.evaluator_id else None,
        evaluated=_share(evaluated, n),
        errors=_share_if_any(group.counts[RowOutcome.ERROR], n),
        skipped=_share_if_any(group.counts[RowOutcome.SKIPPED], n),
        waiting=_share_if_any(group.counts[RowOutcome.WAITING], n),
        labels=_labels(group, own_labels, evaluated, budget) if is_judged else [],
        score=score_properties(group.scores, _scale(group, version)),
        error_reasons=_reasons(group.errors, n, budget),
        skip_reasons=_reasons(group.skips, n, budget),
        worst_rows=[_row_view(row, own_labels, budget) for row in worst] if is_judged else [],
        prompt_tokens=group.prompt_tokens or None,
        completion_tokens=group.completion_tokens or None,
        cost=_cost(group),
        caution=_caution(group, evaluated),
    )


def _share(count: int, n: int) -> str:
    return f"{count} of {n}"


def _share_if_any(count: int, n: int) -> str | None:
    return _share(count, n) if count else None


def _cost(group: Group) -> str | None:
    if group.key.judge.kind in {HEURISTIC, CODE}:
        return "nothing: no provider was called"
    if not group.calls_paid:
        return None
    if not group.calls_priced:
        return f"unknown: no list price for any of {group.calls_paid} rows"
    return f"{group.cost_usd:.6g} USD at list prices, {group.calls_priced} of {group.calls_paid} rows priced"


def _scale(group: Group, version: EvaluatorVersion | None) -> tuple[float, float] | None:
    """Return the lowest and the highest possible score, if they are known."""
    if group.key.judge.kind == HEURISTIC:
        return 0.0, 1.0
    choices = version.classification_choices if version else None
    return (min(choices.values()), max(choices.values())) if choices else None


def _labels(group: Group, own_labels: frozenset[str], evaluated: int, budget: Budget) -> list[LabelShare]:
    shares = []
    for label, count in group.labels.most_common(LABELS_SHOWN_MAX):
        trusted = label if label in own_labels else None
        other = None if trusted else budget.fenced(label)
        shares.append(LabelShare(label=trusted, other_label=other, rows=_share(count, evaluated)))
    return shares


def _reasons(reasons: dict[str, ReasonCount], n: int, budget: Budget) -> list[ReasonView] | None:
    ranked = sorted(reasons.values(), key=lambda tally: (-tally.count, tally.reason))[:REASONS_SHOWN_MAX]
    return [
        ReasonView(
            reason=tally.reason,
            rows=_share(tally.count, n),
            row_ids=tally.row_ids,
            example=budget.fenced(tally.detail) if budget.full else None,
        )
        for tally in ranked
    ] or None


def _row_view(row: TaskRunRow, own_labels: frozenset[str], budget: Budget) -> WorstRow:
    trusted = row.label if row.label in own_labels else None
    return WorstRow(
        row_kind=row.row_kind,
        row_id=row.row_id,
        trace_id=row.trace_id,
        label=trusted,
        other_label=None if trusted else budget.fenced(row.label),
        score=row.score,
        explanation=budget.fenced(row.explanation),
    )


def _version_words(group: Group, latest: EvaluatorWithVersion | None, task: Task | None) -> str | None:
    key = group.key
    if key.evaluator_id is None:
        return None
    attached = task.evaluators if task else []
    pinned = any(one.evaluator_version_id for one in attached if one.evaluator_id == key.evaluator_id)
    if latest is None:
        return "the evaluator was deleted since the run, or this key cannot read it"
    if key.evaluator_version_id in {None, latest.version.id}:
        return "pinned, and the latest" if pinned else "the latest, not pinned: later runs may use another"
    return "pinned; a newer one exists" if pinned else "a newer one exists now: later runs use that, scores may drift"


def _caution(group: Group, evaluated: int) -> str | None:
    cautions = []
    if group.key.judge.kind == HEURISTIC:
        cautions.append("Judged by a heuristic, not a language model; never compare or average with other judges.")
    if group.key.evaluator_id and 0 < evaluated < SMALL_SAMPLE_ROWS:
        cautions.append(f"Small sample: {evaluated} rows, under {SMALL_SAMPLE_ROWS}; differences may be chance.")
    return " ".join(cautions) or None


def provenance_view(run: TaskRun, task: Task | None, rows_read: int, now: datetime) -> Provenance:
    """Make the view of where the numbers come from; `task` is None if it was deleted."""
    selected = "" if run.num_selected is None else f" of {run.num_selected}"
    return Provenance(
        run_id=run.id,
        task_id=run.task_id,
        task_name=task.name if task else None,
        status=lower(run.status),
        counts=(
            f"{run.num_done}{selected} done: {run.num_successes} ok, {run.num_errors} errors, {run.num_skipped} skipped"
        ),
        data_start_time=moment(run.data_start_time),
        data_end_time=moment(run.data_end_time),
        started_at=moment(run.run_started_at),
        finished_at=moment(run.run_finished_at),
        finished_age=age(now, run.run_finished_at),
        experiment_id=run.experiment_id,
        failure_reason=run.failure_reason,
        rows_read=rows_read,
    )
