"""Store files of other versions, and their contents."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures"


def written_from(fixture: Path, path: Path) -> Path:
    """Write a store file from SQL text of `tests/fixtures/`."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(fixture.read_text(encoding="utf-8"))
    return path


def schema_of(path: Path) -> dict[str, Any]:
    """Return every table, index and trigger of a store.

    The texts hold columns with types, defaults and constraints, what an index is on, and what a trigger does. They do
    not depend on comments, blanks, quoted names or the order of columns (a migration can only add a column at the end).
    """
    with closing(sqlite3.connect(path)) as connection:
        return {
            f"{type_} {name}": _columns(sql) if type_ == "table" else _plain(sql)
            for type_, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL")
            if not name.startswith("sqlite_")
        }


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all our tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            for table in tables
            if not table.startswith("sqlite_")
        }


def _plain(sql: str) -> str:
    without = re.sub(r"--[^\n]*", "", sql).replace('"', "")
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(without.split()))


def _columns(sql: str) -> list[str]:
    """Return the parts between the outer brackets, and the text around them."""
    plain = _plain(sql)
    head, _, rest = plain.partition("(")
    body, _, tail = rest.rpartition(")")
    parts, depth, part = [], 0, ""
    for sign in body:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += sign
    return [head, *sorted([*parts, part]), tail]
