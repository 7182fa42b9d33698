"""Render the request to an agent: a run configuration's `input_template`, filled from one example.

A string that is exactly one placeholder (`"{{age}}"`) becomes the example's value, cast to the type that the agent's
input schema has for that place: numeric text becomes a number, "true" and "false" booleans, JSON text an object or
array, and other values become text where the schema wants text. Without a type in the schema the value is sent as it
is. A placeholder inside other text is inserted as text. A missing column, or null, is sent as null (inside text: as
nothing). Keys of the template are not filled, and inserted values are never read again.

Only the keywords of JSON Schema that determine the type of a place are read: `type`, `properties`, `items`,
`additionalProperties`, `$ref` within the schema, and the alternatives of `anyOf`, `oneOf` and `allOf`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from evaltasks.api.run_configurations import InputVariableFormat, without_dataset_prefix
from evaltasks.api.wire import JsonObject
from evaltasks.engine.evaluators.prompt import mustache_problems, render, text_of, variables_of, whole_placeholder

DEPTH_MAX = 64
_PREFIX = "dataset."
_NAMED_MAX = 80
_REFERENCES_MAX = 16
_PROBLEMS_MAX = 10
_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


class CannotCast(Exception):
    """A value cannot be cast to the type of its place.

    Attributes:
        reason: Our own text, with the column and the type.
        detail: The value. Untrusted.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def columns_of(template: JsonObject) -> tuple[str, ...]:
    """Return the columns that the placeholders of a template name, each once."""
    names: dict[str, None] = {}

    def note(text: str) -> str:
        names.update(dict.fromkeys(variables_of(text, InputVariableFormat.MUSTACHE)))
        return text

    _mapped(without_dataset_prefix(template), note)
    return tuple(names)


def fill(template: JsonObject, schema: JsonObject, values: Mapping[str, object]) -> JsonObject:
    """Return the body of the request to the agent.

    Args:
        template: The `input_template` of the run configuration.
        schema: The agent's input schema.
        values: A value for every column of `columns_of`; None for a column that the example does not have.

    Raises:
        CannotCast: A value does not fit the type that the schema has for its place.
    """

    root = _Schema(schema)

    def filled(node: object, place: JsonObject, where: str) -> object:
        if isinstance(node, dict):
            return {key: filled(part, _property(root, place, key), f"{where}.{key}") for key, part in node.items()}
        if isinstance(node, list):
            return [filled(part, _item(root, place, nth), f"{where}[{nth}]") for nth, part in enumerate(node)]
        if not isinstance(node, str):
            return node
        name = whole_placeholder(node)
        if name is not None:
            return _cast_for(name, values.get(name), _types(root, place), where)
        shown = {name: "" if value is None else value for name, value in values.items()}
        return render(node, InputVariableFormat.MUSTACHE, shown)

    body = filled(without_dataset_prefix(template), schema, "input_template")
    assert isinstance(body, dict)
    return body


def template_problems(template: JsonObject, schema: JsonObject) -> list[str]:
    """Return a sentence for each place where a template cannot fit the agent's input schema."""
    root = _Schema(schema)
    problems: list[str] = []

    def check(node: object, place: JsonObject, where: str, depth: int) -> None:
        if len(problems) >= _PROBLEMS_MAX:
            return
        if depth > DEPTH_MAX:
            problems.append(f"input_template is nested deeper than {DEPTH_MAX} levels")
            return
        if isinstance(node, str):
            problems.extend(f"{where}: {problem}" for problem in mustache_problems(node))
        types = _types(root, place)
        has_placeholder = isinstance(node, str) and bool(variables_of(node, InputVariableFormat.MUSTACHE))
        if types and not has_placeholder and not _is(node, types) and node is not None:
            problems.append(f"{where} must be {_listed(types)}, as the agent's input schema says")
        elif isinstance(node, dict):
            place = root.resolved(place)
            required = place.get("required")
            missing = [key for key in _texts(required) if key not in node]
            problems.extend(f"{where} lacks {_named(key)}, which the agent's input schema requires" for key in missing)
            known = place.get("properties")
            is_closed = place.get("additionalProperties") is False and not place.get("patternProperties")
            for key, part in node.items():
                if is_closed and isinstance(known, dict) and key not in known:
                    problems.append(f"{where} has {_named(key)}, which is not in the agent's input schema")
                else:
                    check(part, _property(root, place, key), f"{where}.{key[:_NAMED_MAX]}", depth + 1)
        elif isinstance(node, list):
            for nth, part in enumerate(node):
                check(part, _item(root, place, nth), f"{where}[{nth}]", depth + 1)

    check(template, schema, "input_template", 0)
    return problems[:_PROBLEMS_MAX]


def schema_problem(schema: JsonObject) -> str | None:
    """Return why a JSON Schema cannot describe a request, as the end of a sentence; None if it can."""
    types = _types(_Schema(schema), schema)
    if types and "object" not in types:
        return "must describe an object, because agents are sent objects"
    if _depth(schema) > DEPTH_MAX:
        return f"is nested deeper than {DEPTH_MAX} levels"
    return None


# --- casting ------------------------------------------------------------------------------------------------------
def _cast_for(name: str, value: object, types: Sequence[str], where: str) -> object:
    if value is None or not types or _is(value, types):
        return value
    for kind in types:
        try:
            return _CASTS[kind](value)
        except (ValueError, KeyError, RecursionError, OverflowError):
            continue
    raise CannotCast(
        f"column {_named(name)} cannot be sent as {_listed(types)}, which the agent's input schema requires at "
        f"{where[:200]}",
        text_of(value)[:500],
    )


