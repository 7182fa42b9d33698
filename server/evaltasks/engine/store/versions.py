"""The schema version of a store, and its migration to the newest version.

`schema.sql` is always the newest schema; new stores are created from it. `migrations/000N_<what>.sql` migrates from
schema N-1 to schema N; the highest number is the version that this program writes. A store of a newer version is
refused.

To change the schema: change `schema.sql` AND add the next migration with the statements that do the same to a store of
the version before (a test compares the two and checks that the rows are kept). A migration and its version number are
one transaction, so it is applied completely or not at all; no copy of the file is made before. Foreign keys are not
enforced while it runs, so a table can be rebuilt (create, copy, drop, rename; create its indexes and triggers again).
They are checked before the commit.
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
    """Return the migrations by the version that they lead to.

    Raises:
        ValueError: The numbers of the files are not 2, 3, 4, …
    """
    scripts: dict[int, str] = {}
    for file in (files("evaltasks.engine.store") / "migrations").iterdir():
        name = _FILE_NAME.fullmatch(file.name)
        if name is None:
            continue
        if int(name[1]) in scripts:
            raise ValueError(f"two migrations have the number {name[1]}")
        scripts[int(name[1])] = file.read_text(encoding="utf-8")
    if sorted(scripts) != list(range(FIRST_VERSION + 1, FIRST_VERSION + 1 + len(scripts))):
        raise ValueError(f"migrations must be numbered from {FIRST_VERSION + 1} without a gap, not {sorted(scripts)}")
    return scripts


SCHEMA_VERSION = max(migrations(), default=FIRST_VERSION)


def migrate(connection: sqlite3.Connection, path: str, steps: Mapping[int, str] | None = None) -> None:
    """Create the schema in an empty file, or migrate an older store to the newest version, one version at a time.

    If several processes open a store at once, one of them does each step and the others wait for it.

    Args:
        connection: A connection that writes.
        path: The path of the store, for messages.
        steps: All migrations by the version that they lead to; those of this package if None.

    Raises:
        StoreError: The store has a newer version, the file belongs to another program, or a migration failed. Nothing
            of the failed step is kept.
    """
    steps = migrations() if steps is None else steps
    newest = max(steps, default=FIRST_VERSION)
    # Read without a lock first, so that opening a store of the newest version never waits.
    if _version(connection) == newest:
        return
    # If enforced, dropping a table to rebuild it would delete the rows that refer to it. Cannot be changed inside a
    # transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    # Without it, renaming a table fails if a trigger of another table names the table that was just dropped.
    connection.execute("PRAGMA legacy_alter_table = ON")
    try:
        while _step(connection, path, steps, newest):
            pass
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")


def _step(connection: sqlite3.Connection, path: str, steps: Mapping[int, str], newest: int) -> bool:
    """Migrate by one version in one transaction. Return True if more steps follow."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > newest:
            raise StoreError(
                f"The store '{path}' was written by a newer evaltasks (schema {version}, this one knows {newest}). "
                "Update evaltasks, or choose another path with --store."
            )
        if version == 0:
            _create_schema(connection, path)
            reached = newest
        elif version < newest:
            reached = version + 1
            _apply_migration(connection, path, steps[reached], reached)
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


def _create_schema(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA schema_version").fetchone()[0] != 0:
        raise StoreError(f"'{path}' is a SQLite file of another program. Choose another path with --store.")
    for statement in statements(schema()):
        connection.execute(statement)


def _apply_migration(connection: sqlite3.Connection, path: str, script: str, to: int) -> None:
    try:
        for statement in statements(script):
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.IntegrityError(
                f"a row of {broken[0]} would refer to a row of {broken[2]} that does not exist"
            )
    except sqlite3.Error as error:
        raise StoreError(
            f"The store '{path}' could not be migrated from schema {to - 1} to {to} ({error}). It is unchanged: free "
            "space if the disk is full, use the evaltasks version that wrote it, or choose another path with --store."
        ) from error


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one; `executescript` would commit the open transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        yield statement
