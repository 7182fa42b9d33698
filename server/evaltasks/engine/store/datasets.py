"""Datasets, their versions and examples in the store.

Examples belong to a version of a dataset. Functions return wire models where a handler answers with them, and rows
where a page needs the sort key as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaltasks.api.annotations import Annotation
from evaltasks.api.datasets import Dataset, DatasetVersion, Example, ListDatasets
from evaltasks.engine.clock import from_us, moved_us
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter
from evaltasks.engine.store.annotations import annotations_for, copy_to_version
from evaltasks.engine.store.store import Row, Transaction


def dataset_from_row(row: Row, versions: Sequence[DatasetVersion] | None = None) -> Dataset:
    return Dataset(
        id=row["id"],
        name=row["name"],
        space_id=row["space_id"],
        created_at=from_us(row["created_us"]),
        updated_at=from_us(row["updated_us"]),
        versions=None if versions is None else list(versions),
    )


def version_from_row(row: Row) -> DatasetVersion:
    return DatasetVersion(
        id=row["id"],
        name=row["name"],
        dataset_id=row["dataset_id"],
        created_at=from_us(row["created_us"]),
        updated_at=from_us(row["updated_us"]),
    )


def examples_from_rows(tx: Transaction, rows: Sequence[Row]) -> list[Example]:
    """Return the examples of these rows with their annotations."""
    annotations = annotations_for(tx, "example", [row["seq"] for row in rows])
    return [_example_from_row(row, annotations.get(row["seq"], [])) for row in rows]


def _example_from_row(row: Row, annotations: list[Annotation]) -> Example:
    times = {"created_at": from_us(row["created_us"]), "updated_at": from_us(row["updated_us"])}
    shown = {"annotations": [each.model_dump(mode="json") for each in annotations]} if annotations else {}
    return Example.model_validate({**json.loads(row["columns"]), **shown, "id": row["id"], **times})


def dataset_rows(tx: Transaction, query: ListDatasets, before_seq: object) -> list[Row]:
    """Return the datasets of a page and one more, newest first."""
    return tx.fetch_all(
        "datasets.page",
        {
            "space_id": query.space_id,
            "space_name": query.space_name,
            "name": query.name,
            "before_seq": before_seq,
            "limit": query.limit + 1,
        },
    )


def dataset_row(tx: Transaction, dataset_id: str) -> Row | None:
    """Return the row of the dataset with this id, without its versions."""
    return tx.fetch_one("datasets.by_id", {"id": dataset_id})


def find_dataset(tx: Transaction, dataset_id: str) -> Dataset | None:
    """Return the dataset with all its versions, newest first."""
    row = dataset_row(tx, dataset_id)
    if row is None:
        return None
    versions = tx.fetch_all("datasets.versions", {"dataset_id": dataset_id})
    return dataset_from_row(row, [version_from_row(version) for version in versions])


def find_dataset_by_name(tx: Transaction, space_id: str, name: str) -> Dataset | None:
    """Return the dataset of this name, without its versions."""
    row = tx.fetch_one("datasets.by_name", {"space_id": space_id, "name": name})
    return None if row is None else dataset_from_row(row)


def find_version(tx: Transaction, dataset_id: str, version_id: str | None) -> DatasetVersion | None:
    """Return the version with this id, or the latest one if the id is None.

    Returns:
        None if the dataset has no such version.
    """
    if version_id is None:
        row = tx.fetch_one("datasets.latest_version", {"dataset_id": dataset_id})
    else:
        row = tx.fetch_one("datasets.version_by_id", {"id": version_id, "dataset_id": dataset_id})
    return None if row is None else version_from_row(row)


def insert_dataset(
    tx: Transaction,
    *,
    dataset_id: str,
    version_id: str,
    space_id: str,
    name: str,
    rows: Mapping[str, str],
    now_us: int,
) -> None:
    """Store a dataset with its first version, which contains `rows` (example id → columns as JSON text)."""
    tx.run("datasets.insert", {"id": dataset_id, "space_id": space_id, "name": name, "now_us": now_us})
    tx.run(
        "datasets.insert_version",
        {"id": version_id, "dataset_id": dataset_id, "name": "v1", "now_us": now_us},
    )
    insert_examples(tx, version_id=version_id, rows=rows, now_us=now_us)


def rename_dataset(tx: Transaction, dataset_id: str, name: str, now_us: int) -> None:
    tx.run("datasets.rename", {"id": dataset_id, "name": name, "updated_us": _next_us(tx, dataset_id, now_us)})


def delete_dataset(tx: Transaction, dataset_id: str) -> bool:
    """Delete a dataset with its versions, examples, experiments and tasks.

    Returns:
        False if there is no such dataset.
    """
    return tx.run("datasets.delete", {"id": dataset_id}) > 0


def insert_examples(tx: Transaction, *, version_id: str, rows: Mapping[str, str], now_us: int) -> None:
    """Add `rows` (example id → columns as JSON text) at the end of a version."""
    tx.run_many(
        "datasets.insert_example",
        [
            {"id": example_id, "version_id": version_id, "columns": columns, "now_us": now_us}
            for example_id, columns in rows.items()
        ],
    )


def touch_dataset(tx: Transaction, dataset_id: str, version_id: str, now_us: int) -> None:
    """Mark a dataset and one of its versions as updated."""
    updated_us = _next_us(tx, dataset_id, now_us)
    tx.run("datasets.touch", {"id": dataset_id, "updated_us": updated_us})
    tx.run("datasets.touch_version", {"id": version_id, "updated_us": updated_us})


def example_rows(
    tx: Transaction, version_id: str, after_seq: object, limit: int, row_filter: CompiledFilter = ALL_ROWS
) -> list[Row]:
    """Return the examples of a page that pass the filter and one more, in the order of creation."""
    values: dict[str, Any] = {**row_filter.values, "version_id": version_id, "after_seq": after_seq, "limit": limit + 1}
    return tx.fetch_all("datasets.examples_page", values, filter=row_filter.sql)


def copy_version(
    tx: Transaction, *, dataset_id: str, from_version_id: str, version_id: str, name: str, now_us: int
) -> None:
    """Store a new version with the examples of another one and their annotations."""
    tx.run("datasets.insert_version", {"id": version_id, "dataset_id": dataset_id, "name": name, "now_us": now_us})
    tx.run("datasets.copy_examples", {"from_version_id": from_version_id, "to_version_id": version_id})
    copy_to_version(tx, from_version_id, version_id)


def has_version_named(tx: Transaction, dataset_id: str, name: str) -> bool:
    return tx.fetch_one("datasets.version_by_name", {"dataset_id": dataset_id, "name": name}) is not None


def examples_by_id(tx: Transaction, version_id: str, ids: Iterable[str]) -> dict[str, Row]:
    """Return the rows of those examples that the version contains, by id."""
    rows = tx.fetch_all("datasets.examples_by_id", {"version_id": version_id, "ids": json.dumps(list(ids))})
    return {row["id"]: row for row in rows}


def update_examples(tx: Transaction, version_id: str, rows: Iterable[tuple[str, str, int]]) -> None:
    """Replace the columns of examples.

    Args:
        tx: The transaction.
        version_id: The version that contains them.
        rows: Example id, columns as JSON text, and time of the update in microseconds.
    """
    tx.run_many(
        "datasets.update_example",
        [{"version_id": version_id, "id": id_, "columns": columns, "updated_us": us} for id_, columns, us in rows],
    )


def unknown_example_indexes(tx: Transaction, version_id: str, ids: Sequence[str]) -> list[int]:
    """Return the indexes in `ids` of those that are not examples of the version, at most twenty."""
    rows = tx.fetch_all("datasets.unknown_examples", {"version_id": version_id, "ids": json.dumps(ids)})
    return [row["place"] for row in rows]


def delete_examples(tx: Transaction, version_id: str, ids: Iterable[str]) -> set[str]:
    """Delete examples from a version.

    Returns:
        The ids of the examples that were deleted; the version does not contain the others.
    """
    rows = tx.fetch_all("datasets.delete_examples", {"version_id": version_id, "ids": json.dumps(list(ids))})
    return {row["id"] for row in rows}


def _next_us(tx: Transaction, dataset_id: str, now_us: int) -> int:
    row = dataset_row(tx, dataset_id)
    return now_us if row is None else moved_us(row["updated_us"], now_us)
