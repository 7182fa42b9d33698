"""Calls about datasets and their examples."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.datasets import (
    AppendExamples,
    DatasetVersionQuery,
    DatasetWithExampleIds,
    Example,
    ExamplePage,
    ListExamples,
    UpdateExamples,
)
from evaltasks.client.methods import Resource, all_items, one_call
from evaltasks.client.pages import ROWS_A_PAGE_MAX, every_item


class Datasets(Resource):
    """Operations on datasets and their examples.

    Updates change examples column by column, in place or into a new version; deletions change one version in place,
    and deleting the same again is harmless. Ids that the dataset does not have are ignored by updates and annotations.
    """

    list = one_call(ops.LIST_DATASETS)
    all = all_items(ops.LIST_DATASETS, lambda page: page.datasets)
    create = one_call(ops.CREATE_DATASET)
    get = one_call(ops.GET_DATASET)
    rename = one_call(ops.RENAME_DATASET)
    delete = one_call(ops.DELETE_DATASET)
    list_examples = one_call(ops.LIST_EXAMPLES)

    def all_examples(self, dataset_id: str, dataset_version_id: str | None = None) -> AsyncIterator[Example]:
        """Iterate over the examples of a version.

        Args:
            dataset_id: The id of the dataset.
            dataset_version_id: The version; by default the latest one.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came, or the list does not end.
        """

        async def fetch(query: ListExamples) -> ExamplePage:
            return await self.list_examples(dataset_id, query)

        query = ListExamples(dataset_version_id=dataset_version_id, limit=ROWS_A_PAGE_MAX)
        return every_item(fetch, query, lambda page: page.examples)

    search_examples = one_call(ops.SEARCH_EXAMPLES)

    async def append_examples(
        self, dataset_id: str, body: AppendExamples, dataset_version_id: str | None = None
    ) -> DatasetWithExampleIds:
        """Append examples to a version.

        Args:
            dataset_id: The id of the dataset.
            body: The examples.
            dataset_version_id: The version; by default the latest one.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        return await self._call(
            ops.APPEND_EXAMPLES,
            {"dataset_id": dataset_id},
            query=DatasetVersionQuery(dataset_version_id=dataset_version_id),
            body=body,
        )

    async def update_examples(
        self, dataset_id: str, body: UpdateExamples, dataset_version_id: str | None = None
    ) -> DatasetWithExampleIds:
        """Change examples column by column, in place or into a new version.

        Args:
            dataset_id: The id of the dataset.
            body: The examples with their ids; ids that the version does not have are ignored.
            dataset_version_id: The version; by default the latest one.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        return await self._call(
            ops.UPDATE_EXAMPLES,
            {"dataset_id": dataset_id},
            query=DatasetVersionQuery(dataset_version_id=dataset_version_id),
            body=body,
        )

    delete_examples = one_call(ops.DELETE_EXAMPLES)
    annotate_examples = one_call(ops.ANNOTATE_EXAMPLES)
