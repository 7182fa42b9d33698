"""Loads the named queries of `store/*.sql`.

A query starts with a line `-- name: spans_page`, may be followed by prose comments, and ends where the next
begins. It is called as `<file>.<name>` (`spans.page`). A `{slot}` in it is filled from a closed set of texts made
by our own code (a compiled filter, which holds only bound parameters); values are always bound.

A part starts with `-- part: new_spans`: no query, but a condition that our code puts into a slot.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- (name|part): (\w+)\s*$", re.MULTILINE)


def named_queries() -> dict[str, str]:
    """Every query of the package, by `<file>.<name>`. Raises ValueError for a name used twice."""
    return _texts("name")


def named_parts() -> dict[str, str]:
    """Every part of a query, in the same way."""
    return _texts("part")


@cache
def _texts(kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(files("evaltasks.engine.store").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql") or file.name == "schema.sql":
            continue
        parts = _HEAD.split(file.read_text(encoding="utf-8"))
        for head, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            key = f"{file.name.removesuffix('.sql')}.{name}"
            if key in found:
                raise ValueError(f"query {key} is defined twice")
            if head == kind:
                found[key] = text.strip().rstrip(";")
    return found


def schema() -> str:
    return (files("evaltasks.engine.store") / "schema.sql").read_text(encoding="utf-8")
