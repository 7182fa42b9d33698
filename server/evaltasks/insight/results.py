"""Aggregate the rows of a task run: labels, scores, worst rows, and errors and skips by reason, per evaluator.

These are pure computations over the rows of one run. Scores of different kinds of judge (a language model, the
heuristic, code) and of different evaluator versions are never combined: each (evaluator, version, judge kind, model) is
a group of its own. Rows that are still waiting are counted with their evaluator, so that partial results are never
reported as final.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaltasks.api.evaluator_kinds import Direction
from evaltasks.api.task_runs import RowOutcome, TaskRun, TaskRunRow, TaskRunStatus

SMALL_SAMPLE_ROWS = 30
REASON_ROWS_SHOWN = 3
HEURISTIC = "heuristic, not a language model"
LLM = "llm"
CODE = "code"


@dataclass(frozen=True, slots=True)
class Judge:
    """What judged the rows of a group: the kind of judge, and for a language model its provider and model."""

    kind: str | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the rows of one group have in common."""

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
    """The rows of one evaluator version and one judge."""

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
        """The number of rows."""
        return self.counts.total()

    @property
    def scores(self) -> list[float]:
        """The scores of the evaluated rows that have one."""
        return [row.score for row in self.evaluated if row.score is not None]

    def ranked(self, direction: Direction) -> list[TaskRunRow]:
        """Return the evaluated rows, worst first and those without a score last; equal scores keep a stable order."""
        sign = -1 if direction is Direction.MINIMIZE else 1
        return sorted(
            self.evaluated,
            key=lambda row: (row.score is None, sign * (row.score or 0.0), row.row_id, row.trace_id or ""),
        )

    def add(self, row: TaskRunRow) -> None:
        """Add a row to the counts, labels, scores and costs."""
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
        """Add a row's cost. None means that no call was made; a value that is not a number means an unknown price."""
        if cost is None:
            return
        self.calls_paid += 1
        if isinstance(cost, (int, float)) and not isinstance(cost, bool):
            self.calls_priced += 1
            self.cost_usd += cost


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether results are final: the run completed and its rows agree with its counts. `why` lists what is missing."""

    final: bool
    why: list[str]


def judge_of(provenance: Mapping[str, Any] | None) -> Judge:
    """Return the judge that an evaluation recorded."""
    recorded = provenance or {}
    return Judge(*(str(recorded[name]) if recorded.get(name) else None for name in ("judge", "provider", "model")))


def grouped(rows: Iterable[TaskRunRow]) -> list[Group]:
    """Group rows by evaluator, version and judge, in the order in which these first appear.

    Rows without a judge (waiting, skipped before judging, unmapped) join the only judge of their evaluator version, if
    there is exactly one: a group of such rows alone would not help a reader.
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
        judged_keys = [
            other
            for other in groups
            if (other.evaluator_id, other.evaluator_version_id) == (key.evaluator_id, key.evaluator_version_id)
            and other.judge.kind is not None
        ]
        joined_key = judged_keys[0] if len(judged_keys) == 1 else key
        groups.setdefault(joined_key, Group(joined_key)).add(row)
    return list(groups.values())


def completeness(run: TaskRun, groups: Sequence[Group]) -> Completeness:
    """Decide whether the results of a run are final, with every reason why they are not."""
    why = []
    counts: Counter[RowOutcome] = sum((group.counts for group in groups), Counter())
    if not run.finished:
        why.append(f"the task run is still {str(run.status).lower()}")
    elif run.status != TaskRunStatus.COMPLETED:
        why.append(f"the task run was {str(run.status).lower()} before it was complete")
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
    """Return the row's outcome. One that this version does not know counts as waiting, never as a result."""
    return row.outcome if isinstance(row.outcome, RowOutcome) else RowOutcome.WAITING


def _tally(reasons: dict[str, ReasonCount], row: TaskRunRow) -> None:
    reason = row.reason or "no reason was recorded"
    tally = reasons.setdefault(reason, ReasonCount(reason, detail=row.detail))
    tally.count += 1
    if len(tally.row_ids) < REASON_ROWS_SHOWN:
        tally.row_ids.append(row.row_id)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
