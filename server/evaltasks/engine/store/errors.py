"""What a store says when it cannot be used, and which of SQLite's errors mean that."""

from __future__ import annotations

import sqlite3


class StoreError(Exception):
    """The store cannot be used; the text says why and what to do.

    `may_pass` says whether the same may work later without a restart: a full disk, a lock, missing rights.
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


_FULL = "the disk is full; make room on it"
_BUSY = "another process has kept it locked for too long; end that process or wait for it"
_WRITE = "this process may not write the file or its folder, where SQLite keeps files beside it; allow it"
_BROKEN_OFF = "the disk or file system reports a problem; see to it"
_DAMAGED = (
    "the file is damaged; stop every process that uses it, then put a copy of it in its place or move it away to "
    "start again"
)
# SQLite's primary result codes that are about the file and its environment; all others are mistakes of ours.
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
    """True for an error of the file or its environment, False for a bug of ours."""
    return isinstance(error, sqlite3.Error) and (_code(error) in _PASSING or _code(error) in _LASTING)


def storage_error(error: sqlite3.Error, doing: str) -> StoreError:
    """In words, with what to do. `doing` is "written" or "read"."""
    code = _code(error)
    words = _PASSING.get(code) or _LASTING.get(code)
    kept = " Nothing of this change was kept." if doing == "written" else ""
    if words is None:
        return StoreError(f"The store could not be {doing} ({error}).{kept}")
    return StoreError(f"The store could not be {doing}: {words} ({error}).{kept}", may_pass=code in _PASSING)


def _code(error: sqlite3.Error) -> int:
    # Extended codes carry the primary one in their lowest byte. Errors of the Python module itself have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
