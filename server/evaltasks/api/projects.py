"""Projects: collections of the spans of one LLM application."""

from __future__ import annotations

from evaltasks.api.wire import (
    Name,
    NamedListQuery,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    WireEnum,
)


class ProjectType(WireEnum):
    APPLICATION = "APPLICATION"
    HARNESS = "HARNESS"
    EXPERIMENT = "EXPERIMENT"


class Project(ResponseModel):
    id: str
    name: str
    space_id: str
    created_at: Timestamp
    project_type: OpenEnum[ProjectType] | None = None


class ProjectPage(Page):
    projects: list[Project]


class ListProjects(NamedListQuery):
    project_type: str | None = None


class CreateProject(RequestModel):
    name: Name
    space_id: NonBlank


class RenameProject(RequestModel):
    name: Name
