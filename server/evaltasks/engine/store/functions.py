"""SQL functions of our own, the same on every connection."""

from __future__ import annotations

import hashlib
import json
import sqlite3

_SCALE = 2**64


def is_sampled(task_id: str, row_id: str, rate: float | None) -> bool:
    """True when the row belongs to the task's sample.

    A stable hash of (task, row), so the same row is always in or out, in every process and after every restart,
    and a higher rate only adds rows.
    """
    if rate is None or rate >= 1:
        return True
    digest = hashlib.blake2b(f"{task_id}\0{row_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * _SCALE


def attribute(document: str | None, path: str) -> object:
    """The value at a dotted path of a JSON object whose keys may themselves be dotted; None when there is none.

    Objects and lists come back as JSON text. `evaltasks.engine.filters` says how numbers and texts compare.
    """
    if document is None:
        return None
    value = lookup(json.loads(document), path)
    if isinstance(value, bool) or value is None:
        return None if value is None else int(value)
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def lookup(value: object, path: str) -> object:
    """Walk a dotted path through nested objects, lists (by number) and flat dotted keys; None when it ends nowhere.

    The longest matching key wins, because OpenInference attributes are flat (`llm.output_messages.0.message.content`)
    and may hold nested JSON below.
    """
    if not path:
        return value
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        return lookup(value[int(head)], rest) if head.isdigit() and int(head) < len(value) else None
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    cut = path.rfind(".")
    while cut > 0:
        if path[:cut] in value and (found := lookup(value[path[:cut]], path[cut + 1 :])) is not None:
            return found
        cut = path.rfind(".", 0, cut)
    return None


def casefold(text: str | None) -> str | None:
    """For comparing names in any letter case; SQLite's own `lower` knows only ASCII."""
    return None if text is None else text.casefold()


def register_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("is_sampled", 3, is_sampled, deterministic=True)
    connection.create_function("attribute", 2, attribute, deterministic=True)
    connection.create_function("casefold", 1, casefold, deterministic=True)
