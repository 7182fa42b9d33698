"""Projects."""

from __future__ import annotations

from evaltasks.api.problems import BadRequest, Conflict, NotFound
from evaltasks.api.projects import CreateProject, ListProjects, Project, ProjectPage, ProjectType, RenameProject
from evaltasks.engine.call import Call
from evaltasks.engine.handlers import creation
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import projects
from evaltasks.engine.store.store import Row, Transaction


def require_project(tx: Transaction, project_id: str) -> Project:
    """Return the project with this id. Raises NotFound if there is none."""
    project = projects.find_project(tx, project_id)
    if project is None:
        raise NotFound("There is no project with this id.")
    return project


async def list_projects(call: Call) -> ProjectPage:
    """List projects, newest first."""
    query = call.query(ListProjects)
    if query.project_type is not None and query.project_type.upper() not in set(ProjectType):
        raise BadRequest(f"query parameter project_type: expected one of {', '.join(ProjectType)}.")
    scope = scope_of("projects", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return projects.project_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return ProjectPage(projects=[projects.project_from_row(row) for row in page], pagination=pagination)


async def get_project(call: Call) -> Project:
    """Get a project."""
    return await call.services.store.read_by_key(lambda tx: require_project(tx, call.path["project_id"]))


async def create_project(call: Call) -> Project:
    """Create a project. Its name must be unique in the space."""
    body, services = call.body(CreateProject), call.services

    def work(tx: Transaction) -> Project:
        require_space(tx, body.space_id)
        _refuse_name_in_use(tx, body.space_id, body.name)
        return creation.create_project(tx, services, body.space_id, body.name)

    return await services.store.write(work)


async def rename_project(call: Call) -> Project:
    """Rename a project. The name must be unique in the space."""
    name = call.body(RenameProject).name

    def work(tx: Transaction) -> Project:
        project = require_project(tx, call.path["project_id"])
        if name != project.name:
            _refuse_name_in_use(tx, project.space_id, name)
        projects.rename_project(tx, project.id, name)
        return require_project(tx, project.id)

    return await call.services.store.write(work)


async def delete_project(call: Call) -> None:
    """Delete a project with its spans, their evaluations, its tasks and their task runs."""

    def work(tx: Transaction) -> None:
        projects.delete_project(tx, require_project(tx, call.path["project_id"]).id)

    await call.services.store.write(work)


def _refuse_name_in_use(tx: Transaction, space_id: str, name: str) -> None:
    if projects.find_project_by_name(tx, space_id, name) is not None:
        raise Conflict("A project with this name already exists in the space; choose another name.")
