"""Static parameters of custom code: values of the evaluator that its class reads as `self.<name>`."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from evaltasks.api.evaluator_kinds import StaticParam, StaticParamType
from evaltasks.insight.unreadable import as_value_error
from evaltasks.tools.inputs import note, read_json_text, read_word
from evaltasks.tools.task_inputs import ArgumentError, Location, raise_errors

_FIELDS = ("name", "type", "default_value")
_TYPES = {kind.value.lower(): kind for kind in StaticParamType}
_EXAMPLE = 'write it as [{"name": "required_keys", "default_value": ["id", "total"]}]'


def _read(value: object, info: ValidationInfo) -> list[StaticParam]:
    value = read_json_text(value, info)
    if isinstance(value, Mapping):
        if "name" in value and value.keys() <= set(_FIELDS):
            note(info, "was a single parameter and was read as a list of one.")
            value = [value]
        else:
            note(info, "was an object and was read as names and values.")
            value = [{"name": name, "default_value": part} for name, part in value.items()]
    if not isinstance(value, list) or not value:
        raise as_value_error("must be a list of static parameters", _EXAMPLE)
    errors: list[ArgumentError] = []
    read = [_read_one(part, (place,), errors, info) for place, part in enumerate(value)]
    names = [param.name for param in read if param is not None]
    for place, param in enumerate(read):
        if param is not None and param.name in names[:place]:
            errors.append(((place, "name"), "is the name of an earlier parameter", "rename or remove it"))
    raise_errors("static_params", errors)
    return [param for param in read if param is not None]


def _read_one(value: object, place: Location, errors: list[ArgumentError], info: ValidationInfo) -> StaticParam | None:
    """Read one parameter. Its problems are added to `errors`; the result is then None."""
    if not isinstance(value, Mapping):
        errors.append((place, "must be an object", _EXAMPLE))
        return None
    before = len(errors)
    errors += [
        ((*place, str(name)), "is not a field of this object", f"the fields are: {', '.join(_FIELDS)}")
        for name in value
        if name not in _FIELDS
    ]
    name: object = value.get("name")
    default: Any = value.get("default_value")
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        remedy = "use letters, digits and _, starting with a letter"
        errors.append(((*place, "name"), "must be a name that code can read as self.<name>", remedy))
    if isinstance(default, int | float) and not isinstance(default, bool):
        note(info, "had a number as a value, which was converted to text: convert it back in your code.")
        default = str(default)
    is_list = isinstance(default, list)
    if not isinstance(default, str) and not (is_list and all(isinstance(part, str) for part in default)):
        errors.append(((*place, "default_value"), "must be text or a list of texts", "write it in quotes, or in [ ]"))
    word = read_word(value.get("type"))
    kind = StaticParamType.STRING_ARRAY if is_list else StaticParamType.STRING
    if word is not None and word not in _TYPES:
        errors.append(((*place, "type"), "is not one of the allowed values", f"use one of: {', '.join(_TYPES)}"))
    elif isinstance(word, str):
        kind = _TYPES[word]
        if len(errors) == before and is_list != (kind is StaticParamType.STRING_ARRAY):
            wanted = "one text" if is_list else "a list of texts"
            errors.append(((*place, "default_value"), f"must be {wanted} for {word}", "change it or leave type out"))
    if len(errors) > before:
        return None
    return StaticParam(name=str(name), type=kind, default_value=default)


SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "type": {
                "type": "string",
                "enum": list(_TYPES),
                "description": "Derived from default_value if it is missing.",
            },
            "default_value": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        },
        "required": ["name", "default_value"],
        "additionalProperties": False,
    },
}

StaticParams = Annotated[list[StaticParam], PlainValidator(_read), WithJsonSchema(SCHEMA)]
