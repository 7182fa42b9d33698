"""Rendering the request to an agent from a template, a schema and one example."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.engine.evaluators.input_template import (
    CannotCast,
    columns_of,
    fill,
    schema_problem,
    template_problems,
    without_dataset_prefix,
)

NUMBERS = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("{}$ab.", max_size=6), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TYPES = ["string", "number", "integer", "boolean", "object", "array"]
IS = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def cast(value: object, schema: Any) -> object:
    return fill({"x": "{{v}}"}, {"properties": {"x": schema}}, {"v": value})["x"]


@pytest.mark.parametrize(
    ("value", "schema", "sent"),
    [
        ("42", {"type": "integer"}, 42),
        (" -7 ", {"type": "integer"}, -7),
        ("42.0", {"type": "integer"}, 42),
        (42.0, {"type": "integer"}, 42),
        ("1e3", {"type": "number"}, 1000.0),
        ("42", {"type": "number"}, 42),
        ("True", {"type": "boolean"}, True),
        ('{"a": [1]}', {"type": "object"}, {"a": [1]}),
        ("[1]", {"type": "array"}, [1]),
        (7, {"type": "string"}, "7"),
        (True, {"type": "string"}, "true"),
        ({"a": 1}, {"type": "string"}, '{"a": 1}'),
        ("7", {}, "7"),
        (7, True, 7),
        (None, {"type": "integer"}, None),
        ("7", {"type": ["null", "integer"]}, 7),
        ("7", {"type": ["string", "integer"]}, "7"),
        ("7", {"anyOf": [{"type": "null"}, {"type": "integer"}]}, 7),
        ("7", {"$ref": "#/properties/y"}, "7"),
    ],
)
def test_fill_casts_values_to_the_type_of_the_schema(value: object, schema: Any, sent: object) -> None:
    made = cast(value, schema)
    assert made == sent and type(made) is type(sent)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", "integer"),
        ("1.5", "integer"),
        ("1_000", "integer"),
        ("NaN", "number"),
        ("1e999", "number"),
        ("9" * 5000, "integer"),
        (True, "integer"),
        (1, "boolean"),
        ("yes", "boolean"),
        ("[1]", "object"),
        ("[" * 100_000, "array"),
        ([1], "object"),
    ],
)
def test_cast_error_names_column_and_type_and_has_the_value_as_detail(value: object, kind: str) -> None:
    with pytest.raises(CannotCast) as misfit:
        cast(value, {"type": kind})
    assert "'v'" in misfit.value.reason and kind in misfit.value.reason
    assert len(misfit.value.detail) <= 500


@given(value=JSON, kind=st.sampled_from(TYPES))
def test_fill_sends_the_type_of_the_schema_or_raises(value: Any, kind: str) -> None:
    try:
        made = cast(value, {"type": kind})
    except CannotCast:
        return
    assert made is None if value is None else IS[kind](made)


BRACED = st.lists(st.sampled_from(["{{other}}", "{{{v}}}", "{{&other}}", "{{", "}}", "{", "}", "a "]), max_size=6)


@given(value=BRACED.map("".join), before=st.text("ab {", max_size=8))
def test_fill_never_expands_inserted_values(value: str, before: str) -> None:
    values = {"v": value, "other": "LEAK"}
    assert fill({"x": "{{v}}"}, {}, values) == {"x": value}
    assert fill({"x": f"{before}|{{{{v}}}}|"}, {}, values) == {"x": f"{before}|{value}|"}


WORDS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "$ref", "required", "additionalProperties", "$id", "$anchor", "$defs"]
)


@given(template=st.dictionaries(st.text(max_size=8), JSON, max_size=4), schema=st.dictionaries(WORDS, JSON))
def test_fill_never_crashes_on_any_template_or_schema(template: dict[str, Any], schema: dict[str, Any]) -> None:
    schema_problem(schema)
    template_problems(template, schema)
    values = dict.fromkeys(columns_of(template), "{{x}}")
    with suppress(CannotCast):
        json.dumps(fill(template, schema, values))
    assert without_dataset_prefix(without_dataset_prefix(template)) == without_dataset_prefix(template)


def test_fill_keeps_keys_and_literals() -> None:
    template = {"{{v}}": 1, "n": None, "b": False, "l": [1.5, "{single} {{v}}{{{v}}}{{&v}}"]}
    assert fill(template, {}, {"v": "x"}) == {"{{v}}": 1, "n": None, "b": False, "l": [1.5, "{single} xxx"]}


def test_columns_of_accepts_spaces_paths_and_the_dataset_prefix() -> None:
    template = {"a": "{{user question}}", "b": "{{ dataset.meta.age }} {{docs[0].text}}", "c": ["{{user question}}"]}
    assert columns_of(template) == ("user question", "meta.age", "docs[0].text")


def test_cyclic_or_unresolvable_references_have_no_type() -> None:
    circle = {"properties": {"x": {"$ref": "#/properties/x"}}}
    assert fill({"x": "{{v}}"}, circle, {"v": "7"}) == {"x": "7"}
    tangle = {"$ref": "#"}
    root = {"anyOf": [tangle] * 50, "allOf": [{"anyOf": [tangle] * 50}, {"properties": {"x": {"type": "integer"}}}]}
    assert fill({"x": "{{v}}", "y": "{{v}}"}, root, {"v": "7"}) == {"x": 7, "y": "7"}
    assert cast("7", {"$ref": "#/nowhere"}) == "7" and cast("7", {"$ref": "https://elsewhere/schema"}) == "7"


@pytest.mark.parametrize(
    ("root", "reference"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "#/anyOf/1"),
        ({"$defs": {"a b/c~d": {"type": "integer"}}}, "#/$defs/a%20b~1c~0d"),
        ({"$defs": {"count": {"$anchor": "count", "type": "integer"}}}, "#count"),
        ({"$id": "https://agent.example/in", "$defs": {"n": {"$id": "count", "type": "integer"}}}, "count"),
        ({"$id": "https://agent.example/in", "$defs": {"n": {"type": "integer"}}}, "https://agent.example/in#/$defs/n"),
    ],
)
def test_a_reference_within_the_schema_leads_to_its_type(root: dict[str, Any], reference: str) -> None:
    assert fill({"x": "{{v}}"}, {**root, "properties": {"x": {"$ref": reference}}}, {"v": "7"}) == {"x": 7}


@pytest.mark.parametrize(
    ("root", "reference"),
    [
        ({"title": 5}, "#/title/a"),
        ({"anyOf": [{}]}, "#/anyOf/first"),
        ({"$defs": 5}, "#anchor"),
        ({"anyOf": [5, None]}, "#anchor"),
        ({"$anchor": [1]}, "#anchor"),
        ({}, "http://[bad"),
    ],
)
def test_a_reference_in_a_schema_that_is_not_valid_has_no_type(root: dict[str, Any], reference: str) -> None:
    assert fill({"x": "{{v}}"}, {**root, "properties": {"x": {"$ref": reference}}}, {"v": "7"}) == {"x": "7"}


@pytest.mark.parametrize(
    "broken", [{"$id": 5}, {"properties": {"y": {"properties": None}}}, {"allOf": 5}, {"items": [5]}]
)
def test_a_pointer_leads_to_its_type_even_where_another_part_of_the_schema_is_not_valid(broken: dict[str, Any]) -> None:
    root = {**broken, "$defs": {"n": {"type": "integer"}}, "additionalProperties": {"$ref": "#/$defs/n"}}
    assert fill({"x": "{{v}}"}, root, {"v": "7"}) == {"x": 7}


def _nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


def test_template_and_schema_may_be_nested_64_levels_deep() -> None:
    refused = "is nested deeper than 64 levels"
    assert [schema_problem(_nested(levels)) for levels in (64, 65)] == [None, refused]
    # The template itself is level 0.
    assert [template_problems(_nested(levels), {}) for levels in (65, 66)] == [[], [f"input_template {refused}"]]


@pytest.mark.parametrize(("wrong", "listed"), [(9, 9), (10, 10), (11, 10)])
def test_template_problems_lists_the_first_ten(wrong: int, listed: int) -> None:
    template = {f"k{n}": "text" for n in range(wrong)}
    problems = template_problems(template, {"additionalProperties": {"type": "integer"}})
    assert problems == [f"input_template.k{n} must be integer, as the agent's input schema says" for n in range(listed)]


@pytest.mark.parametrize(("references", "sent"), [(15, 7), (16, "7")])
def test_at_most_fifteen_references_are_followed_from_one_to_the_next(references: int, sent: object) -> None:
    chain: dict[str, Any] = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1, references)}
    chain[f"d{references}"] = {"type": "integer"}
    root = {"$defs": chain, "properties": {"x": {"$ref": "#/$defs/d1"}}}
    assert fill({"x": "{{v}}"}, root, {"v": "7"}) == {"x": sent}


def test_templates_and_schemas_nested_too_deeply_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    assert any("nested deeper" in problem for problem in template_problems(deep, {}))
    assert "nested deeper" in str(schema_problem({"type": "object", "properties": deep}))
