"""The store: one SQLite file that several processes may share.

How it works. One connection writes. Callers pass a function to `write`; the caller that gets the write lock first runs
all functions that are waiting at that moment in ONE transaction (each under a savepoint of its own), in a worker
thread. A single write is therefore committed at once and many writes share a commit, without a timer. Every write
transaction is BEGIN IMMEDIATE, because a deferred one that reads before it writes fails under contention and no timeout
helps. Reads have connections of their own and, in WAL mode, never wait for the writer.

`_commit` is the only function that commits; crash tests count and interrupt commits through `on_commit`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from evaltasks.engine.store.errors import StoreError, is_storage_error, storage_error
from evaltasks.engine.store.opening import Connections, StoreFile, open_connections
from evaltasks.engine.store.queries import named_queries
from evaltasks.engine.store.versions import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "OnCommit", "Row", "Store", "StoreError", "Transaction", "Work", "owner_name"]

T = TypeVar("T")
Row: TypeAlias = sqlite3.Row
OnCommit: TypeAlias = Callable[[Literal["before", "after"]], None]

# What this program would write may be invalid in the newer schema.
_MIGRATED = (
    "The store was changed by a newer evaltasks while this process had it open. Nothing was written; "
    "restart this process with that version."
)


class Transaction:
    """Runs named queries inside one transaction. `Store.read` and `Store.write` pass it to the functions they run."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _execute(self, query: str, values: Mapping[str, Any], slots: Mapping[str, str]) -> sqlite3.Cursor:
        text = named_queries()[query]
        text = text.format_map(slots) if slots else text
        try:
            return self._connection.execute(text, values)
        except UnicodeEncodeError:
            # The statement has not run: values are bound before.
            return self._connection.execute(text, _storable(values))

    def fetch_all(self, query: str, values: Mapping[str, Any] = {}, **slots: str) -> list[Row]:
        """Return all rows of a query. The query itself limits their number."""
        return self._execute(query, values, slots).fetchall()

    def iterate(self, query: str, values: Mapping[str, Any] = {}, **slots: str) -> Generator[Row]:
        """Yield the rows of a query. Close the generator before the transaction ends."""
        cursor = self._execute(query, values, slots)
        try:
            yield from cursor
        finally:
            cursor.close()

    def fetch_one(self, query: str, values: Mapping[str, Any] = {}, **slots: str) -> Row | None:
        """Return the first row of a query, or None."""
        row: Row | None = self._execute(query, values, slots).fetchone()
        return row

    def run(self, query: str, values: Mapping[str, Any] = {}, **slots: str) -> int:
        """Execute a statement that changes rows and return their number."""
        return self._execute(query, values, slots).rowcount

    def run_many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Execute a statement once for each of `rows` and return the number of changed rows."""
        return self._connection.executemany(named_queries()[query], map(_storable, rows)).rowcount


def _storable(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with unpaired surrogates (`"\\ud800"`), which UTF-8 cannot encode, replaced by question
    marks."""
    try:
        for value in values.values():
            if isinstance(value, str):
                value.encode()
    except UnicodeEncodeError:
        return {
            name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for name, value in values.items()
        }
    return values


Work: TypeAlias = Callable[[Transaction], T]


@dataclass(eq=False)
class _Job(Generic[T]):
    work: Work[T]
    done: bool = False
    value: T | None = None
    error: BaseException | None = None

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # set whenever done without error


