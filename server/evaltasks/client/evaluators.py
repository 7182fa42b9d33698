"""Calls about evaluators, their versions and the catalogue of templates."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.evaluators import (
    EvaluatorVersion,
    EvaluatorVersionPage,
    EvaluatorWithVersion,
    GetEvaluator,
    ListEvaluatorVersions,
)
from evaltasks.client.methods import Resource, all_items, one_call
from evaltasks.client.pages import every_item


class Evaluators(Resource):
    """Operations on evaluators, their versions and the catalogue of templates."""

    list = one_call(ops.LIST_EVALUATORS)
    all = all_items(ops.LIST_EVALUATORS, lambda page: page.evaluators)
    create = one_call(ops.CREATE_EVALUATOR)

    async def get(self, evaluator_id: str, version_id: str | None = None) -> EvaluatorWithVersion:
        """Return an evaluator with one of its versions.

        Args:
            evaluator_id: The id of the evaluator.
            version_id: The version; by default the latest one.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        return await self._call(
            ops.GET_EVALUATOR, {"evaluator_id": evaluator_id}, query=GetEvaluator(version_id=version_id)
        )

    update = one_call(ops.UPDATE_EVALUATOR)
    delete = one_call(ops.DELETE_EVALUATOR)
    list_versions = one_call(ops.LIST_EVALUATOR_VERSIONS)

    def all_versions(self, evaluator_id: str) -> AsyncIterator[EvaluatorVersion]:
        """Iterate over the versions of an evaluator.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came, or the list does not end.
        """

        async def fetch(query: ListEvaluatorVersions) -> EvaluatorVersionPage:
            return await self.list_versions(evaluator_id, query)

        return every_item(fetch, ListEvaluatorVersions(), lambda page: page.evaluator_versions)

    create_version = one_call(ops.CREATE_EVALUATOR_VERSION)
    delete_versions = one_call(ops.DELETE_EVALUATOR_VERSIONS)
    get_version = one_call(ops.GET_EVALUATOR_VERSION)
    list_templates = one_call(ops.LIST_EVALUATOR_TEMPLATES)
