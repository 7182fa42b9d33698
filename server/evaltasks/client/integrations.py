"""Calls about the integrations of `/v2/integrations`: agents that run_experiment tasks call."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.integrations import (
    CreateIntegration,
    Integration,
    IntegrationPage,
    ListIntegrations,
    UpdateIntegration,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Integrations:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListIntegrations) -> IntegrationPage:
        return await self._call(ops.LIST_INTEGRATIONS, query=query)

    def all(self, query: ListIntegrations) -> AsyncIterator[Integration]:
        """Every integration of every page."""
        return every_item(self.list, query, lambda page: page.integrations)

    async def create(self, body: CreateIntegration) -> Integration:
        return await self._call(ops.CREATE_INTEGRATION, body=body)

    async def get(self, integration_id: str) -> Integration:
        return await self._call(ops.GET_INTEGRATION, {"integration_id": integration_id})

    async def update(self, integration_id: str, body: UpdateIntegration) -> Integration:
        return await self._call(ops.UPDATE_INTEGRATION, {"integration_id": integration_id}, body=body)

    async def delete(self, integration_id: str) -> None:
        await self._call(ops.DELETE_INTEGRATION, {"integration_id": integration_id})
