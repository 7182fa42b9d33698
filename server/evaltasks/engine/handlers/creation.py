"""Creates projects, datasets and experiments, for all transports: REST handlers, Arrow Flight and telemetry.

Every function runs in the transaction of its caller, who has checked that the space or dataset exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evaltasks.api.datasets import Dataset
from evaltasks.api.problems import Conflict, Unprocessable
from evaltasks.api.projects import Project, ProjectType
from evaltasks.api.wire import JsonObject
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.columns import columns_text
from evaltasks.engine.store import datasets, experiments, projects
from evaltasks.engine.store.experiments import NewExperimentRun
from evaltasks.engine.store.store import Transaction


def create_project(
    tx: Transaction, services: Services, space_id: str, name: str, type_: ProjectType = ProjectType.APPLICATION
) -> Project:
    """Create an empty project; the caller has checked that no project of the space has this name."""
    project_id = services.new_id("Model")
    projects.insert_project(
        tx,
        project_id=project_id,
        space_id=space_id,
        name=name,
        created_us=to_us(services.clock.now()),
        project_type=type_,
    )
    project = projects.find_project(tx, project_id)
    assert project is not None
    return project


def create_dataset(tx: Transaction, services: Services, space_id: str, name: str, rows: Mapping[str, str]) -> str:
    """Create a dataset with its first version.

    Args:
        tx: The transaction.
        services: The source of ids and of the time.
        space_id: The space of the dataset.
        name: The name, unique in the space.
        rows: Example id → columns as JSON text, in the order of the examples.

    Returns:
        The id of the dataset.

    Raises:
        Conflict: A dataset of the space has this name.
    """
    refuse_dataset_name_in_use(tx, space_id, name)
    dataset_id, version_id = services.new_id("Dataset"), services.new_id("DatasetVersion")
    datasets.insert_dataset(
        tx,
        dataset_id=dataset_id,
        version_id=version_id,
        space_id=space_id,
        name=name,
        rows=rows,
        now_us=to_us(services.clock.now()),
    )
    return dataset_id


def refuse_dataset_name_in_use(tx: Transaction, space_id: str, name: str) -> None:
    """Raise Conflict if a dataset of the space has this name."""
    if datasets.find_dataset_by_name(tx, space_id, name) is not None:
        raise Conflict("A dataset with this name already exists in the space; choose another name.")


def create_experiment(
    tx: Transaction,
    services: Services,
    *,
    space_id: str,
    dataset: Dataset | None,
    name: str,
    runs: Iterable[NewExperimentRun] = (),
) -> str:
    """Create an experiment on the latest version of a dataset, or a stand-alone one.

    Args:
        tx: The transaction.
        services: The source of ids and of the time.
        space_id: The space of the experiment.
        dataset: The dataset; None for a stand-alone experiment.
        name: The name, unique among the experiments of the dataset or the stand-alone ones of the space.
        runs: The first experiment runs.

    Returns:
        The id of the experiment.

    Raises:
        Conflict: Another experiment there has this name.
    """
    dataset_id = version_id = None
    if dataset is not None:
        version = datasets.find_version(tx, dataset.id, None)
        dataset_id, version_id = dataset.id, None if version is None else version.id
    if experiments.find_experiment_by_name(tx, space_id=space_id, dataset_id=dataset_id, name=name) is not None:
        where = "the dataset" if dataset is not None else "the space's stand-alone experiments"
        raise Conflict(f"An experiment with this name already exists in {where}; choose another name.")
    experiment_id, now_us = services.new_id("Experiment"), to_us(services.clock.now())
    experiments.insert_experiment(
        tx,
        experiment_id=experiment_id,
        space_id=space_id,
        name=name,
        now_us=now_us,
        dataset_id=dataset_id,
        dataset_version_id=version_id,
    )
    experiments.insert_experiment_runs(tx, experiment_id, runs, now_us)
    return experiment_id


def append_experiment_runs(
    tx: Transaction, services: Services, experiment_id: str, runs: Iterable[NewExperimentRun]
) -> None:
    """Add experiment runs at the end of an experiment and mark it as updated."""
    now_us = to_us(services.clock.now())
    experiments.insert_experiment_runs(tx, experiment_id, runs, now_us)
    experiments.touch_experiment(tx, experiment_id, now_us)


def experiment_run(
    row: JsonObject, where: str, *, run_id: str, output: str | None, further: JsonObject
) -> NewExperimentRun:
    """Return the experiment run to store.

    Args:
        row: What the client sent; `example_id` and `error` are read from it.
        where: The place of the row in the request, for messages.
        run_id: The id of the experiment run.
        output: Its output.
        further: The columns to store besides.

    Raises:
        Unprocessable: `example_id` or `error` is not a string.
        BadRequest: A column holds NaN or an infinite number.
    """
    for field in ("example_id", "error"):
        if not isinstance(row.get(field), str | None):
            raise Unprocessable(f"{where}.{field} must be a string.")
    return NewExperimentRun(
        id=run_id,
        output=output,
        example_id=row.get("example_id"),
        error=row.get("error"),
        columns=columns_text(further, where),
    )
