"""Spaces in the store. The oldest one is the default space; an open engine always has one."""

from __future__ import annotations

import json

from evaltasks.api.spaces import CreateSpace, ListSpaces, Space
from evaltasks.engine.clock import from_us
from evaltasks.engine.ids import ORGANIZATION_ID
from evaltasks.engine.store.store import Row, Transaction

# Fields of the wire model that are stored together as JSON.
_SETTINGS = ("default_llm_integration", "ml_models_enabled", "gradient_start_color", "gradient_end_color")


def space_from_row(row: Row) -> Space:
    return Space(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        is_private=bool(row["is_private"]),
        created_at=from_us(row["created_us"]),
        organization_id=ORGANIZATION_ID,
        **json.loads(row["settings"]),
    )


def space_rows(tx: Transaction, query: ListSpaces, before_seq: object) -> list[Row]:
    """Return the spaces of a page and one more, newest first."""
    return tx.fetch_all("spaces.page", {"name": query.name, "before_seq": before_seq, "limit": query.limit + 1})


def find_space(tx: Transaction, space_id: str) -> Space | None:
    row = tx.fetch_one("spaces.by_id", {"id": space_id})
    return None if row is None else space_from_row(row)


def find_space_by_name(tx: Transaction, name: str) -> Space | None:
    row = tx.fetch_one("spaces.by_name", {"name": name})
    return None if row is None else space_from_row(row)


def find_default_space(tx: Transaction) -> Space | None:
    row = tx.fetch_one("spaces.first")
    return None if row is None else space_from_row(row)


def insert_space(tx: Transaction, space_id: str, body: CreateSpace, created_us: int) -> None:
    tx.run(
        "spaces.insert",
        {
            "id": space_id,
            "name": body.name,
            "description": body.description,
            "is_private": body.is_private,
            "created_us": created_us,
        },
    )


def update_space(tx: Transaction, space: Space) -> None:
    """Replace the stored fields of the space with this id. Its name must not be in use."""
    settings = space.model_dump(mode="json", include=set(_SETTINGS), exclude_none=True)
    tx.run(
        "spaces.update",
        {
            "id": space.id,
            "name": space.name,
            "description": space.description,
            "is_private": space.is_private,
            "settings": json.dumps(settings, ensure_ascii=False),
        },
    )


def is_last_space(tx: Transaction, space_id: str) -> bool:
    return tx.fetch_one("spaces.others", {"id": space_id}) is None


def delete_space(tx: Transaction, space_id: str) -> None:
    """Delete a space with everything in it."""
    tx.run("spaces.delete", {"id": space_id})
