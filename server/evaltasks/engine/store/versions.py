"""Which schema a store has, and how an older one is brought up to date.

`schema.sql` is always the newest schema: a new store is made from it. `migrations/000N_<what>.sql` leads from schema
N-1 to schema N; the highest number is the version this program writes. A store of a newer program is refused.

To change the schema: change `schema.sql` AND add the next number with the statements that do the same to a store of
the version before (a test compares the two, and that the rows stay). A migration is one transaction with its version
number, so it happens wholly or not at all, and no copy of the file is made before it. Foreign keys are not enforced
while it runs, so a table may be made again (create, copy, drop, rename; make its indexes and triggers again), and are
checked before it commits.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from evaltasks.engine.store.errors import StoreError
from evaltasks.engine.store.queries import schema

FIRST_VERSION = 1
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


@cache
def migrations() -> Mapping[int, str]:
    """The script that leads to each version. Raises ValueError when the numbers do not go 2, 3, 4, …"""
    found: dict[int, str] = {}
    for file in (files("evaltasks.engine.store") / "migrations").iterdir():
        name = _FILE_NAME.fullmatch(file.name)
        if name is None:
            continue
        if int(name[1]) in found:
            raise ValueError(f"two migrations have the number {name[1]}")
        found[int(name[1])] = file.read_text(encoding="utf-8")
    if sorted(found) != list(range(FIRST_VERSION + 1, FIRST_VERSION + 1 + len(found))):
        raise ValueError(f"the migrations must be numbered from {FIRST_VERSION + 1} on without a gap: {sorted(found)}")
    return found


SCHEMA_VERSION = max(migrations(), default=FIRST_VERSION)


def bring_up_to_date(connection: sqlite3.Connection, path: str, steps: Mapping[int, str] | None = None) -> None:
    """Make the schema in an empty file, or take an older store to this program's version, step by step.

    Of several processes that open a store, one does each step and the others wait for it. `steps` are all migrations
    by the version they lead to, the package's own by default. Raises StoreError for a store of a newer program, for
    a file of another one and for a migration that fails; nothing of the failed step is kept.
    """
    steps = migrations() if steps is None else steps
    newest = max(steps, default=FIRST_VERSION)
    # Asked without a lock first: opening a store that is up to date waits for no one.
    if _version(connection) == newest:
        return
    # Enforced, dropping a table to make it again would delete what refers to it. Cannot be switched in a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    # Else renaming a table fails while a trigger of another one names the table that was just dropped.
    connection.execute("PRAGMA legacy_alter_table = ON")
    try:
        while _one_step(connection, path, steps, newest):
            pass
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")


def _one_step(connection: sqlite3.Connection, path: str, steps: Mapping[int, str], newest: int) -> bool:
    """One transaction; False when nothing is left to do."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > newest:
            raise StoreError(
                f"The store '{path}' was written by a newer evaltasks (schema {version}, this one knows {newest}). "
                "Update evaltasks, or give another path with --store."
            )
        if version == 0:
            _create(connection, path)
            reached = newest
        elif version < newest:
            reached = version + 1
            _migrate(connection, path, steps[reached], reached)
        else:
            reached = newest
        if reached != version:
            connection.execute(f"PRAGMA user_version = {reached}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return reached < newest


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA schema_version").fetchone()[0] != 0:
        raise StoreError(f"'{path}' is a SQLite file of another program. Give another path with --store.")
    for statement in statements(schema()):
        connection.execute(statement)


def _migrate(connection: sqlite3.Connection, path: str, script: str, to: int) -> None:
    try:
        for statement in statements(script):
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.IntegrityError(f"a row of {broken[0]} would refer to a row of {broken[2]} that is not there")
    except sqlite3.Error as error:
        raise StoreError(
            f"The store '{path}' could not be brought from schema {to - 1} to {to} ({error}). It is as it was before: "
            "make room if the disk is full, use the evaltasks that wrote it, or give another path with --store."
        ) from error


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit our transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        yield statement
