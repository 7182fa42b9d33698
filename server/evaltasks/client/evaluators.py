"""Calls about evaluators, their versions and the catalogue of templates."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.evaluators import (
    CreateEvaluator,
    CreateEvaluatorVersion,
    DeletedEvaluatorVersions,
    DeleteEvaluatorVersions,
    Evaluator,
    EvaluatorPage,
    EvaluatorTemplates,
    EvaluatorVersion,
    EvaluatorVersionPage,
    EvaluatorWithVersion,
    GetEvaluator,
    ListEvaluators,
    ListEvaluatorVersions,
    UpdateEvaluator,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Evaluators:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListEvaluators) -> EvaluatorPage:
        return await self._call(ops.LIST_EVALUATORS, query=query)

    def all(self, query: ListEvaluators) -> AsyncIterator[Evaluator]:
        """Every evaluator of every page."""
        return every_item(self.list, query, lambda page: page.evaluators)

    async def create(self, body: CreateEvaluator) -> EvaluatorWithVersion:
        return await self._call(ops.CREATE_EVALUATOR, body=body)

    async def get(self, evaluator_id: str, version_id: str | None = None) -> EvaluatorWithVersion:
        """The evaluator with its latest version, or with the one asked for."""
        return await self._call(
            ops.GET_EVALUATOR, {"evaluator_id": evaluator_id}, query=GetEvaluator(version_id=version_id)
        )

    async def update(self, evaluator_id: str, body: UpdateEvaluator) -> Evaluator:
        return await self._call(ops.UPDATE_EVALUATOR, {"evaluator_id": evaluator_id}, body=body)

    async def delete(self, evaluator_id: str) -> None:
        await self._call(ops.DELETE_EVALUATOR, {"evaluator_id": evaluator_id})

    async def list_versions(self, evaluator_id: str, query: ListEvaluatorVersions) -> EvaluatorVersionPage:
        return await self._call(ops.LIST_EVALUATOR_VERSIONS, {"evaluator_id": evaluator_id}, query=query)

    def all_versions(self, evaluator_id: str) -> AsyncIterator[EvaluatorVersion]:
        """Every version of the evaluator."""

        async def fetch(query: ListEvaluatorVersions) -> EvaluatorVersionPage:
            return await self.list_versions(evaluator_id, query)

        return every_item(fetch, ListEvaluatorVersions(), lambda page: page.evaluator_versions)

    async def create_version(self, evaluator_id: str, body: CreateEvaluatorVersion) -> EvaluatorVersion:
        return await self._call(ops.CREATE_EVALUATOR_VERSION, {"evaluator_id": evaluator_id}, body=body)

    async def delete_versions(self, evaluator_id: str, body: DeleteEvaluatorVersions) -> DeletedEvaluatorVersions:
        return await self._call(ops.DELETE_EVALUATOR_VERSIONS, {"evaluator_id": evaluator_id}, body=body)

    async def get_version(self, version_id: str) -> EvaluatorVersion:
        return await self._call(ops.GET_EVALUATOR_VERSION, {"version_id": version_id})

    async def list_templates(self) -> EvaluatorTemplates:
        return await self._call(ops.LIST_EVALUATOR_TEMPLATES)
