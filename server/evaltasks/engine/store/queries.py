"""Loads the named queries of `store/*.sql`.

A query starts with a line `-- name: page`, may be followed by comments, and ends at the next query. It is called as
`<file>.<name>` (`spans.page`). A `{slot}` in it is filled with SQL text made by this program alone (a compiled filter,
for example, which contains only bound parameters); values are always bound.

A part starts with `-- part: new_spans`: not a query, but a condition that this program puts into a slot.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- (name|part): (\w+)\s*$", re.MULTILINE)


def named_queries() -> dict[str, str]:
    """Return every query of the package by `<file>.<name>`.

    Raises:
        ValueError: Two queries or parts have the same name.
    """
    return _texts("name")


def named_parts() -> dict[str, str]:
    """Return every part of a query by `<file>.<name>`. Raises what `named_queries` raises."""
    return _texts("part")


@cache
def _texts(kind: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for file in sorted(files("evaltasks.engine.store").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql") or file.name == "schema.sql":
            continue
        parts = _HEAD.split(file.read_text(encoding="utf-8"))
        for head, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            key = f"{file.name.removesuffix('.sql')}.{name}"
            if key in texts:
                raise ValueError(f"query {key} is defined twice")
            if head == kind:
                texts[key] = text.strip().rstrip(";")
    return texts


def schema() -> str:
    """Return the script that creates the newest schema."""
    return (files("evaltasks.engine.store") / "schema.sql").read_text(encoding="utf-8")
