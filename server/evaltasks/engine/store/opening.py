"""Opens the connections of a store: one that writes, one for lookups by key, some for scans."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from evaltasks.engine.store.errors import StoreError, is_storage_error, storage_error
from evaltasks.engine.store.functions import register_functions
from evaltasks.engine.store.versions import migrate

_BUSY_SECONDS = 15.0
# Another process may be migrating a large store.
_OPENING_BUSY_SECONDS = 60.0
_WAL_TRIES = 200
_SCANNERS = 2
_WHAT_TO_DO = "Choose another path with --store."


class StoreFile:
    """The identity of the file when it was opened."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identity = None if path is None else _identity(path)

    def require_unmoved(self) -> None:
        """Check that the path still leads to the opened file.

        What is written to a removed file is lost without a message when the process ends.

        Raises:
            StoreError: The file was moved, removed or replaced.
        """
        if self._path is not None and _identity(self._path) != self._identity:
            raise StoreError(
                f"The store '{self._path}' was moved, removed or replaced while this process had it open. It is "
                "no longer read or written: put the file back, or restart this process to use the file that is there "
                "now.",
                may_pass=True,
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass
class Connections:
    writer: sqlite3.Connection
    point: sqlite3.Connection
    file: StoreFile
    scans: list[sqlite3.Connection] = field(default_factory=list)


def open_connections(path: str) -> tuple[Connections, bool]:
    """Open a store, creating it if it does not exist.

    Returns:
        The connections, and whether the store is a file that other processes can share.

    Raises:
        StoreError: The file cannot be opened or is not a store of this program's version or an older one.
    """
    if path == ":memory:":
        connection = _connect(path, _BUSY_SECONDS)
        _prepare(connection, path)
        return Connections(writer=connection, point=connection, file=StoreFile(None)), False
    file = Path(path).expanduser()
    opened: list[sqlite3.Connection] = []
    try:
        _require_writable(file, path)
        opened.append(_connect(str(file), _BUSY_SECONDS))
        _prepare(opened[0], path)
        _keep_private(file)
        # Lookups run on the event loop and must not wait for a lock there.
        opened.append(_connect(str(file), busy_seconds=0))
        opened += [_connect(str(file), _BUSY_SECONDS) for _ in range(_SCANNERS)]
    except (OSError, sqlite3.Error, StoreError) as error:
        for connection in opened:
            connection.close()
        if isinstance(error, StoreError):
            raise
        if isinstance(error, sqlite3.Error) and is_storage_error(error):
            raise StoreError(f"'{path}': {storage_error(error, 'opened')} {_WHAT_TO_DO}") from error
        raise StoreError(
            f"The store '{path}' cannot be opened ({error}). {_WHAT_TO_DO[:-1]}, or move the file away "
            "to start with an empty store."
        ) from error
    writer, point, *scans = opened
    for reader in (point, *scans):
        reader.execute("PRAGMA query_only = ON")
    return Connections(writer=writer, point=point, file=StoreFile(file), scans=scans), True


def _require_writable(file: Path, path: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if file.is_dir():
        raise StoreError(
            f"The store '{path}' cannot be opened: it is a folder. Provide the path of a file with --store."
        )
    effective = os.access in os.supports_effective_ids
    if not os.access(file.parent, os.W_OK | os.X_OK, effective_ids=effective):
        raise StoreError(
            f"The store '{path}' cannot be opened: this process has no permission to write to its folder, where "
            "SQLite keeps more files. Grant it, or choose another path with --store."
        )
    if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=effective):
        raise StoreError(
            f"The store '{path}' cannot be opened: this process has no permission to read and write the file. "
            "Grant it, or choose another path with --store."
        )


def _keep_private(file: Path) -> None:
    """Remove the permissions of everyone but the owner. A file that belongs to another user is not changed."""
    status = file.stat()
    if status.st_mode & 0o077 and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid()):
        file.chmod(stat.S_IMODE(status.st_mode) & 0o700)


def _connect(path: str, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        # NORMAL loses nothing when a process dies; only a power failure can lose the last commits.
        connection.execute("PRAGMA synchronous = NORMAL")
        register_functions(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Switch to WAL and migrate the schema. Several processes may do this to the same file at once."""
    for attempt in range(_WAL_TRIES):
        try:
            # The switch to WAL ignores the busy timeout, so it is tried again.
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == _WAL_TRIES - 1:
                raise
            time.sleep(0.02)
    connection.execute(f"PRAGMA busy_timeout = {int(_OPENING_BUSY_SECONDS * 1000)}")
    migrate(connection, path)
    connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
