"""Our models can express only what AX accepts: every member, query parameter and enum value, at any depth.

The shapes are AX's (`tests/support/ax_shapes.py`); what is ours alone is in a list there, so that a new member of
our own is a decision and no accident.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from evaltasks.api import operations as ops
from evaltasks.api.operations import OPERATIONS, Operation
from tests.support.ax_rules import Anything, Listed, Mapped, Plain, Record, Rule, Tagged
from tests.support.ax_shapes import OURS_ALONE, SHAPES, operation_of, problems_of

OF_AX = [row for row in OPERATIONS if not row.path.startswith("/evaltasks/v1/")]
# The heuristic judge: a value that only an engine has, and that tools offer only for an engine.
OUR_WORDS = {"HEURISTIC"}
# Only in responses: the models refuse an evaluator whose type is not that of its version.
_NEVER_SENT = {"HARNESS"}


def test_every_operation_has_a_shape_with_the_same_path_and_every_shape_an_operation() -> None:
    ours = {row.name: (row.method, row.path) for row in OF_AX}
    assert ours == {name: (shape.method, shape.path) for name, shape in SHAPES.items()}


@pytest.mark.promise("write.known")
@pytest.mark.parametrize("row", OF_AX, ids=lambda row: row.name)
def test_no_member_parameter_or_enum_value_unknown_to_ax_can_be_sent(row: Operation[..., Any]) -> None:
    shape = SHAPES[row.name]
    unknown: set[str] = set()
    if row.query is not None:
        schema = row.query.model_json_schema(mode="serialization")
        unknown |= {f"query.{name}" for name in schema.get("properties", {}) if name not in shape.query}
        for name, own in schema.get("properties", {}).items():
            if name in shape.query:
                unknown |= set(_unknown(own, shape.query[name], schema.get("$defs", {}), f"query.{name}"))
    if row.body is not None:
        assert shape.body is not None
        schema = row.body.model_json_schema(mode="validation")
        unknown |= set(_unknown(schema, shape.body, schema.get("$defs", {}), "body"))
    assert unknown == OURS_ALONE.get(row.name, frozenset())


def test_a_body_is_sent_only_where_ax_expects_one() -> None:
    assert {row.name for row in OF_AX if row.body is not None} == {n for n, s in SHAPES.items() if s.body is not None}
    assert {row.name for row in OF_AX if row.query is not None} == {n for n, s in SHAPES.items() if s.query}


@pytest.mark.parametrize(
    ("operation", "query", "body", "issue"),
    [
        ("list_tasks", {"mood": "x"}, None, "query.mood is not known"),
        ("list_tasks", {"limit": "101"}, None, "query.limit is more than 100: 101"),
        ("list_tasks", {"type": "code_evaluation"}, None, "query.type is none of"),
        ("get_task", {}, {}, "a body was sent and none is taken"),
        ("create_task", {}, None, "a body is missing"),
        ("create_task", {}, {"type": "code_evaluation"}, "body.type is none of"),
        ("rename_project", {}, {"name": None}, "body.name must not be null"),
        ("rename_project", {}, {"name": "n", "colour": 1}, "body.colour is not known"),
        ("create_dataset", {}, {"name": "n", "space_id": "s", "examples": [{"id": "x"}]}, "examples[0].id is not"),
        ("update_evaluator", {}, {}, "body changes nothing"),
        ("trigger_task_run", {}, {"max_spans": True}, "body.max_spans must be a whole number, not True"),
        ("trigger_task_run", {}, {"data_start_time": "yesterday"}, "body.data_start_time is not like"),
    ],
)
def test_the_strict_service_reports_what_it_rejects(
    operation: str, query: Mapping[str, str], body: Any, issue: str
) -> None:
    assert any(issue in reported for reported in problems_of(operation, query, body)), problems_of(
        operation, query, body
    )


def test_literal_path_segments_take_precedence_when_matching_a_request() -> None:
    assert operation_of("POST", "/v2/spans/annotate") == ops.ANNOTATE_SPANS.name
    assert operation_of("GET", "/v2/tasks/T%3D") == ops.GET_TASK.name
    assert operation_of("PUT", "/v2/tasks/T%3D") is None


def _unknown(schema: Mapping[str, Any], rule: Rule, defs: Mapping[str, Any], where: str) -> Iterator[str]:
    """Return every place at which the schema allows more than the rule."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _unknown(part, rule, defs, where)
    if "enum" in schema or "const" in schema:
        words = set(schema.get("enum", [schema.get("const")]))
        yield from sorted(f"{where}={word}" for word in words - _words(rule) - OUR_WORDS - _NEVER_SENT)
    if "items" in schema:
        yield from _unknown(schema["items"], _inside(rule, Listed), defs, f"{where}[]")
    members = _members(rule)
    for name, own in schema.get("properties", {}).items():
        if name not in members:
            yield f"{where}.{name}"
        else:
            for choice in members[name]:
                # A value is unknown if no variant of the record allows it, so every variant is checked.
                yield from _unknown(own, choice if len(members[name]) == 1 else Tagged("", _named(members[name])),
                                    defs, f"{where}.{name}")  # fmt: skip


def _members(rule: Rule) -> dict[str, list[Rule]]:
    if isinstance(rule, Record):
        return {name: [own] for name, own in rule.members.items()}
    found: dict[str, list[Rule]] = {}
    if isinstance(rule, Tagged):
        for choice in rule.choices.values():
            for name, own in _members(choice).items():
                known = found.setdefault(name, [])
                known += [each for each in own if each not in known]
        if rule.tag:
            found[rule.tag] = [Plain((str,), "a word", words=tuple(rule.choices))]
    return found


def _named(rules: list[Rule]) -> dict[str, Rule]:
    return {str(number): rule for number, rule in enumerate(rules)}


def _words(rule: Rule) -> set[str]:
    if isinstance(rule, Plain):
        return set(rule.words)
    return set().union(*(_words(choice) for choice in rule.choices.values())) if isinstance(rule, Tagged) else set()


def _inside(rule: Rule, kind: type[Listed]) -> Rule:
    if isinstance(rule, kind):
        return rule.item
    if isinstance(rule, Tagged):
        return Tagged("", _named([c.item for c in rule.choices.values() if isinstance(c, kind)]))
    assert isinstance(rule, Anything | Mapped), f"AX takes no list here: {rule}"
    return Anything()
