"""Rules for every tool: names, descriptions, schemas, hints, and the size of the tool list."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaltasks.face.definitions import tool_definition
from evaltasks.face.progress import SilentProgress
from evaltasks.face.server import INSTRUCTIONS
from evaltasks.tools.catalog import ALIASES, BY_NAME, TOOLS
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.spec import Effect, ToolSpec
from tests.support.agents import MODES, agent

each_tool = pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.name)

Spec = ToolSpec[Any, Any]

VERBS = {"list", "get", "create", "update", "delete", "trigger", "cancel", "wait", "import", "find", "task"}
TOOLS_MAX = 25
TOKENS_MAX = 12_000
READ_ONLY_TOKENS_MAX = 5_000
# Hosts cut descriptions and instructions at 2,048 characters without a word.
WORDS_MAX = 1_500


def _tokens(specs: list[Spec]) -> int:
    """What a model reads of the list, at four characters a token; output schemas stay with the host."""
    shown = [tool_definition(spec).model_dump(mode="json", by_alias=True, exclude_none=True) for spec in specs]
    for tool in shown:
        tool.pop("outputSchema")
    return len(json.dumps(shown, ensure_ascii=False)) // 4


def _schemas(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below a schema, with where it stands."""
    if not isinstance(node, dict):
        return
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _schemas(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        yield from _schemas(node.get(key), f"{path}.{key}")
    for key in ("anyOf", "oneOf", "allOf"):
        for number, child in enumerate(node.get(key, [])):
            yield from _schemas(child, f"{path}.{key}[{number}]")


def test_the_catalog_is_small_and_its_names_are_unique() -> None:
    names = [spec.name for spec in TOOLS]

    assert len(names) == len(set(names)) == len(BY_NAME) <= TOOLS_MAX
    assert not set(ALIASES) & set(names)
    assert set(ALIASES.values()) <= set(names)


def test_the_tool_list_fits_its_token_budget(capsys: pytest.CaptureFixture[str]) -> None:
    reading = [spec for spec in TOOLS if spec.effect is Effect.READS]
    whole, part = _tokens(list(TOOLS)), _tokens(reading)
    with capsys.disabled():
        sys.stdout.write(f"\n{len(TOOLS)} tools cost about {whole:,} tokens, the {len(reading)} that read {part:,}\n")

    assert whole < TOKENS_MAX
    assert part < READ_ONLY_TOKENS_MAX


def test_the_instructions_fit_and_name_only_tools_that_exist() -> None:
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", INSTRUCTIONS)) - {"run_id"}

    assert len(INSTRUCTIONS) < WORDS_MAX
    assert named <= set(BY_NAME)


@each_tool
def test_tool_names_are_a_verb_and_a_resource(spec: Spec) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", spec.name)
    assert spec.name.split("_")[0] in VERBS
    assert len(spec.name) <= 40


@each_tool
def test_tool_descriptions_fit_and_say_when_to_use_the_tool(spec: Spec) -> None:
    assert 40 < len(spec.description) < WORDS_MAX
    assert spec.title
    assert re.search(r"\buse (it|this) (when|to|for|after|before|instead)\b", spec.description, re.IGNORECASE)


@each_tool
def test_every_argument_is_described(spec: Spec) -> None:
    for name, schema in tool_definition(spec).input_schema["properties"].items():
        assert len(schema.get("description", "")) > 8, name


@each_tool
def test_tool_inputs_are_flat_objects_that_strict_hosts_accept(spec: Spec) -> None:
    schema = tool_definition(spec).input_schema

    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert not {"anyOf", "oneOf", "allOf", "not", "if", "$ref", "$defs"} & set(schema)
    for path, part in _schemas(schema):
        assert part, f"{path} is untyped"
        assert not isinstance(part.get("type"), list), f"{path} has several types in one word"
        if part.get("type") == "array":
            assert part.get("items"), f"{path} does not say what its items are"


@each_tool
def test_tool_outputs_are_objects(spec: Spec) -> None:
    schema = tool_definition(spec).output_schema

    assert schema is not None
    assert schema["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf"} & set(schema)


@each_tool
def test_all_four_tool_hints_are_set_and_correct(spec: Spec) -> None:
    hints = tool_definition(spec).annotations

    assert hints is not None
    assert None not in (
        hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint,
    )  # fmt: skip
    assert hints.read_only_hint == (spec.effect is Effect.READS)
    assert not (hints.read_only_hint and hints.destructive_hint)
    if spec.name.startswith(("delete_", "cancel_")):
        assert hints.destructive_hint


@each_tool
async def test_tool_examples_are_valid(spec: Spec, tmp_path: Path) -> None:
    class NonInteractive:
        async def ask(self, question: str, *, confirm_with: str) -> None:
            raise AssertionError("parsing sends nothing")

    async with agent() as it:
        context = ToolContext(
            client=it.backend,
            settings=ToolSettings(),
            progress=SilentProgress(),
            confirm=NonInteractive(),
            time=it.server.app.time if it.server else None,  # type: ignore[arg-type]
        )
        spec.parse(spec.example, context)

    assert spec.example or not spec.input.model_fields


@pytest.mark.parametrize("mode", MODES)
async def test_the_list_is_the_catalog_in_its_order_with_schemas_and_hints(mode: str) -> None:
    async with agent(mode) as it:
        listed = (await it.mcp.list_tools()).tools

    assert [tool.name for tool in listed] == [spec.name for spec in TOOLS]
    assert listed == [tool_definition(spec) for spec in TOOLS]


@pytest.mark.parametrize("mode", MODES)
@each_tool
async def test_an_unknown_argument_is_rejected_by_name(spec: Spec, mode: str) -> None:
    async with agent(mode) as it:
        words = await it.refusal(spec.name, {**spec.example, "colour_of_the_sky": "blue"})

    assert "colour_of_the_sky" in words
    assert "is not an argument of this tool" in words
