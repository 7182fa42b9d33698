"""Reads many rows page by page, for downloads of whole projects, datasets and experiments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evaltasks.engine.filters.compile import CompiledFilter
from evaltasks.engine.store import datasets, experiments
from evaltasks.engine.store.store import Row, Transaction

PAGE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class SpanSelection:
    """Spans of a project that start in a window.

    Attributes:
        project_id: The project.
        window_us: Start (inclusive) and end (exclusive) in microseconds.
        filter: A filter over spans.
        sample_rate: The share of the traces to read, all of them if None. A trace is read whole or not at all.
    """

    project_id: str
    window_us: tuple[int, int]
    filter: CompiledFilter
    sample_rate: float | None = None

    def values(self) -> dict[str, object]:
        return {
            **self.filter.values,
            "project_id": self.project_id,
            "window_start_us": self.window_us[0],
            "window_end_us": self.window_us[1],
            "sample_rate": self.sample_rate,
        }


def count_spans(tx: Transaction, selection: SpanSelection) -> int:
    row = tx.fetch_one("bulk.count_spans", selection.values(), filter=selection.filter.sql)
    assert row is not None
    return int(row["n"])


def span_pages(tx: Transaction, selection: SpanSelection) -> Iterator[Sequence[Row]]:
    """Yield the spans in the order they were ingested."""
    after_seq = 0
    while rows := tx.fetch_all(
        "bulk.spans",
        {**selection.values(), "after_seq": after_seq, "limit": PAGE_ROWS},
        filter=selection.filter.sql,
    ):
        yield rows
        after_seq = rows[-1]["seq"]


def example_pages(tx: Transaction, version_id: str) -> Iterator[Sequence[Row]]:
    """Yield the examples of a version in the order of creation."""
    after_seq = 0
    while rows := datasets.example_rows(tx, version_id, after_seq, PAGE_ROWS):
        yield rows
        after_seq = rows[-1]["seq"]


def experiment_run_pages(tx: Transaction, experiment_id: str) -> Iterator[Sequence[Row]]:
    """Yield the experiment runs in the order of insertion."""
    after_seq = 0
    while rows := experiments.experiment_run_rows(tx, experiment_id, after_seq, PAGE_ROWS):
        yield rows
        after_seq = rows[-1]["seq"]


def existing_experiment_run_ids(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that an experiment run of any experiment has."""
    return {row["id"] for row in tx.fetch_all("bulk.existing_experiment_run_ids", {"ids": json.dumps(list(ids))})}
