"""Opens the connections of a store: one that writes, one for look-ups by key, some that scan."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from evaltasks.engine.store.faults import StoreError
from evaltasks.engine.store.functions import register_functions
from evaltasks.engine.store.versions import bring_up_to_date

_BUSY_SECONDS = 15.0
# Another process may just be migrating a large store.
_OPENING_BUSY_SECONDS = 60.0
_WAL_TRIES = 200
_READERS = 3


@dataclass
class Connections:
    writer: sqlite3.Connection
    point: sqlite3.Connection
    scans: list[sqlite3.Connection] = field(default_factory=list)


def open_connections(path: str) -> tuple[Connections, bool]:
    """The connections, and whether the store is a file that others can share. Raises StoreError."""
    if path == ":memory:":
        connection = _connect(path)
        _prepare(connection, path)
        return Connections(writer=connection, point=connection), False
    file = Path(path).expanduser()
    opened: list[sqlite3.Connection] = []
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.append(_connect(str(file)))
        _prepare(opened[0], path)
        file.chmod(0o600)
        opened += [_connect(str(file)) for _ in range(_READERS)]
    except (OSError, sqlite3.Error, StoreError) as error:
        for connection in opened:
            connection.close()
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"The store '{path}' cannot be opened ({error}). Give another path with --store, "
            "or move the file away to start anew."
        ) from error
    writer, point, *scans = opened
    for reader in (point, *scans):
        reader.execute("PRAGMA query_only = ON")
    return Connections(writer=writer, point=point, scans=scans), True


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    # NORMAL loses nothing when a process dies; only a power cut may take the last commits.
    connection.execute("PRAGMA synchronous = NORMAL")
    register_functions(connection)
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Switch to WAL and bring the schema up to date, whichever of several opening processes comes first."""
    for attempt in range(_WAL_TRIES):
        try:
            # The switch to WAL does not honour the busy time-out, so it is tried again.
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == _WAL_TRIES - 1:
                raise
            time.sleep(0.02)
    connection.execute(f"PRAGMA busy_timeout = {int(_OPENING_BUSY_SECONDS * 1000)}")
    bring_up_to_date(connection, path)
    connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
