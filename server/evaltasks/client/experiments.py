"""Calls about experiments and their experiment runs (one run is one example's output)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.annotations import AnnotateRows
from evaltasks.api.experiments import (
    AppendExperimentRuns,
    CreateExperiment,
    Experiment,
    ExperimentPage,
    ExperimentRun,
    ExperimentRunPage,
    ExperimentWithRunIds,
    ListExperimentRuns,
    ListExperiments,
    SearchExperimentRuns,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Experiments:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListExperiments) -> ExperimentPage:
        return await self._call(ops.LIST_EXPERIMENTS, query=query)

    def all(self, query: ListExperiments) -> AsyncIterator[Experiment]:
        """Every experiment of every page."""
        return every_item(self.list, query, lambda page: page.experiments)

    async def create(self, body: CreateExperiment) -> Experiment:
        return await self._call(ops.CREATE_EXPERIMENT, body=body)

    async def get(self, experiment_id: str) -> Experiment:
        return await self._call(ops.GET_EXPERIMENT, {"experiment_id": experiment_id})

    async def delete(self, experiment_id: str) -> None:
        await self._call(ops.DELETE_EXPERIMENT, {"experiment_id": experiment_id})

    async def list_experiment_runs(self, experiment_id: str, query: ListExperimentRuns) -> ExperimentRunPage:
        return await self._call(ops.LIST_EXPERIMENT_RUNS, {"experiment_id": experiment_id}, query=query)

    def all_experiment_runs(self, experiment_id: str) -> AsyncIterator[ExperimentRun]:
        """Every experiment run of the experiment."""

        async def fetch(query: ListExperimentRuns) -> ExperimentRunPage:
            return await self.list_experiment_runs(experiment_id, query)

        return every_item(fetch, ListExperimentRuns(), lambda page: page.experiment_runs)

    async def search_experiment_runs(self, experiment_id: str, body: SearchExperimentRuns) -> ExperimentRunPage:
        return await self._call(ops.SEARCH_EXPERIMENT_RUNS, {"experiment_id": experiment_id}, body=body)

    async def append_experiment_runs(self, experiment_id: str, body: AppendExperimentRuns) -> ExperimentWithRunIds:
        return await self._call(ops.APPEND_EXPERIMENT_RUNS, {"experiment_id": experiment_id}, body=body)

    async def annotate_experiment_runs(self, experiment_id: str, body: AnnotateRows) -> None:
        """Ids that name no run of the experiment are ignored."""
        await self._call(ops.ANNOTATE_EXPERIMENT_RUNS, {"experiment_id": experiment_id}, body=body)
