"""Spaces: tenancy. Names of projects, datasets, evaluators and tasks are unique inside one."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.wire import ListQuery, Moment, Name, Page, Read, Written


class Space(Read):
    id: str
    name: str
    description: str = ""
    is_private: bool = False
    created_at: Moment


class SpacePage(Page):
    spaces: list[Space]


class ListSpaces(ListQuery):
    org_id: str | None = None
    name: str | None = Field(default=None, max_length=255)


class CreateSpace(Written):
    name: Name
    organization_id: str | None = None
    description: str = Field(default="", max_length=1000)
    is_private: bool = False