def _number(value: object) -> object:
    if not isinstance(value, str) or not _NUMBER.fullmatch(text := value.strip()):
        raise ValueError
    number = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _integer(value: object) -> object:
    number = value if isinstance(value, float) else _number(value)
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError
        return int(number)
    return number


def _boolean(value: object) -> object:
    return {"true": True, "false": False}[value.strip().lower() if isinstance(value, str) else ""]


def _parsed(kind: type) -> Callable[[object], object]:
    def parse(value: object) -> object:
        parsed = json.loads(value) if isinstance(value, str) else None
        if not isinstance(parsed, kind):
            raise ValueError
        return parsed

    return parse


_CASTS: dict[str, Callable[[object], object]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "object": _parsed(dict),
    "array": _parsed(list),
    "string": text_of,
}


def _is(value: object, types: Sequence[str]) -> bool:
    kinds: tuple[str, ...]
    if value is None:
        kinds = ("null",)
    elif isinstance(value, bool):
        kinds = ("boolean",)
    elif isinstance(value, int):
        kinds = ("integer", "number")
    elif isinstance(value, float):
        kinds = ("number",)
    elif isinstance(value, str):
        kinds = ("string",)
    else:
        kinds = ("array",) if isinstance(value, list) else ("object",)
    return any(kind in types for kind in kinds)


# --- the schema ---------------------------------------------------------------------------------------------------
class _Schema:
    """A JSON schema, and the parts of it that a `$ref` within it refers to.

    References are resolved by the library `referencing`, which expects a valid schema; an agent's input schema is
    taken as it is. In one that is not valid, only JSON pointers (`#/…`) are followed.
    """

    def __init__(self, root: JsonObject) -> None:
        self._root = root

    def resolved(self, place: object) -> JsonObject:
        """Return the place itself, or what its `$ref` leads to; {} if that is not a schema within this one."""
        for _ in range(_REFERENCES_MAX):
            if not isinstance(place, dict):
                return {}
            reference = place.get("$ref")
            if not isinstance(reference, str):
                return place
            place = self._referenced(reference)
        return {}

    def _referenced(self, reference: str) -> object:
        from referencing.exceptions import Unresolvable  # noqa: PLC0415  0.1 s that only a schema with references needs

        resolver, is_valid = self._resolver
        if not is_valid and not reference.startswith("#/"):
            # The library would search the whole schema for it again, for every reference.
            return {}
        try:
            return resolver.lookup(reference).contents
        except (Unresolvable, AttributeError, TypeError, ValueError):
            # The last three: a pointer into something that is not a schema.
            return {}

    @cached_property
    def _resolver(self) -> tuple[Any, bool]:
        """The library's resolver, and whether it found every anchor and id (7 µs for each part of the schema)."""
        from referencing import Registry  # noqa: PLC0415  see above
        from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

        own_id = self._root.get("$id")
        address = own_id if isinstance(own_id, str) else ""
        # Other documents are never retrieved: the registry knows only this one.
        registry = Registry().with_resource(address, DRAFT202012.create_resource(self._root))
        try:
            return registry.crawl().resolver(address), True
        except (AttributeError, TypeError, ValueError):
            return registry.resolver(address), False


def _alternatives(schema: _Schema, place: object) -> Iterator[JsonObject]:
    """Yield the schema itself, then its alternatives of `anyOf`, `oneOf` and `allOf`, in order and each once."""
    seen: set[int] = set()
    waiting = [place]
    while waiting:
        one = schema.resolved(waiting.pop(0))
        if id(one) in seen:
            # This also ends a cycle of references.
            continue
        seen.add(id(one))
        yield one
        for word in ("anyOf", "oneOf", "allOf"):
            listed = one.get(word)
            waiting += listed if isinstance(listed, list) else []


def _types(schema: _Schema, place: object) -> list[str]:
    """Return the types that a place may have, in the schema's order; empty if the schema does not restrict them."""
    own = _declared_types(schema.resolved(place))
    return own or list(dict.fromkeys(kind for one in _alternatives(schema, place) for kind in _declared_types(one)))


def _declared_types(place: JsonObject) -> list[str]:
    declared = place.get("type")
    return [kind for kind in ([declared] if isinstance(declared, str) else _texts(declared)) if kind in _TYPES]


def _property(schema: _Schema, place: JsonObject, key: str) -> JsonObject:
    for one in _alternatives(schema, place):
        known, others = one.get("properties"), one.get("additionalProperties")
        if isinstance(known, dict) and key in known:
            return schema.resolved(known[key])
        if isinstance(others, dict):
            return schema.resolved(others)
    return {}


def _item(schema: _Schema, place: JsonObject, nth: int) -> JsonObject:
    for each in _alternatives(schema, place):
        items = each.get("items")
        if isinstance(items, dict):
            return schema.resolved(items)
        if isinstance(items, list) and nth < len(items):
            return schema.resolved(items[nth])
    return {}


def _mapped(node: object, change: Callable[[str], str]) -> object:
    """Return the same structure with every string value changed."""
    if isinstance(node, dict):
        return {key: _mapped(part, change) for key, part in node.items()}
    if isinstance(node, list):
        return [_mapped(part, change) for part in node]
    return change(node) if isinstance(node, str) else node


def _depth(node: object) -> int:
    """Return the number of levels of nesting, counted without recursion."""
    level, nodes = 0, [node]
    while nodes and level <= DEPTH_MAX:
        level += 1
        inner: list[object] = []
        for one in nodes:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        nodes = [part for part in inner if isinstance(part, dict | list)]
    return level


def _named(key: object) -> str:
    return f"'{str(key)[:_NAMED_MAX]}'"


def _texts(listed: object) -> list[str]:
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _listed(types: Sequence[str]) -> str:
    return " or ".join(types)
