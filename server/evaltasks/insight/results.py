"""What came of a task run: per evaluator the labels, the mean score, the worst rows, the errors and skips by reason.

Pure computation over the rows of one run. Scores of different kinds of judge (a language model, the heuristic, code)
and of different evaluator versions never meet in one number: each (evaluator, version, kind, model) is a group of its
own. Rows still waiting belong to their evaluator and are told, so that a partial run cannot pass for a finished one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaltasks.api.evaluators import Direction
from evaltasks.api.task_runs import RowOutcome, TaskRun, TaskRunRow, TaskRunStatus
from evaltasks.insight.statistics import MeanScore, mean_score

SMALL_SAMPLE_ROWS = 30
REASON_ROWS_SHOWN = 3
HEURISTIC = "heuristic, not a language model"
LLM = "llm"
CODE = "code"


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judged. Two groups with different judges are never put together."""

    kind: str | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class GroupKey:
    evaluator_id: str | None
    evaluator_version_id: str | None
    evaluation_name: str | None
    judge: Judge


@dataclass
class ReasonCount:
    """Errors or skips that share a reason; `row_ids` are the first few of them."""

    reason: str
    count: int = 0
    row_ids: list[str] = field(default_factory=list)
    detail: str | None = None


@dataclass
class Group:
    """One evaluator version as one judge ran it."""

    key: GroupKey
    counts: Counter[RowOutcome] = field(default_factory=Counter)
    labels: Counter[str | None] = field(default_factory=Counter)
    evaluated: list[TaskRunRow] = field(default_factory=list)
    errors: dict[str, ReasonCount] = field(default_factory=dict)
    skips: dict[str, ReasonCount] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    calls_paid: int = 0  # rows whose provider was called, whether or not it reported a cost
    calls_priced: int = 0

    @property
    def rows(self) -> int:
        return self.counts.total()

    def mean(self, scale: tuple[float, float] | None = None) -> MeanScore | None:
        return mean_score([row.score for row in self.evaluated if row.score is not None], scale=scale)

    def ranked(self, direction: Direction) -> list[TaskRunRow]:
        """The evaluated rows, worst first; those without a score come last. Equal scores keep a stable order."""
        sign = -1 if direction is Direction.MINIMIZE else 1
        return sorted(
            self.evaluated,
            key=lambda row: (row.score is None, sign * (row.score or 0.0), row.row_id, row.trace_id or ""),
        )

    def add(self, row: TaskRunRow) -> None:
        outcome = _outcome(row)
        self.counts[outcome] += 1
        provenance = row.provenance or {}
        self.prompt_tokens += _count(provenance.get("prompt_tokens"))
        self.completion_tokens += _count(provenance.get("completion_tokens"))
        self._add_cost(provenance.get("cost_usd"))
        if outcome is RowOutcome.SUCCESS:
            self.labels[row.label] += 1
            self.evaluated.append(row)
        elif outcome is RowOutcome.ERROR:
            _tally(self.errors, row)
        elif outcome is RowOutcome.SKIPPED:
            _tally(self.skips, row)

    def _add_cost(self, cost: object) -> None:
        """A number is known; anything else that is there says that it is not; nothing: no call was made."""
        if cost is None:
            return
        self.calls_paid += 1
        if isinstance(cost, (int, float)) and not isinstance(cost, bool):
            self.calls_priced += 1
            self.cost_usd += cost


@dataclass(frozen=True, slots=True)
class Completeness:
    """`final` only when the run completed and its rows agree with its counts; `why` says what is missing."""

    final: bool
    why: list[str]


def judge_of(provenance: Mapping[str, Any] | None) -> Judge:
    """The judge as the evaluation itself recorded it."""
    said = provenance or {}
    return Judge(*(str(said[name]) if said.get(name) else None for name in ("judge", "provider", "model")))


def grouped(rows: Iterable[TaskRunRow]) -> list[Group]:
    """The rows by evaluator, version and judge, in the order in which these first appear.

    Rows without an outcome of a judge (waiting, skipped before judging, unmapped) join the only judge of their
    evaluator version where there is one, because a group of nothing but leftovers would tell no one anything.
    """
    groups: dict[GroupKey, Group] = {}
    unjudged: list[tuple[GroupKey, TaskRunRow]] = []
    for row in rows:
        judge = judge_of(row.provenance)
        key = GroupKey(row.evaluator_id, row.evaluator_version_id, row.evaluation_name, judge)
        if judge.kind is None and _outcome(row) is not RowOutcome.SUCCESS:
            unjudged.append((key, row))
        else:
            groups.setdefault(key, Group(key)).add(row)
    for key, row in unjudged:
        same = [
            one
            for one in groups
            if (one.evaluator_id, one.evaluator_version_id) == (key.evaluator_id, key.evaluator_version_id)
            and one.judge.kind is not None
        ]
        home = same[0] if len(same) == 1 else key
        groups.setdefault(home, Group(home)).add(row)
    return list(groups.values())


def completeness(run: TaskRun, groups: Sequence[Group]) -> Completeness:
    """Whether these results may be called final."""
    why = []
    counts: Counter[RowOutcome] = sum((group.counts for group in groups), Counter())
    if not run.finished:
        why.append(f"the task run is still {str(run.status).lower()}")
    elif run.status != TaskRunStatus.COMPLETED:
        why.append(f"the task run was {str(run.status).lower()} before it was through")
    if waiting := counts[RowOutcome.WAITING]:
        why.append(f"{waiting} of {counts.total()} evaluations were not made")
    stored = (counts[RowOutcome.SUCCESS], counts[RowOutcome.ERROR], counts[RowOutcome.SKIPPED])
    counted = (run.num_successes, run.num_errors, run.num_skipped)
    if run.finished and stored != counted:
        why.append(
            f"the run counts {counted[0]} successes, {counted[1]} errors and {counted[2]} skipped, "
            f"the rows read are {stored[0]}, {stored[1]} and {stored[2]}"
        )
    return Completeness(final=not why, why=why)


def _outcome(row: TaskRunRow) -> RowOutcome:
    """A word this version does not know counts as waiting: never as a result."""
    return row.outcome if isinstance(row.outcome, RowOutcome) else RowOutcome.WAITING


def _tally(reasons: dict[str, ReasonCount], row: TaskRunRow) -> None:
    reason = row.reason or "no reason was recorded"
    tally = reasons.setdefault(reason, ReasonCount(reason, detail=row.detail))
    tally.count += 1
    if len(tally.row_ids) < REASON_ROWS_SHOWN:
        tally.row_ids.append(row.row_id)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
