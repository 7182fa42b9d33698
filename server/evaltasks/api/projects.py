"""Projects: each holds the spans of one LLM application."""

from __future__ import annotations

from evaltasks.api.wire import Lenient, Moment, Name, NamedListQuery, NonBlank, Page, Read, WireEnum, Written


class ProjectType(WireEnum):
    APPLICATION = "APPLICATION"
    HARNESS = "HARNESS"
    EXPERIMENT = "EXPERIMENT"


class Project(Read):
    id: str
    name: str
    space_id: str
    created_at: Moment
    project_type: Lenient[ProjectType] | None = None


class ProjectPage(Page):
    projects: list[Project]


class ListProjects(NamedListQuery):
    project_type: str | None = None


class CreateProject(Written):
    name: Name
    space_id: NonBlank


class RenameProject(Written):
    name: Name
