"""Calls about datasets and their examples."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.annotations import AnnotateRows
from evaltasks.api.datasets import (
    AppendExamples,
    CreateDataset,
    Dataset,
    DatasetPage,
    DatasetVersionQuery,
    DatasetWithExampleIds,
    DeletedExamples,
    DeleteExamples,
    Example,
    ExamplePage,
    ListDatasets,
    ListExamples,
    RenameDataset,
    SearchExamples,
    UpdateExamples,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import ROWS_A_PAGE_MAX, every_item


class Datasets:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListDatasets) -> DatasetPage:
        return await self._call(ops.LIST_DATASETS, query=query)

    def all(self, query: ListDatasets) -> AsyncIterator[Dataset]:
        """Every dataset of every page."""
        return every_item(self.list, query, lambda page: page.datasets)

    async def create(self, body: CreateDataset) -> Dataset:
        return await self._call(ops.CREATE_DATASET, body=body)

    async def get(self, dataset_id: str) -> Dataset:
        return await self._call(ops.GET_DATASET, {"dataset_id": dataset_id})

    async def rename(self, dataset_id: str, body: RenameDataset) -> Dataset:
        return await self._call(ops.RENAME_DATASET, {"dataset_id": dataset_id}, body=body)

    async def delete(self, dataset_id: str) -> None:
        await self._call(ops.DELETE_DATASET, {"dataset_id": dataset_id})

    async def list_examples(self, dataset_id: str, query: ListExamples) -> ExamplePage:
        return await self._call(ops.LIST_EXAMPLES, {"dataset_id": dataset_id}, query=query)

    def all_examples(self, dataset_id: str, dataset_version_id: str | None = None) -> AsyncIterator[Example]:
        """Every example of a version, the latest unless one is given."""

        async def fetch(query: ListExamples) -> ExamplePage:
            return await self.list_examples(dataset_id, query)

        query = ListExamples(dataset_version_id=dataset_version_id, limit=ROWS_A_PAGE_MAX)
        return every_item(fetch, query, lambda page: page.examples)

    async def search_examples(self, dataset_id: str, body: SearchExamples) -> ExamplePage:
        return await self._call(ops.SEARCH_EXAMPLES, {"dataset_id": dataset_id}, body=body)

    async def append_examples(
        self, dataset_id: str, body: AppendExamples, dataset_version_id: str | None = None
    ) -> DatasetWithExampleIds:
        return await self._call(
            ops.APPEND_EXAMPLES,
            {"dataset_id": dataset_id},
            query=DatasetVersionQuery(dataset_version_id=dataset_version_id),
            body=body,
        )

    async def update_examples(
        self, dataset_id: str, body: UpdateExamples, dataset_version_id: str | None = None
    ) -> DatasetWithExampleIds:
        """Column by column, in place or into a new version. Ids the version does not hold are ignored."""
        return await self._call(
            ops.UPDATE_EXAMPLES,
            {"dataset_id": dataset_id},
            query=DatasetVersionQuery(dataset_version_id=dataset_version_id),
            body=body,
        )

    async def delete_examples(self, dataset_id: str, body: DeleteExamples) -> DeletedExamples:
        """From one version, in place. Deleting the same again is harmless."""
        return await self._call(ops.DELETE_EXAMPLES, {"dataset_id": dataset_id}, body=body)

    async def annotate_examples(self, dataset_id: str, body: AnnotateRows) -> None:
        """Ids that name no example of the dataset are ignored."""
        await self._call(ops.ANNOTATE_EXAMPLES, {"dataset_id": dataset_id}, body=body)
