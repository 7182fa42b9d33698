"""Spaces in the store. The oldest space is the default one; there is always one in an opened engine."""

from __future__ import annotations

from evaltasks.api.spaces import CreateSpace, ListSpaces, Space
from evaltasks.engine.clock import from_us
from evaltasks.engine.store.store import Row, Transaction


def space_of(row: Row) -> Space:
    return Space(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        is_private=bool(row["is_private"]),
        created_at=from_us(row["created_us"]),
    )


def space_rows(tx: Transaction, query: ListSpaces, before_seq: object) -> list[Row]:
    """The spaces of a page and one more."""
    return tx.all("spaces.page", {"name": query.name, "before_seq": before_seq, "limit": query.limit + 1})


def find_space(tx: Transaction, space_id: str) -> Space | None:
    row = tx.one("spaces.by_id", {"id": space_id})
    return None if row is None else space_of(row)


def find_space_by_name(tx: Transaction, name: str) -> Space | None:
    row = tx.one("spaces.by_name", {"name": name})
    return None if row is None else space_of(row)


def find_default_space(tx: Transaction) -> Space | None:
    row = tx.one("spaces.first")
    return None if row is None else space_of(row)


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
