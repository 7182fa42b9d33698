"""SQL functions of our own, the same on every connection."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3

_SCALE = 2**64
_INTEGER_END = 2**63


def is_sampled(task_id: str, row_id: str, rate: float | None) -> bool:
    """True when the row belongs to the task's sample.

    A stable hash of (task, row), so the same row is always in or out, in every process and after every restart,
    and a higher rate only adds rows.
    """
    if rate is None or rate >= 1:
        return True
    digest = hashlib.blake2b(f"{task_id}\0{row_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * _SCALE


def attribute(document: str | None, path: str) -> str | int | float | None:
    """The value at a dotted path of a JSON object whose keys may themselves be dotted; None when there is none.

    Objects and lists come back as JSON text, true and false as 1 and 0, and a whole number beyond 64 bits as the
    nearest float: exactly what SQLite's `json_extract` says of a value that both find.
    `evaltasks.engine.filters` says how numbers and texts compare.
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
    """Walk a dotted path through nested objects, lists (by number) and flat dotted keys; None when it ends nowhere.

    The longest matching key wins, because OpenInference attributes are flat (`llm.output_messages.0.message.content`)
    and may hold nested JSON below. A path that ends above such keys (`llm.output_messages`) gives what they are
    the parts of: a list when all parts are numbered, an object otherwise.
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
    """Undo the flattening of keys that all begin alike."""
    if "" in parts:
        return parts[""]
    grown: dict[str, object] = {}
    groups: dict[str, dict[str, object]] = {}
    for key, part in parts.items():
        head, dot, rest = key.partition(".")
        if dot:
            groups.setdefault(head, {})[rest] = part
        else:
            grown[head] = part
    for head, group in groups.items():
        # A key that is both a value and a beginning (`a`, `a.b`) keeps its own value under itself.
        grown[head] = _assemble({**group, **({"value": grown[head]} if head in grown else {})})
    if all(key.isascii() and key.isdigit() for key in grown):
        return [grown[key] for key in sorted(grown, key=int)]
    return grown


def casefold(text: str | None) -> str | None:
    """For comparing names in any letter case; SQLite's own `lower` knows only ASCII."""
    return None if text is None else text.casefold()


def register_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("is_sampled", 3, is_sampled, deterministic=True)
    connection.create_function("attribute", 2, attribute, deterministic=True)
    connection.create_function("casefold", 1, casefold, deterministic=True)
