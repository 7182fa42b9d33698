"""Errors of the store, and which of SQLite's errors mean that the store is unavailable."""

from __future__ import annotations

import sqlite3


class StoreError(Exception):
    """The store is unavailable; the text says why and what to do.

    Attributes:
        may_pass: True if the same operation may succeed later without a restart (full disk, lock, missing permission).
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


_FULL = "the disk is full; free space on it"
_BUSY = "another process has kept it locked for too long; end that process or wait for it"
_WRITE = "this process has no permission to write the file or its folder, where SQLite keeps more files; grant it"
_BROKEN_OFF = "the disk or file system reports an error; repair it"
_DAMAGED = (
    "the file is damaged; stop every process that uses it, then put a copy of it in its place or move it away to "
    "start with an empty store"
)
# SQLite's primary result codes that concern the file and its environment; all others are bugs of this program.
_PASSING = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_READONLY: _WRITE,
    sqlite3.SQLITE_PERM: _WRITE,
    sqlite3.SQLITE_CANTOPEN: _WRITE,
    sqlite3.SQLITE_IOERR: _BROKEN_OFF,
    sqlite3.SQLITE_NOMEM: "there is not enough memory; end other programs",
}
_LASTING = {sqlite3.SQLITE_CORRUPT: _DAMAGED, sqlite3.SQLITE_NOTADB: _DAMAGED}


def is_storage_error(error: BaseException) -> bool:
    """Return True for an error of the file or its environment, False for a bug of this program."""
    return isinstance(error, sqlite3.Error) and (_code(error) in _PASSING or _code(error) in _LASTING)


def storage_error(error: sqlite3.Error, doing: str) -> StoreError:
    """Return the error in words, with what to do. `doing` is "written", "read" or "opened"."""
    code = _code(error)
    words = _PASSING.get(code) or _LASTING.get(code)
    kept = " Nothing of this change was kept." if doing == "written" else ""
    if words is None:
        return StoreError(f"The store could not be {doing} ({error}).{kept}")
    return StoreError(f"The store could not be {doing}: {words} ({error}).{kept}", may_pass=code in _PASSING)


def _code(error: sqlite3.Error) -> int:
    # Extended codes carry the primary one in their lowest byte. Errors of the Python module itself have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
