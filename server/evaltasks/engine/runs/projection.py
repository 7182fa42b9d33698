"""Estimate how many rows a day a task would evaluate if it were continuous, from the spans of the last 24 hours.

Spans are numbered in the order of their arrival, so a few look-ups by number find the first span of the last day, and a
sample of evenly spaced numbers gives the share that belongs to the task. The cost does not grow with the store; up to
SAMPLE_MAX spans a day the result is exact, beyond that an estimate.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.problems import Problem
from evaltasks.api.tasks import Task
from evaltasks.engine.filters.compile import Target
from evaltasks.engine.filters.index import WHOLE
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs.candidate_rows import row_filters
from evaltasks.engine.runs.plan import make_plan
from evaltasks.engine.store.projection import count_rows_of_spans, first_span_from
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.tasks import last_span_seq

SAMPLE_MAX = 1000
_DAY_US = 24 * 3600 * 1_000_000


def projected_rows_per_day(tx: Transaction, task: Task, now_us: int) -> int | None:
    """Return the estimate; None for dataset tasks, for traces and sessions, and for a task that could not start."""
    if task.project_id is None or not task.evaluates:
        return None
    try:
        plan, versions = make_plan(tx, task)
        if plan.granularity is not DataGranularity.SPAN:
            return None
        filters = row_filters(task, plan, versions, WHOLE, Target.SPAN)
    except (PermanentFailure, Problem):
        return None
    first, last = _last_day(tx, now_us)
    width = last - first + 1
    if width <= 0:
        return 0
    step = max(width / SAMPLE_MAX, 1.0)
    seqs = [first + int(nth * step) for nth in range(min(width, SAMPLE_MAX))]
    num_rows = count_rows_of_spans(tx, task.project_id, seqs, filters)
    rate = 1.0 if task.sampling_rate is None else task.sampling_rate
    return ceil(num_rows * (width / len(seqs)) * rate)


class Projections:
    """A cache of estimates, because a task is read far more often than its project changes.

    An estimate is valid until the task changes or a span arrives, and for a minute at most, because the last 24 hours
    move on.
    """

    FRESH_SECONDS = 60.0
    KEPT_MAX = 1000

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[datetime, int], float, int | None]] = {}

    def recent(self, task: Task, last_span_seq: int, now_seconds: float) -> tuple[int | None] | None:
        """Return the cached estimate (which may be None) in a tuple, or None if it must be computed again."""
        kept = self._kept.get(task.id)
        if kept is None or kept[0] != (task.updated_at, last_span_seq) or now_seconds - kept[1] > self.FRESH_SECONDS:
            return None
        return (kept[2],)

    def keep(self, task: Task, last_span_seq: int, now_seconds: float, projected: int | None) -> None:
        if len(self._kept) >= self.KEPT_MAX:
            self._kept.clear()
        self._kept[task.id] = ((task.updated_at, last_span_seq), now_seconds, projected)


def _last_day(tx: Transaction, now_us: int) -> tuple[int, int]:
    """Return the numbers of the first and last span of the last 24 hours; the first is greater if there is none."""
    last = last_span_seq(tx)
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        span = first_span_from(tx, middle)
        if span is None or span["ingested_us"] >= now_us - _DAY_US:
            high = middle
        else:
            low = int(span["seq"]) + 1
    return low, last
