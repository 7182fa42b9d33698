"""Calls about experiments and their experiment runs (one run is one example's output)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.experiments import (
    ExperimentRun,
    ExperimentRunPage,
    ListExperimentRuns,
)
from evaltasks.client.methods import Resource, all_items, one_call
from evaltasks.client.pages import every_item


class Experiments(Resource):
    """Operations on experiments and their experiment runs. Annotations ignore ids that the experiment does not have."""

    list = one_call(ops.LIST_EXPERIMENTS)
    all = all_items(ops.LIST_EXPERIMENTS, lambda page: page.experiments)
    create = one_call(ops.CREATE_EXPERIMENT)
    get = one_call(ops.GET_EXPERIMENT)
    delete = one_call(ops.DELETE_EXPERIMENT)
    list_experiment_runs = one_call(ops.LIST_EXPERIMENT_RUNS)

    def all_experiment_runs(self, experiment_id: str) -> AsyncIterator[ExperimentRun]:
        """Iterate over the experiment runs of an experiment.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came, or the list does not end.
        """

        async def fetch(query: ListExperimentRuns) -> ExperimentRunPage:
            return await self.list_experiment_runs(experiment_id, query)

        return every_item(fetch, ListExperimentRuns(), lambda page: page.experiment_runs)

    search_experiment_runs = one_call(ops.SEARCH_EXPERIMENT_RUNS)
    append_experiment_runs = one_call(ops.APPEND_EXPERIMENT_RUNS)
    annotate_experiment_runs = one_call(ops.ANNOTATE_EXPERIMENT_RUNS)
