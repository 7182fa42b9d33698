"""Annotations in the store. A row has at most one annotation of each name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from evaltasks.api.annotations import AnnotatedRecord, Annotation
from evaltasks.engine.clock import from_us
from evaltasks.engine.store.store import Row, Transaction

RowKind: TypeAlias = Literal["span", "trace", "session", "example", "experiment_run"]
# Row id as clients know it → the numbers of its rows. An example has a row in every version that contains it.
SeqsOfId: TypeAlias = Mapping[str, Sequence[int]]


def annotations_for(tx: Transaction, row_kind: RowKind, seqs: Iterable[int]) -> Mapping[int, list[Annotation]]:
    """Return the annotations on these rows by `seq`, each list sorted by name. Makes one query."""
    annotations: dict[int, list[Annotation]] = {}
    for row in tx.fetch_all("annotations.on_rows", {"row_kind": row_kind, "seqs": json.dumps(list(seqs))}):
        annotation = Annotation(
            name=row["name"],
            label=row["label"],
            score=row["score"],
            text=row["text"],
            updated_at=from_us(row["updated_us"]),
        )
        annotations.setdefault(row["row_seq"], []).append(annotation)
    return annotations


def put_annotations(
    tx: Transaction, row_kind: RowKind, records: Sequence[AnnotatedRecord], rows: SeqsOfId, now_us: int
) -> None:
    """Store the annotations on their rows. A field that is None keeps its stored value.

    Args:
        tx: The transaction.
        row_kind: The kind of all rows.
        records: The annotations, by the id of their row. Records whose id is not in `rows` are skipped.
        rows: Row id → the numbers of its rows.
        now_us: The time they are updated at.
    """
    tx.run_many(
        "annotations.put",
        [
            {"row_kind": row_kind, "row_seq": seq, "now_us": now_us, **value.model_dump()}
            for record in records
            for seq in rows.get(record.record_id, ())
            for value in record.values
        ],
    )


def copy_to_version(tx: Transaction, from_version_id: str, to_version_id: str) -> None:
    """Copy the annotations of a version's examples to the same examples of another version."""
    tx.run("annotations.copy_to_version", {"from_version_id": from_version_id, "to_version_id": to_version_id})


def example_seqs(tx: Transaction, dataset_id: str, ids: Iterable[str]) -> SeqsOfId:
    """Return the rows of these examples in all versions of the dataset."""
    return _by_id(tx.fetch_all("annotations.examples", {"dataset_id": dataset_id, "ids": json.dumps(list(ids))}))


def experiment_run_seqs(tx: Transaction, experiment_id: str, ids: Iterable[str]) -> SeqsOfId:
    return _by_id(
        tx.fetch_all("annotations.experiment_runs", {"experiment_id": experiment_id, "ids": json.dumps(list(ids))})
    )


def span_rows_by_id(tx: Transaction, project_id: str, ids: Iterable[str], window_us: tuple[int, int]) -> list[Row]:
    """Return id, seq and parent_id of the spans with these ids in the window (both ends inclusive)."""
    return tx.fetch_all("annotations.spans", _in_window(project_id, ids, window_us))


def session_seqs(tx: Transaction, project_id: str, ids: Iterable[str], window_us: tuple[int, int]) -> SeqsOfId:
    """Return session id → the root span of the session's earliest trace in the window (both ends inclusive)."""
    return _by_id(tx.fetch_all("annotations.sessions", _in_window(project_id, ids, window_us)))


def _in_window(project_id: str, ids: Iterable[str], window_us: tuple[int, int]) -> dict[str, object]:
    return {
        "project_id": project_id,
        "ids": json.dumps(list(ids)),
        "window_start_us": window_us[0],
        "window_end_us": window_us[1],
    }


def _by_id(rows: Iterable[Row]) -> SeqsOfId:
    seqs: dict[str, list[int]] = {}
    for row in rows:
        seqs.setdefault(row["id"], []).append(row["seq"])
    return seqs
