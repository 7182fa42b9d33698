"""The published JSON schemas of a tool: what a host shows to a model.

Compact and honest: one flat object, nothing at the root but type, properties, required and additionalProperties,
definitions put in where they are used, no titles, no null branches. An argument that may be left out is simply not
required; JSON null is read as "not given", so a null branch would tell a model nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, cast

from pydantic import BaseModel

from evaltasks.tools.spec import ToolSpec

Schema = dict[str, Any]

# A definition inside itself cannot be put in; nothing here nests deeper than this.
_DEPTH_MAX = 12
_LEVELS_SHOWN = 2
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
# Under these keys stand names, not keywords: a property may be called `title`.
_NAMED = frozenset({"properties", "patternProperties"})


def input_schema(spec: ToolSpec[Any, Any]) -> Schema:
    """The arguments. Defaults of null are left out: absent means the same."""
    return _input_schema(cast(Hashable, spec.input))


def output_schema(spec: ToolSpec[Any, Any]) -> Schema:
    """The structured answer. What may be null is not required, because nulls are dropped when an answer is sent.

    Further properties are allowed: an older client that validates must not choke on a newer answer. Two levels are
    shown; what lies deeper explains itself in the answer, and every list of tools would carry it.
    """
    return _output_schema(cast(Hashable, spec.output))


# A model's schema never changes, takes pydantic 10 ms, and is asked for by every server of a process.
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
    """The schema without the properties of objects below the second level."""
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
        beside = {key: value for key, value in node.items() if key != "$ref"}
        # The docstring of a shared type says less than the description where it is used.
        return _walked({**target, **beside}, definitions, depth + 1)
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
            # Bounds behind a validator of ours keep pydantic's words, which JSON schema does not know.
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