class Store:
    """A store of spaces, projects, spans, tasks and the rest. Open it with `async with Store.open(path)`."""

    def __init__(self, connections: Connections, *, shared: bool, on_commit: OnCommit | None) -> None:
        self._connections = connections
        self._shared = shared
        self._file = connections.file
        self._on_commit = on_commit
        self._writing = anyio.Lock()
        self._pending: list[_Job[Any]] = []
        self._scan_slots = anyio.CapacityLimiter(max(1, len(connections.scans)))

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str | Path, *, on_commit: OnCommit | None = None) -> AsyncIterator[Store]:
        """Open a store, creating it if it does not exist.

        Args:
            path: The file, or `:memory:` for a private store that is gone after closing.
            on_commit: Called before and after every commit, for crash tests.

        Raises:
            StoreError: The file belongs to another program, is damaged, was written by a newer version of this
                program, or cannot be written.
        """
        connections, shared = await to_thread.run_sync(open_connections, str(path))
        store = cls(connections, shared=shared, on_commit=on_commit)
        try:
            yield store
        finally:
            for connection in (connections.writer, connections.point, *connections.scans):
                connection.close()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a write transaction and return its result once it is committed.

        An exception in `work` undoes the changes of that `work`, and nothing else of the same commit, and is raised
        here. If the caller is cancelled before its turn, `work` does not run; after that it runs to its end.

        Raises:
            StoreError: The store could not be written. Nothing of `work` is kept.
        """
        job = _Job(work)
        self._pending.append(job)
        try:
            async with self._writing:
                if not job.done:
                    batch, self._pending = self._pending, []
                    with anyio.CancelScope(shield=True):
                        await to_thread.run_sync(self._commit_batch, batch)
        finally:
            if job in self._pending:
                self._pending.remove(job)
        return job.result()

    async def read(self, work: Work[T]) -> T:
        """Run `work` on one consistent state of the store, in a worker thread: for everything that scans rows.

        Raises:
            StoreError: The store could not be read.
        """
        if not self._shared:
            async with self._writing:
                return await to_thread.run_sync(work, Transaction(self._connections.writer))
        async with self._scan_slots:
            connection = self._connections.scans.pop()
            try:
                with anyio.CancelScope(shield=True):
                    value = await to_thread.run_sync(_in_read_transaction, connection, self._file, work)
            finally:
                self._connections.scans.append(connection)
            return value

    async def read_by_key(self, work: Work[T]) -> T:
        """Run `work` at once on the event loop: only for lookups by key, which take microseconds.

        If it would have to wait for a lock, it runs as with `read`.

        Raises:
            StoreError: The store could not be read.
        """
        if not self._shared:
            async with self._writing:
                return work(Transaction(self._connections.writer))
        try:
            return _in_read_transaction(self._connections.point, self._file, work)
        except StoreError as error:
            if not error.may_pass:
                raise
        return await self.read(work)

    def _commit_batch(self, batch: list[_Job[Any]]) -> None:
        connection = self._connections.writer
        transaction = Transaction(connection)
        try:
            self._file.require_unmoved()
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                raise StoreError(_MIGRATED)
            for job in batch:
                connection.execute("SAVEPOINT job")
                try:
                    job.value = job.work(transaction)
                except BaseException as error:  # raised to the caller of this `work`
                    if is_storage_error(error):
                        # It concerns the whole batch, and SQLite may have rolled back the transaction.
                        raise
                    connection.execute("ROLLBACK TO job")
                    job.error = error
                connection.execute("RELEASE job")
            self._commit(connection)
        except sqlite3.Error as error:
            _roll_back(connection)
            store_error = storage_error(error, "written")
            for job in batch:
                job.error = job.error or store_error
        except BaseException as error:  # from `on_commit`: the waiting callers must not take this for a commit
            _roll_back(connection)
            for job in batch:
                job.error = job.error or error
        finally:
            for job in batch:
                job.done = True

    def _commit(self, connection: sqlite3.Connection) -> None:
        if self._on_commit is not None:
            self._on_commit("before")
        connection.execute("COMMIT")
        if self._on_commit is not None:
            self._on_commit("after")


def _in_read_transaction(connection: sqlite3.Connection, file: StoreFile, work: Work[T]) -> T:
    file.require_unmoved()
    try:
        connection.execute("BEGIN")
        return work(Transaction(connection))
    except sqlite3.Error as error:
        # SQLITE_READONLY itself, not an extended code of it, means that `work` tried to write: a bug of this program.
        if is_storage_error(error) and error.sqlite_errorcode != sqlite3.SQLITE_READONLY:
            raise storage_error(error, "read") from error
        raise
    finally:
        _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    """Roll back the transaction, unless SQLite has done so."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # an error is being raised already
            connection.execute("ROLLBACK")


def owner_name() -> str:
    """Return a new unique name for the owner of a task run."""
    return uuid.uuid4().hex
