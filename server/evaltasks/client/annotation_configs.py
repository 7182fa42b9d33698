"""Calls about annotation configs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.annotation_configs import (
    AnnotationConfig,
    AnnotationConfigPage,
    CreateAnnotationConfig,
    ListAnnotationConfigs,
    UpdateAnnotationConfig,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class AnnotationConfigs:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListAnnotationConfigs) -> AnnotationConfigPage:
        return await self._call(ops.LIST_ANNOTATION_CONFIGS, query=query)

    def all(self, query: ListAnnotationConfigs) -> AsyncIterator[AnnotationConfig]:
        """Every annotation config of every page."""
        return every_item(self.list, query, lambda page: page.annotation_configs)

    async def create(self, body: CreateAnnotationConfig) -> AnnotationConfig:
        return await self._call(ops.CREATE_ANNOTATION_CONFIG, body=body)

    async def get(self, config_id: str) -> AnnotationConfig:
        return await self._call(ops.GET_ANNOTATION_CONFIG, {"annotation_config_id": config_id})

    async def update(self, config_id: str, body: UpdateAnnotationConfig) -> AnnotationConfig:
        return await self._call(ops.UPDATE_ANNOTATION_CONFIG, {"annotation_config_id": config_id}, body=body)

    async def delete(self, config_id: str) -> None:
        await self._call(ops.DELETE_ANNOTATION_CONFIG, {"annotation_config_id": config_id})
