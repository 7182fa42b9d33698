"""Projects in the store."""

from __future__ import annotations

from evaltasks.api.projects import ListProjects, Project, ProjectType
from evaltasks.engine.clock import from_us
from evaltasks.engine.store.store import Row, Transaction


def project_from_row(row: Row) -> Project:
    return Project(
        id=row["id"],
        name=row["name"],
        space_id=row["space_id"],
        created_at=from_us(row["created_us"]),
        project_type=row["project_type"],
    )


def project_rows(tx: Transaction, query: ListProjects, before_seq: object) -> list[Row]:
    """Return the projects of a page and one more, newest first."""
    return tx.fetch_all(
        "projects.page",
        {
            "space_id": query.space_id,
            "space_name": query.space_name,
            "name": query.name,
            "project_type": query.project_type and query.project_type.upper(),
            "before_seq": before_seq,
            "limit": query.limit + 1,
        },
    )


def find_project(tx: Transaction, project_id: str) -> Project | None:
    row = tx.fetch_one("projects.by_id", {"id": project_id})
    return None if row is None else project_from_row(row)


def find_project_by_name(tx: Transaction, space_id: str, name: str) -> Project | None:
    row = tx.fetch_one("projects.by_name", {"space_id": space_id, "name": name})
    return None if row is None else project_from_row(row)


def insert_project(
    tx: Transaction,
    *,
    project_id: str,
    space_id: str,
    name: str,
    created_us: int,
    project_type: ProjectType = ProjectType.APPLICATION,
) -> None:
    """Store a new, empty project. Its name must not be in use in its space."""
    tx.run(
        "projects.insert",
        {
            "id": project_id,
            "space_id": space_id,
            "name": name,
            "project_type": project_type.value,
            "created_us": created_us,
        },
    )


def rename_project(tx: Transaction, project_id: str, name: str) -> None:
    tx.run("projects.rename", {"id": project_id, "name": name})


def delete_project(tx: Transaction, project_id: str) -> None:
    """Delete a project with its spans, their evaluations and its tasks."""
    tx.run("projects.delete", {"id": project_id})
