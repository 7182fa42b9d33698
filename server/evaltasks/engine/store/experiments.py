"""Experiments and their runs in the store.

An experiment run is read with the evaluations that the engine recorded on it, as flat columns `eval.<name>.label`,
`.score` and `.explanation`. They replace columns of the same name that the client stored with the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.experiments import Experiment, ExperimentRun, ListExperiments
from evaltasks.engine.clock import from_us
from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter
from evaltasks.engine.store.annotations import annotations_for
from evaltasks.engine.store.store import Row, Transaction

_RESULT_FIELDS = ("label", "score", "explanation")


@dataclass(frozen=True, slots=True)
class NewExperimentRun:
    """An experiment run to store; `columns` is the JSON text of everything but the three named fields."""

    id: str
    output: str | None
    example_id: str | None = None
    error: str | None = None
    columns: str = "{}"


def experiment_from_row(row: Row) -> Experiment:
    return Experiment(
        id=row["id"],
        name=row["name"],
        space_id=row["space_id"],
        created_at=from_us(row["created_us"]),
        updated_at=from_us(row["updated_us"]),
        dataset_id=row["dataset_id"],
        dataset_version_id=row["dataset_version_id"],
        integration_id=row["integration_id"],
    )


def experiment_rows(tx: Transaction, query: ListExperiments, before_seq: object) -> list[Row]:
    """Return the experiments of a page and one more, newest first."""
    selectors = query.model_dump(exclude={"limit", "cursor"})
    return tx.fetch_all("experiments.page", {**selectors, "before_seq": before_seq, "limit": query.limit + 1})


def find_experiment(tx: Transaction, experiment_id: str) -> Experiment | None:
    row = tx.fetch_one("experiments.by_id", {"id": experiment_id})
    return None if row is None else experiment_from_row(row)


def find_experiment_by_name(tx: Transaction, *, space_id: str, dataset_id: str | None, name: str) -> Experiment | None:
    """Return the experiment of this name on the dataset, or among the stand-alone ones of the space if that is None."""
    if dataset_id is not None:
        row = tx.fetch_one("experiments.by_name_in_dataset", {"dataset_id": dataset_id, "name": name})
    else:
        row = tx.fetch_one("experiments.by_name_in_space", {"space_id": space_id, "name": name})
    return None if row is None else experiment_from_row(row)


def has_experiment_named(tx: Transaction, dataset_id: str, name: str) -> bool:
    """Return True if the dataset has an experiment of this name."""
    return tx.fetch_one("experiments.by_name_in_dataset", {"dataset_id": dataset_id, "name": name}) is not None


def insert_experiment(
    tx: Transaction,
    *,
    experiment_id: str,
    space_id: str,
    name: str,
    now_us: int,
    dataset_id: str | None = None,
    dataset_version_id: str | None = None,
    integration_id: str | None = None,
) -> None:
    tx.run(
        "experiments.insert",
        {
            "id": experiment_id,
            "space_id": space_id,
            "dataset_id": dataset_id,
            "dataset_version_id": dataset_version_id,
            "name": name,
            "integration_id": integration_id,
            "now_us": now_us,
        },
    )


def insert_experiment_runs(tx: Transaction, experiment_id: str, rows: Iterable[NewExperimentRun], now_us: int) -> None:
    tx.run_many(
        "experiments.insert_run",
        [
            {
                "id": row.id,
                "experiment_id": experiment_id,
                "example_id": row.example_id,
                "output": row.output,
                "error": row.error,
                "columns": row.columns,
                "now_us": now_us,
            }
            for row in rows
        ],
    )


def touch_experiment(tx: Transaction, experiment_id: str, now_us: int) -> None:
    """Mark an experiment as updated."""
    tx.run("experiments.touch", {"id": experiment_id, "now_us": now_us})


def delete_experiment(tx: Transaction, experiment_id: str) -> bool:
    """Delete an experiment with its experiment runs and their evaluations.

    Returns:
        False if there is no such experiment.
    """
    return tx.run("experiments.delete", {"id": experiment_id}) > 0


def experiment_run_rows(tx: Transaction, experiment_id: str, after_seq: object, limit: int) -> list[Row]:
    """Return the experiment runs of a page and one more, in the order of insertion."""
    return tx.fetch_all(
        "experiments.runs_page", {"experiment_id": experiment_id, "after_seq": after_seq, "limit": limit + 1}
    )


def filtered_experiment_run_rows(
    tx: Transaction, experiment_id: str, after_id: object, limit: int, row_filter: CompiledFilter = ALL_ROWS
) -> list[Row]:
    """Return the experiment runs of a page that pass the filter and one more, sorted by id."""
    values: dict[str, Any] = {"experiment_id": experiment_id, "after_id": after_id, "limit": limit + 1}
    return tx.fetch_all("experiments.runs_search", {**row_filter.values, **values}, filter=row_filter.sql)


def experiment_runs_from_rows(tx: Transaction, rows: Sequence[Row]) -> list[ExperimentRun]:
    """Return the experiment runs of these rows with their evaluations and annotations."""
    columns_by_seq: dict[int, dict[str, object]] = {}
    for evaluation in tx.fetch_all("experiments.evaluations", {"seqs": json.dumps([row["seq"] for row in rows])}):
        columns = columns_by_seq.setdefault(evaluation["row_seq"], {})
        columns.update({f"eval.{evaluation['name']}.{field}": evaluation[field] for field in _RESULT_FIELDS})
    for seq, row_annotations in annotations_for(tx, "experiment_run", [row["seq"] for row in rows]).items():
        columns_by_seq.setdefault(seq, {})["annotations"] = [each.model_dump(mode="json") for each in row_annotations]
    return [_experiment_run_from_row(row, columns_by_seq.get(row["seq"], {})) for row in rows]


def _experiment_run_from_row(row: Row, more_columns: dict[str, object]) -> ExperimentRun:
    named = {field: row[field] for field in ("id", "example_id", "output", "error")}
    return ExperimentRun.model_validate({**json.loads(row["columns"]), **more_columns, **named})
