"""SQL functions of this program, registered on every connection."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3

_SCALE = 2**64
_INTEGER_END = 2**63


def is_sampled(task_id: str, row_id: str, rate: float | None) -> bool:
    """Return True if the row belongs to the task's sample.

    The sample is a stable hash of (task, row): the same row is always in it or not, in every process and after every
    restart, and a higher rate only adds rows.
    """
    if rate is None or rate >= 1:
        return True
    digest = hashlib.blake2b(f"{task_id}\0{row_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * _SCALE


def attribute(document: str | None, path: str) -> str | int | float | None:
    """Return the value at a dotted path of a JSON object whose keys may themselves be dotted; None if there is none.

    Objects and lists are returned as JSON text, true and false as 1 and 0, and an integer beyond 64 bits as the nearest
    float: the same as SQLite's `json_extract` returns for a value that both find. `evaltasks.engine.filters` defines
    how numbers and texts are compared.
    """
    if document is None:
        return None
    value = lookup(json.loads(document), path)
    if value is None or isinstance(value, str | float):
        return value
    if isinstance(value, int):
        return int(value) if -_INTEGER_END <= value < _INTEGER_END else _nearest_float(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _nearest_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def lookup(value: object, path: str) -> object:
    """Return the value at a dotted path through nested objects, lists (by index) and flat dotted keys; None without
    one.

    The longest matching key wins, because OpenInference attributes are flat (`llm.output_messages.0.message.content`)
    and may contain nested JSON. A path that ends above such keys (`llm.output_messages`) returns the value that they
    are parts of: a list if all parts are numbered, an object otherwise.
    """
    if not path:
        return value
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        return lookup(value[int(head)], rest) if head.isdecimal() and int(head) < len(value) else None
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    cut = path.rfind(".")
    while cut > 0:
        if path[:cut] in value and (found := lookup(value[path[:cut]], path[cut + 1 :])) is not None:
            return found
        cut = path.rfind(".", 0, cut)
    below = f"{path}."
    parts = {key.removeprefix(below): part for key, part in value.items() if key.startswith(below)}
    return _assemble(parts) if parts else None


def _assemble(parts: dict[str, object]) -> object:
    """Build the nested value from flat keys with a common prefix, which is removed."""
    if "" in parts:
        return parts[""]
    members: dict[str, object] = {}
    groups: dict[str, dict[str, object]] = {}
    for key, part in parts.items():
        head, dot, rest = key.partition(".")
        if dot:
            groups.setdefault(head, {})[rest] = part
        else:
            members[head] = part
    for head, group in groups.items():
        # A key that has a value and is also the prefix of another (`a`, `a.b`) keeps its value under "value".
        members[head] = _assemble({**group, **({"value": members[head]} if head in members else {})})
    if all(key.isascii() and key.isdigit() for key in members):
        return [members[key] for key in sorted(members, key=int)]
    return members


def casefold(text: str | None) -> str | None:
    """Return the text for comparisons in any letter case; SQLite's own `lower` supports only ASCII."""
    return None if text is None else text.casefold()


def register_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("is_sampled", 3, is_sampled, deterministic=True)
    connection.create_function("attribute", 2, attribute, deterministic=True)
    connection.create_function("casefold", 1, casefold, deterministic=True)
