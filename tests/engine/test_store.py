"""Transactions of the store, shared use by several processes, and files it refuses."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import anyio
import pytest

from evaltasks.engine.store.functions import is_sampled, lookup
from evaltasks.engine.store.queries import named_queries
from evaltasks.engine.store.store import SCHEMA_VERSION, Store, StoreError, Transaction


def _add(name: str):  # type: ignore[no-untyped-def]
    def work(tx: Transaction) -> str:
        tx.run("spaces.insert", {"id": name, "name": name, "description": "", "is_private": 0, "created_us": 0})
        return name

    return work


def _space_names(tx: Transaction) -> list[str]:
    return sorted(row["name"] for row in tx._connection.execute("SELECT name FROM spaces"))


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "store.sqlite")


async def test_write_that_fails_is_undone_without_the_others_of_its_commit(path: str) -> None:
    def fails(tx: Transaction) -> None:
        _add("half")(tx)
        raise LookupError("no")

    async with Store.open(path) as store:
        refused: list[Exception] = []

        async def failing() -> None:
            try:
                await store.write(fails)
            except LookupError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, _add("a"))
            tasks.start_soon(failing)
            tasks.start_soon(store.write, _add("b"))
        assert await store.read(_space_names) == ["a", "b"]
        assert len(refused) == 1


async def test_write_shares_a_commit_with_other_waiting_writes(path: str) -> None:
    commits: list[str] = []
    async with Store.open(path, on_commit=commits.append) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(store.write, _add(f"s{number}"))
        assert len(await store.read(_space_names)) == 100
    assert commits.count("after") < 20


async def test_write_cancelled_before_its_turn_does_not_run(tmp_path: Path) -> None:
    started, may_end = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        started.set()
        may_end.wait(10)

    async with Store.open(tmp_path / "store.sqlite") as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, slow)
            await anyio.to_thread.run_sync(started.wait)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.write(_add("never"))
            may_end.set()
            tasks.start_soon(store.write, _add("later"))
        assert await store.read(_space_names) == ["later"]


async def test_commit_that_fails_is_raised_to_every_caller_and_keeps_nothing(path: str) -> None:
    def fail(moment: str) -> None:
        if moment == "before":
            raise sqlite3.OperationalError("disk I/O error")

    async with Store.open(path, on_commit=fail) as store:
        with pytest.raises(StoreError, match="Nothing of this change was kept"):
            await store.write(_add("a"))
        assert await store.read(_space_names) == []


async def test_read_cannot_write(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.sqlite") as store:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await store.read(_add("x"))


async def test_open_creates_a_store_once_for_many_processes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.sqlite"

    async def opener(number: int) -> None:
        async with Store.open(path) as store:
            await store.write(_add(f"s{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(opener, number)
    async with Store.open(path) as store:
        assert len(await store.read(_space_names)) == 6
    assert path.stat().st_mode & 0o077 == 0


async def test_open_refuses_a_file_of_another_program_and_does_not_change_it(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        async with Store.open(path):
            pass


async def test_open_refuses_a_damaged_file_with_the_repair(tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="--store"):
        async with Store.open(path):
            pass


async def test_open_refuses_a_path_below_a_file_with_the_repair(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "store.db"
    with pytest.raises(StoreError) as refused:
        async with Store.open(path):
            pass
    assert str(refused.value) == (
        f"The store '{path}' cannot be opened ([Errno 17] File exists: '{path.parent}'). "
        "Choose another path with --store, or move the file away to start with an empty store."
    )


async def test_open_refuses_a_folder_and_says_that_it_is_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        async with Store.open(tmp_path):
            pass
    assert str(refused.value) == (
        f"The store '{tmp_path}' cannot be opened: it is a folder. Provide the path of a file with --store."
    )


async def test_open_creates_folder_and_file_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.db"
    async with Store.open(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


async def test_open_refuses_a_store_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    async with Store.open(path):
        pass
    with sqlite3.connect(path) as later:
        later.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    later.close()
    with pytest.raises(StoreError, match="newer evaltasks"):
        async with Store.open(path):
            pass


def test_every_query_compiles_against_the_schema() -> None:
    from evaltasks.engine.store.functions import register_functions
    from evaltasks.engine.store.queries import schema

    connection = sqlite3.connect(":memory:")
    connection.executescript(schema())
    register_functions(connection)
    for name, text in named_queries().items():
        filled = text.replace("{", "\0").replace("}", "\1")
        if "\0" in filled:
            continue  # queries with slots are run by the tests of their callers
        names = dict.fromkeys(_parameters(text))
        try:
            connection.execute(f"EXPLAIN {text}", names)
        except sqlite3.Error as error:
            raise AssertionError(f"{name}: {error}") from error
    connection.close()


def _parameters(text: str) -> set[str]:
    import re

    return set(re.findall(r"(?<![:\w]):(\w+)", re.sub(r"'[^']*'|--.*", "", text)))


@pytest.mark.promise("select.sample")
def test_sample_is_stable_and_grows_with_the_rate() -> None:
    rows = [f"row{number}" for number in range(4000)]
    tenth = {row for row in rows if is_sampled("task", row, 0.1)}
    half = {row for row in rows if is_sampled("task", row, 0.5)}
    assert tenth < half
    assert 300 < len(tenth) < 500
    assert {row for row in rows if is_sampled("other", row, 0.1)} != tenth


def test_lookup_follows_dotted_keys_lists_and_nested_objects() -> None:
    row = {
        "llm.output_messages.0.message.content": "flat",
        "metadata": {"user": {"tier.name": "gold"}},
        "tags": [{"k": 1}],
    }
    assert lookup(row, "llm.output_messages.0.message.content") == "flat"
    assert lookup(row, "metadata.user.tier.name") == "gold"
    assert lookup(row, "tags.0.k") == 1
    assert lookup(row, "tags.9.k") is None
    assert lookup(row, "nowhere") is None
