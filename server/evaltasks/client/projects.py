"""Calls about projects."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.projects import CreateProject, ListProjects, Project, ProjectPage, RenameProject
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Projects:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListProjects) -> ProjectPage:
        return await self._call(ops.LIST_PROJECTS, query=query)

    def all(self, query: ListProjects) -> AsyncIterator[Project]:
        """Every project of every page."""
        return every_item(self.list, query, lambda page: page.projects)

    async def create(self, body: CreateProject) -> Project:
        return await self._call(ops.CREATE_PROJECT, body=body)

    async def get(self, project_id: str) -> Project:
        return await self._call(ops.GET_PROJECT, {"project_id": project_id})

    async def rename(self, project_id: str, body: RenameProject) -> Project:
        return await self._call(ops.RENAME_PROJECT, {"project_id": project_id}, body=body)

    async def delete(self, project_id: str) -> None:
        await self._call(ops.DELETE_PROJECT, {"project_id": project_id})
