"""The published JSON schemas of a tool, which a host shows to a model.

A schema is one flat object with only type, properties, required and additionalProperties at the root. Definitions are
inlined, and there are no titles and no null branches: an optional argument is not in `required`, and JSON null means
the same as a missing argument.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, cast

from pydantic import BaseModel

from evaltasks.tools.spec import ToolSpec

Schema = dict[str, Any]

# A recursive definition cannot be inlined. No schema nests deeper than this.
_DEPTH_MAX = 12
_LEVELS_SHOWN = 2
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
# The keys below these are names and not keywords: a property may be called `title`.
_NAMED = frozenset({"properties", "patternProperties"})


def input_schema(spec: ToolSpec[Any, Any]) -> Schema:
    """Return the schema of a tool's arguments, without defaults of null."""
    return _input_schema(cast(Hashable, spec.input))


def output_schema(spec: ToolSpec[Any, Any]) -> Schema:
    """Return the schema of a tool's structured result.

    Nullable properties are not required, because nulls are omitted from a result. Additional properties are allowed, so
    that an older client can validate a newer result. Only two levels are included, because every list of tools carries
    the schema.
    """
    return _output_schema(cast(Hashable, spec.output))


# The schema of a model never changes, takes pydantic 10 ms, and every server of a process needs it.
@functools.cache
def _input_schema(model: type[BaseModel]) -> Schema:
    return _root(compact(model.model_json_schema(mode="validation")), additional=False)


@functools.cache
def _output_schema(model: type[BaseModel]) -> Schema:
    shallow: Schema = _shallow(compact(model.model_json_schema(mode="validation")), 0)
    return _root(shallow, additional=None)


def compact(schema: Schema) -> Schema:
    """The schema of a model with its definitions put in, without titles and null branches."""
    definitions = schema.pop("$defs", {})
    walked: Schema = _walked(schema, definitions, 0)
    return walked


def _shallow(node: Any, level: int) -> Any:
    """Return the schema without the properties of objects below the second level."""
    if isinstance(node, list):
        return [_shallow(item, level) for item in node]
    if not isinstance(node, dict):
        return node
    if "properties" in node and level >= _LEVELS_SHOWN:
        return {key: node[key] for key in ("type", "description") if key in node}
    return {
        key: {name: _shallow(child, level + 1) for name, child in value.items()}
        if key == "properties"
        else _shallow(value, level)
        for key, value in node.items()
    }


def _root(schema: Schema, *, additional: bool | None) -> Schema:
    if schema.get("type") != "object":
        raise TypeError("the root of a tool's schema must be an object")
    root: Schema = {"type": "object", "properties": schema.get("properties", {})}
    if schema.get("required"):
        root["required"] = schema["required"]
    if additional is not None:
        root["additionalProperties"] = additional
    return root


def _walked(node: Any, definitions: Schema, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise RecursionError("a tool's schema nests too deeply to be shown flat")
    if isinstance(node, list):
        return [_walked(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[str(node["$ref"]).rpartition("/")[2]]
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        # The description at the place of use is more specific than the docstring of the shared type.
        return _walked({**target, **siblings}, definitions, depth + 1)
    walked: Schema = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "default" and value is None:
            continue
        if key in _NAMED:
            walked[key] = {name: _walked(child, definitions, depth + 1) for name, child in value.items()}
        elif key in {"enum", "required", "const", "default", "examples"}:
            walked[key] = value
        else:
            # Bounds behind one of our validators keep the keywords of pydantic, which JSON Schema does not define.
            keyword = _BOUNDS.get(str(key)) or str(key)
            walked[keyword] = _walked(value, definitions, depth + 1 if isinstance(value, dict) else depth)
    return _without_null(walked)


def _without_null(node: Schema) -> Schema:
    branches = node.get("anyOf")
    if not isinstance(branches, list):
        return node
    kept = [branch for branch in branches if branch != {"type": "null"}]
    if len(kept) == 1:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return {**kept[0], **rest}
    return {**node, "anyOf": kept}
