"""Calls about spaces."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.spaces import CreateSpace, ListSpaces, Space, SpacePage, UpdateSpace
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Spaces:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListSpaces) -> SpacePage:
        return await self._call(ops.LIST_SPACES, query=query)

    def all(self, query: ListSpaces) -> AsyncIterator[Space]:
        """Every space of every page."""
        return every_item(self.list, query, lambda page: page.spaces)

    async def get(self, space_id: str) -> Space:
        return await self._call(ops.GET_SPACE, {"space_id": space_id})

    async def create(self, body: CreateSpace) -> Space:
        return await self._call(ops.CREATE_SPACE, body=body)

    async def update(self, space_id: str, body: UpdateSpace) -> Space:
        return await self._call(ops.UPDATE_SPACE, {"space_id": space_id}, body=body)

    async def delete(self, space_id: str) -> None:
        """With everything in it."""
        await self._call(ops.DELETE_SPACE, {"space_id": space_id})
