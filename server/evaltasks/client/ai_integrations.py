"""Calls about AI integrations. Keys go in and never come back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.ai_integrations import (
    AiIntegration,
    AiIntegrationPage,
    CreateAiIntegration,
    ListAiIntegrations,
    UpdateAiIntegration,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class AiIntegrations:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListAiIntegrations) -> AiIntegrationPage:
        return await self._call(ops.LIST_AI_INTEGRATIONS, query=query)

    def all(self, query: ListAiIntegrations) -> AsyncIterator[AiIntegration]:
        """Every AI integration of every page."""
        return every_item(self.list, query, lambda page: page.ai_integrations)

    async def create(self, body: CreateAiIntegration) -> AiIntegration:
        return await self._call(ops.CREATE_AI_INTEGRATION, body=body)

    async def get(self, integration_id: str) -> AiIntegration:
        return await self._call(ops.GET_AI_INTEGRATION, {"integration_id": integration_id})

    async def update(self, integration_id: str, body: UpdateAiIntegration) -> AiIntegration:
        return await self._call(ops.UPDATE_AI_INTEGRATION, {"integration_id": integration_id}, body=body)

    async def delete(self, integration_id: str) -> None:
        await self._call(ops.DELETE_AI_INTEGRATION, {"integration_id": integration_id})
