"""Response bodies generated from the reply models, and the same bodies from a newer service.

`whole_answers(model)` are bodies with every field, one for each alternative at any depth. Each knows its
places: the objects all of whose fields we know (`objects`), and the words that are on a closed list (`words`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tests.support.transports import MOMENT

Step = str | int
Place = tuple[Step, ...]
NEVER_SEEN = "NEVER_SEEN"
_DEPTH_MAX = 12


@dataclass(frozen=True)
class Whole:
    body: Any
    objects: tuple[Place, ...]
    words: tuple[Place, ...]

    def newer(self, *, objects: Sequence[Place] = (), words: Sequence[Place] = ()) -> Any:
        """Return the body with an unknown field in these objects and an unknown enum value at these places."""
        body = copy.deepcopy(self.body)
        for place in words:
            at(body, place[:-1])[place[-1]] = NEVER_SEEN
        for place in objects:
            at(body, place)["a_newer_field"] = {"since": 2027, "of": ["many", None]}
        return body


def at(body: Any, place: Place) -> Any:
    for step in place:
        body = body[step]
    return body


def whole_answers(model: type[BaseModel]) -> list[Whole]:
    """Return one body for each alternative that the model accepts. A schema does not show rules between fields."""
    return [whole for whole in whole_bodies(model) if _is_readable(model, whole.body)]


def whole_bodies(model: type[BaseModel]) -> list[Whole]:
    """Return one body for each alternative, valid or not."""
    schema = model.model_json_schema(mode="validation")
    return [_made(schema, chosen) for chosen in _choices(schema)]


def _is_readable(model: type[BaseModel], body: Any) -> bool:
    try:
        model.model_validate(body)
    except ValueError:
        return False
    return True


Choose = Callable[[int, Place], int]


def _choices(schema: Mapping[str, Any]) -> Iterator[Choose]:
    """First everything by its first alternative; then, place by place, each of the others."""
    seen: dict[Place, int] = {}

    def first(count: int, place: Place) -> int:
        seen[place] = count
        return 0

    _made(schema, first)
    yield first
    waiting: list[dict[Place, int]] = [{place: nth} for place, count in seen.items() for nth in range(1, count)]
    known = {tuple(sorted(one.items(), key=str)) for one in waiting}
    while waiting:
        given = waiting.pop()
        inside: dict[Place, int] = {}

        def choose(count: int, place: Place, given: dict[Place, int] = given, inside: dict[Place, int] = inside) -> int:
            inside[place] = count
            return given.get(place, 0)

        yield choose
        _made(schema, choose)
        for place, count in inside.items():
            # Members that only this alternative has.
            for nth in range(1, count) if place not in seen else ():
                further = {**given, place: nth}
                key = tuple(sorted(further.items(), key=str))
                if key not in known:
                    known.add(key)
                    waiting.append(further)
        seen.update(inside)


def _alternatives(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the alternatives at a place, without null and without free text beside an enum."""
    for way in part.get("anyOf", part.get("oneOf", ())):
        if "anyOf" in way or "oneOf" in way:
            yield from _alternatives(way)
        elif way.get("type") != "null" and not (way == {"type": "string"} and "$ref" in part["anyOf"][0]):
            yield way


def _made(schema: Mapping[str, Any], choose: Choose) -> Whole:
    objects: list[Place] = []
    words: list[Place] = []

    def make(part: Mapping[str, Any], place: Place) -> Any:
        assert len(place) < _DEPTH_MAX
        if "$ref" in part:
            return make(schema["$defs"][part["$ref"].rsplit("/", 1)[1]], place)
        if ways := list(_alternatives(part)):
            return make(ways[choose(len(ways), place) if len(ways) > 1 else 0], place)
        if "const" in part or "enum" in part:
            words.append(place)
            return part["const"] if "const" in part else part["enum"][0]
        match part.get("type"):
            case "object" if "properties" in part:
                if part.get("additionalProperties") is not True:
                    objects.append(place)
                return {name: make(inner, (*place, name)) for name, inner in part["properties"].items()}
            case "object":
                inner = part.get("additionalProperties")
                return {"key": make(inner, (*place, "key"))} if isinstance(inner, Mapping) else {"key": "value"}
            case "array":
                return [make(part.get("items", {}), (*place, 0))]
            case "string":
                return MOMENT if part.get("format") == "date-time" else "text"
            case "integer" | "number":
                return 1
            case "boolean":
                return True
        return "anything"

    body = make(schema, ())
    return Whole(body, tuple(objects), tuple(words))
