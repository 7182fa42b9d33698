"""Experiments and experiment runs. An experiment run is the output for ONE example."""

from __future__ import annotations

from evaltasks.api.experiments import (
    AppendExperimentRuns,
    CreateExperiment,
    Experiment,
    ExperimentPage,
    ExperimentRunPage,
    ExperimentWithRunIds,
    ListExperimentRuns,
    ListExperiments,
    SearchExperimentRuns,
)
from evaltasks.api.problems import BadRequest, NotFound, Unprocessable
from evaltasks.api.wire import JsonObject
from evaltasks.engine.call import Call
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.handlers import creation
from evaltasks.engine.handlers.datasets import require_dataset
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import experiments
from evaltasks.engine.store.experiments import NewExperimentRun
from evaltasks.engine.store.store import Row, Transaction

_NAMED_FIELDS = frozenset({"example_id", "output", "error"})


def require_experiment(tx: Transaction, experiment_id: str) -> Experiment:
    """Return the experiment with this id. Raises NotFound if there is none."""
    experiment = experiments.find_experiment(tx, experiment_id)
    if experiment is None:
        raise NotFound("There is no experiment with this id.")
    return experiment


async def list_experiments(call: Call) -> ExperimentPage:
    """List experiments, newest first. A dataset or space that does not exist is a 404, not an empty list."""
    query = call.query(ListExperiments)
    scope = scope_of("experiments", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.dataset_id is not None:
            require_dataset(tx, query.dataset_id)
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return experiments.experiment_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return ExperimentPage(experiments=[experiments.experiment_from_row(row) for row in page], pagination=pagination)


async def create_experiment(call: Call) -> Experiment:
    """Create an experiment on the latest version of a dataset, or stand-alone in a space.

    Example ids are not checked, as in AX.
    """
    body, services = call.body(CreateExperiment), call.services
    runs = _new_runs(call, body.experiment_runs)

    def work(tx: Transaction) -> Experiment:
        dataset = require_dataset(tx, body.dataset_id) if body.dataset_id else None
        space_id = dataset.space_id if dataset is not None else require_space(tx, body.space_id or "").id
        experiment_id = creation.create_experiment(
            tx, services, space_id=space_id, dataset=dataset, name=body.name, runs=runs
        )
        return require_experiment(tx, experiment_id)

    return await services.store.write(work)


async def get_experiment(call: Call) -> Experiment:
    """Get an experiment."""
    return await call.services.store.read_by_key(lambda tx: require_experiment(tx, call.path["experiment_id"]))


async def delete_experiment(call: Call) -> None:
    """Delete an experiment with its experiment runs and their evaluations."""

    def work(tx: Transaction) -> None:
        experiments.delete_experiment(tx, require_experiment(tx, call.path["experiment_id"]).id)

    await call.services.store.write(work)


async def list_experiment_runs(call: Call) -> ExperimentRunPage:
    """List experiment runs in the order of insertion."""
    query = call.query(ListExperimentRuns)

    def work(tx: Transaction) -> ExperimentRunPage:
        experiment = require_experiment(tx, call.path["experiment_id"])
        scope = scope_of("experiment_runs", query, experiment.id)
        (after_seq,) = key_from(scope, query.cursor, [0])
        rows = experiments.experiment_run_rows(tx, experiment.id, after_seq, query.limit)
        page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
        return ExperimentRunPage(experiment_runs=experiments.experiment_runs_from_rows(tx, page), pagination=pagination)

    return await call.services.store.read(work)


async def search_experiment_runs(call: Call) -> ExperimentRunPage:
    """List the experiment runs that pass a filter, or all without one, sorted by id."""
    query = call.body(SearchExperimentRuns)
    if query.filter is not None and not query.filter.strip():
        raise BadRequest("filter is blank; omit it to list all experiment runs.")
    compiled = ALL_ROWS if query.filter is None else compile_filter(query.filter, Target.EXPERIMENT_RUN)

    def work(tx: Transaction) -> ExperimentRunPage:
        experiment = require_experiment(tx, call.path["experiment_id"])
        scope = scope_of("found_experiment_runs", query, experiment.id)
        (after_id,) = key_from(scope, query.cursor, [""])
        rows = experiments.filtered_experiment_run_rows(tx, experiment.id, after_id, query.limit, compiled)
        page, pagination = paginate(rows, query.limit, scope, lambda row: [row["id"]])
        return ExperimentRunPage(experiment_runs=experiments.experiment_runs_from_rows(tx, page), pagination=pagination)

    return await call.services.store.read(work)


async def append_experiment_runs(call: Call) -> ExperimentWithRunIds:
    """Add experiment runs. If the experiment has a dataset, each row needs an example_id."""
    body, services = call.body(AppendExperimentRuns), call.services
    runs = _new_runs(call, body.experiment_runs)

    def work(tx: Transaction) -> ExperimentWithRunIds:
        experiment = require_experiment(tx, call.path["experiment_id"])
        if experiment.dataset_id is not None:
            for index, run in enumerate(runs):
                if not run.example_id:
                    raise Unprocessable(
                        f"experiment_runs[{index}].example_id is required, because the experiment has a dataset"
                    )
        creation.append_experiment_runs(tx, services, experiment.id, runs)
        changed = require_experiment(tx, experiment.id)
        return ExperimentWithRunIds(**changed.model_dump(), run_ids=[run.id for run in runs])

    return await services.store.write(work)


def _new_runs(call: Call, rows: list[JsonObject]) -> list[NewExperimentRun]:
    """Return the experiment runs to store. Raises what `creation.experiment_run` does."""
    return [
        creation.experiment_run(
            row,
            f"experiment_runs[{index}]",
            run_id=call.services.new_row_id(),
            output=row["output"],
            further={name: value for name, value in row.items() if name not in _NAMED_FIELDS},
        )
        for index, row in enumerate(rows)
    ]
