"""Migration of stores of older schema versions, completely or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from evaltasks.engine.store.store import SCHEMA_VERSION, Store, StoreError
from evaltasks.engine.store.versions import FIRST_VERSION, migrate, migrations
from tests.support.engines import engine
from tests.support.store_files import FIXTURES, rows_of, schema_of, written_from

RELEASED = sorted(FIXTURES.glob("schema_*.sql"))
ONE = FIXTURES / "schema_1.sql"


def migrated(path: Path, steps: Mapping[int, str]) -> None:
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, str(path), steps)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("fixture", RELEASED, ids=lambda path: path.stem)
async def test_store_of_every_release_gets_the_newest_schema_and_keeps_its_rows(tmp_path: Path, fixture: Path) -> None:
    old = written_from(fixture, tmp_path / "old.db")
    before = rows_of(old)
    async with Store.open(old), Store.open(tmp_path / "new.db"):
        pass
    assert schema_of(old) == schema_of(tmp_path / "new.db")
    assert version_of(old) == SCHEMA_VERSION
    after = rows_of(old)
    for table, rows in before.items():
        assert [{name: now[name] for name in row} for row, now in zip(rows, after[table], strict=True)] == rows, table


@pytest.mark.parametrize("fixture", RELEASED, ids=lambda path: path.stem)
async def test_store_of_every_release_can_run_its_pending_task_runs(tmp_path: Path, fixture: Path) -> None:
    path = written_from(fixture, tmp_path / "old.db")
    (pending,) = [row["id"] for row in rows_of(path)["task_runs"] if row["status"] == "PENDING"]
    async with engine(path) as it:
        done = await it.ended(pending)
        assert (done["status"], done["num_errors"]) == ("COMPLETED", 0)
        assert done["num_successes"] == len(await it.rows(pending, outcome="success")) > 0
        for task in (await it.ask("GET", "/v2/tasks"))["tasks"]:
            for task_run in (await it.ask("GET", f"/v2/tasks/{task['id']}/runs"))["task_runs"]:
                assert await it.rows(task_run["id"])


@pytest.mark.parametrize("version", range(FIRST_VERSION, SCHEMA_VERSION))
async def test_store_of_every_older_version_gets_the_newest_schema(tmp_path: Path, version: int) -> None:
    old = written_from(ONE, tmp_path / "old.db")
    migrated(old, {step: script for step, script in migrations().items() if step <= version})
    assert version_of(old) == version
    async with Store.open(old), Store.open(tmp_path / "new.db"):
        pass
    assert schema_of(old) == schema_of(tmp_path / "new.db")
    assert version_of(old) == SCHEMA_VERSION


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE spaces ADD COLUMN extra TEXT",
        "CREATE INDEX extra ON spans (name)",
        "DROP INDEX spans_by_trace",
        "DROP TRIGGER spans_take_annotations",
        "DROP TABLE annotations; CREATE TABLE annotations (row_kind TEXT NOT NULL)",
        "ALTER TABLE spaces DROP COLUMN settings; ALTER TABLE spaces ADD COLUMN settings TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE spaces DROP COLUMN settings; ALTER TABLE spaces ADD COLUMN settings BLOB NOT NULL DEFAULT '{}'",
    ],
)
async def test_schema_comparison_finds_every_kind_of_difference(tmp_path: Path, change: str) -> None:
    path = tmp_path / "store.db"
    async with Store.open(path):
        pass
    before = schema_of(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(change)
    assert schema_of(path) != before


STEPS = {
    2: "ALTER TABLE projects ADD COLUMN colour TEXT;\n-- Two statements, one of them a trigger.\n"
    "CREATE TRIGGER t AFTER DELETE ON projects BEGIN\n    DELETE FROM spaces WHERE id = old.id;\nEND;",
    # Made again although other tables refer to it, as SQLite's own documentation describes.
    3: "CREATE TABLE new_spaces (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL);\n"
    "INSERT INTO new_spaces SELECT seq, id, name FROM spaces;\n"
    "DROP TABLE spaces;\nALTER TABLE new_spaces RENAME TO spaces;",
}


def test_migrations_run_in_order_and_a_recreated_table_keeps_the_rows_that_refer_to_it(
    tmp_path: Path,
) -> None:
    path = written_from(ONE, tmp_path / "old.db")
    before = rows_of(path)
    migrated(path, STEPS)
    after = rows_of(path)
    assert version_of(path) == 3
    assert after["projects"] == [{**row, "colour": None} for row in before["projects"]]
    assert after["spaces"] == [{key: row[key] for key in ("seq", "id", "name")} for row in before["spaces"]]
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in before.items()}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("CREATE TABLE extra (x);\nCREATE TABLE spaces (x);", "table spaces already exists"),
        (
            "CREATE TABLE extra (x);\nDELETE FROM spaces;",
            "a row of [a-z_]+ would refer to a row of spaces that does not exist",
        ),
    ],
    ids=["does not work", "breaks a reference"],
)
def test_migration_that_fails_leaves_the_store_at_the_version_before(tmp_path: Path, broken: str, reason: str) -> None:
    path = written_from(ONE, tmp_path / "old.db")
    rows = rows_of(path)
    with pytest.raises(StoreError, match=rf"from schema 2 to 3 \({reason}\). It is unchanged"):
        migrated(path, {2: "CREATE TABLE second (x);", 3: broken})
    assert version_of(path) == 2
    assert rows_of(path) == {**rows, "second": []}


async def test_migration_is_done_by_one_of_many_processes(tmp_path: Path) -> None:
    path = written_from(ONE, tmp_path / "old.db")
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(to_thread.run_sync, migrated, path, STEPS)
    assert version_of(path) == 3


async def test_process_stops_writing_after_a_newer_version_migrated_its_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with engine(path) as it:
        with closing(sqlite3.connect(path)) as newer:
            newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        body: dict[str, Any] = {"name": "p", "space_id": await it.space_id()}
        problem = await it.ask("POST", "/v2/projects", body, status=503)
        assert "newer evaltasks" in problem["detail"] and "restart" in problem["detail"].lower()
        assert (await it.ask("GET", "/v2/projects"))["projects"] == []
