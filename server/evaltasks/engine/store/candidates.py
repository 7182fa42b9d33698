"""Selects the rows that a task run evaluates, by window or new spans, filters and sample.

Each function returns the text of a JSON array of `[place, seq, row id, trace id, marks]`, as `ledger.insert_selected`
needs it. `marks` has a 1 for each evaluator whose filter the row passes, and a 0 for the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store.queries import named_parts
from evaltasks.engine.store.store import Row, Transaction

GroupKind: TypeAlias = Literal["trace", "session"]

NO_LIMIT = -1
_FIRST_US, _LAST_US = -(2**63), 2**63 - 1
_GROUP_KEYS: Mapping[GroupKind, str] = {"trace": "g.trace_id", "session": "g.session_id"}


@dataclass(frozen=True, slots=True)
class RowFilters:
    """The filter of a task and that of each of its evaluators; their bound names must not overlap."""

    task_filter: CompiledFilter
    evaluator_filters: Sequence[CompiledFilter]

    def values(self) -> dict[str, Any]:
        """Return what the filters bind."""
        values = dict(self.task_filter.values)
        for evaluator_filter in self.evaluator_filters:
            values.update(evaluator_filter.values)
        return values

    def slots(self) -> dict[str, str]:
        """Return the texts for the slots of a query."""
        texts = [f"({evaluator_filter.sql})" for evaluator_filter in self.evaluator_filters]
        return {
            "task_filter": self.task_filter.sql,
            "any_fit": " OR ".join(texts),
            "fits": ", ".join(f"{text} AS fits_{nth}" for nth, text in enumerate(texts)),
            "marks": " || ".join(f"iif(fits_{nth}, '1', '0')" for nth in range(len(texts))),
        }


@dataclass(frozen=True, slots=True)
class SpanScope:
    """Which spans of a project a task run looks at.

    Attributes:
        project_id: The project.
        task_id: The task; the same rows are in its sample every time.
        sampling_rate: The share of rows that the task evaluates, all of them if None.
        new_spans: For a continuous task: the spans after the first number, up to the second. None for a window.
        window_us: Start and end of the window in microseconds, both inclusive; None is open. Not for new spans.
    """

    project_id: str | None
    task_id: str
    sampling_rate: float | None
    new_spans: tuple[int, int] | None = None
    window_us: tuple[int | None, int | None] = (None, None)

    def values(self) -> dict[str, Any]:
        """Return the values that the queries bind."""
        first_us, last_us = self.window_us if self.new_spans is None else (None, None)
        after_seq, upto_seq = self.new_spans or (None, None)
        return {
            "project_id": self.project_id,
            "task_id": self.task_id,
            "sampling_rate": self.sampling_rate,
            "first_us": _FIRST_US if first_us is None else first_us,
            "last_us": _LAST_US if last_us is None else last_us,
            "after_seq": after_seq,
            "upto_seq": upto_seq,
        }


def select_spans(tx: Transaction, scope: SpanScope, filters: RowFilters, rows_max: int) -> str:
    """Return the newest spans that pass the task's filter and at least one evaluator's filter."""
    part = named_parts()["ledger.spans_of_window" if scope.new_spans is None else "ledger.new_spans"]
    values = {**filters.values(), **scope.values(), "rows_max": rows_max}
    return _selected(tx.fetch_one("ledger.select_spans", values, rows=part, **filters.slots()))


def select_groups(tx: Transaction, kind: GroupKind, scope: SpanScope, filters: RowFilters, rows_max: int) -> str:
    """Return the newest traces or sessions that pass; of new spans, only those that got no span after them."""
    part = named_parts()[f"groups.{kind}s_of_window" if scope.new_spans is None else f"groups.new_{kind}s"]
    values = {**filters.values(), **scope.values(), "rows_max": rows_max, "row_kind": kind}
    return _selected(tx.fetch_one("groups.select_groups", values, key=_GROUP_KEYS[kind], rows=part, **filters.slots()))


def select_experiment_runs(tx: Transaction, experiment_ids: Sequence[str], filters: RowFilters, rows_max: int) -> str:
    """Return the newest experiment runs of these experiments that pass."""
    values = {**filters.values(), "rows_max": rows_max, "experiment_ids": json.dumps(experiment_ids)}
    return _selected(tx.fetch_one("ledger.select_experiment_runs", values, **filters.slots()))


def any_span_of_group(kind: GroupKind, span_filter: CompiledFilter) -> CompiledFilter:
    """Return a filter over traces or sessions: passed if any of their spans in the window passes `span_filter`."""
    text = named_parts()[f"groups.some_span_of_{kind}"]
    return CompiledFilter(text.format(filter=span_filter.sql), span_filter.values)


def _selected(row: Row | None) -> str:
    assert row is not None
    return str(row["chosen"])
