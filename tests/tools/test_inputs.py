"""Arguments: harmless slips are repaired with a note; ambiguous values are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from evaltasks.client.client import Client
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools.catalog import BY_NAME
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.inputs import (
    Count,
    ExperimentNameText,
    Flag,
    Fraction,
    Limit,
    TaskTypeWord,
    Text,
    TextMap,
    Texts,
    UtcTime,
)
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec
from evaltasks.tools.task_inputs import Evaluators, QueryFiltersArgument, RunConfigurationArgument
from tests.support.tool_calls import Person, RealTime, RecordedProgress


class Everything(Input):
    word: TaskTypeWord | None = Field(default=None)
    text: Text | None = Field(default=None)
    texts: Texts | None = Field(default=None)
    number: Fraction | None = Field(default=None)
    count: Count | None = Field(default=None)
    limit: Limit | None = Field(default=None)
    flag: Flag | None = Field(default=None)
    time: UtcTime | None = Field(default=None)
    name: ExperimentNameText | None = Field(default=None)
    metadata: TextMap | None = Field(default=None)
    evaluators: Evaluators | None = Field(default=None)
    query_filters: QueryFiltersArgument | None = Field(default=None)
    run_configuration: RunConfigurationArgument | None = Field(default=None)


class Nothing(Output):
    pass


async def nothing(arguments: Everything, context: ToolContext) -> Nothing:
    return Nothing()


SPEC = ToolSpec("everything", "", "", Effect.READS, Group.TASKS, Everything, Nothing, nothing)


def context_for(settings: ToolSettings | None = None) -> ToolContext:
    # Parsing sends nothing: this is not a client, so a call would fail.
    no_client = cast(Client, object())
    return ToolContext(no_client, settings or ToolSettings(), RecordedProgress(), Person(), RealTime())


def read(argument: str, value: object, settings: ToolSettings | None = None) -> tuple[Any, list[str]]:
    """Return the values that were read, and the notes."""
    context = context_for(settings)
    return getattr(SPEC.parse({argument: value}, context), argument), context.notes


def refusal(argument: str, value: object, settings: ToolSettings | None = None) -> str:
    with pytest.raises(ValidationErrors) as caught:
        SPEC.parse({argument: value}, context_for(settings))
    assert all(issue.argument.startswith(argument) for issue in caught.value.issues)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value", "understood"),
    [
        ("word", "TEMPLATE_EVALUATION", "template_evaluation"),
        ("word", "Code-Evaluation", "code_evaluation"),
        ("text", "  support bot ", "support bot"),
        ("texts", ["a", "b"], ["a", "b"]),
        ("number", 1, 1.0),
        ("time", "2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("time", "2026-11-01t10:00:00.123456789z", datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("metadata", {"a": "b"}, {"a": "b"}),
        ("flag", False, False),
    ],
)
def test_well_formed_arguments_are_accepted_without_a_note(argument: str, value: object, understood: object) -> None:
    assert read(argument, value) == (understood, [])


@pytest.mark.parametrize(
    ("argument", "value", "understood"),
    [
        ("text", 12, "12"),
        ("texts", "a", ["a"]),
        ("texts", "exp_abc123,exp_def456", ["exp_abc123", "exp_def456"]),
        ("texts", '["a", "b"]', ["a", "b"]),
        ("texts", ["a", "a"], ["a"]),
        ("number", "0.1", 0.1),
        ("number", "10%", 0.1),
        ("count", "500", 500),
        ("limit", "15", 15),
        ("flag", "true", True),
        ("flag", "No", False),
        ("flag", 1, True),
        ("time", "2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("time", "2026-11-01T10:00:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("metadata", '{"a": "b"}', {"a": "b"}),
        ("metadata", {"a": 1, "b": True}, {"a": "1", "b": "true"}),
    ],
)
def test_a_harmless_slip_is_repaired_with_a_note(argument: str, value: object, understood: object) -> None:
    got, notes = read(argument, value)
    assert got == understood
    assert len(notes) == 1
    assert notes[0].startswith(argument)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("word", "evaluation"), ("text", ""), ("text", "  "), ("text", True), ("text", {}), ("texts", []),
        ("texts", ""), ("texts", [""]), ("texts", "[1"), ("texts", {"a": 1}), ("number", 10), ("number", -0.1),
        ("number", "nan"), ("number", "lots"), ("number", True), ("number", float("nan")), ("count", 0),
        ("count", 1.5), ("limit", 101), ("flag", "maybe"), ("flag", 2), ("time", 0), ("time", "0"),
        ("time", "1970-01-01T00:00:00Z"), ("time", "0001-01-01"), ("time", 1762000000), ("time", ""),
        ("time", "yesterday"), ("time", "9999-12-31T23:59:59-23:00"), ("name", 'say "x"'), ("name", "a\\b"),
        ("name", "x" * 256), ("metadata", {"a": {}}), ("metadata", []), ("metadata", "{"),
        ("metadata", "@file.json"), ("evaluators", 1), ("evaluators", [1]), ("evaluators", [{}]),
        ("run_configuration", "x"), ("query_filters", {"filters": []}),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_wrong_is_refused(argument: str, value: object) -> None:
    assert refusal(argument, value)


def test_an_evaluator_is_accepted_in_every_documented_form() -> None:
    ways: list[object] = [
        [{"evaluator_id": "e", "query_filter": None, "column_mappings": None}],  # the example in the AX documents
        {"evaluator_id": "e"},
        ["e"],
        "e",
        '[{"evaluator_id": "e"}]',
    ]
    for way in ways:
        [attachment] = read("evaluators", way)[0]
        assert (attachment.evaluator_id, attachment.model_dump(exclude_unset=True)) == ("e", {"evaluator_id": "e"})


def test_every_error_inside_a_list_has_its_path() -> None:
    text = refusal("evaluators", [{"evaluator_id": "e", "filter": "x"}, {"query_filter": "y"}])
    assert "1. evaluators[0].filter: is not a field of this object" in text
    assert "2. evaluators[1].evaluator_id: is required" in text


def test_all_unreadable_arguments_are_reported_together() -> None:
    with pytest.raises(ValidationErrors) as caught:
        SPEC.parse({"number": 7, "flag": "maybe", "colour": "red", "time": 0}, context_for())
    assert {issue.argument for issue in caught.value.issues} == {"number", "flag", "colour", "time"}


def test_a_file_is_read_only_below_the_allowed_directories(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text('{"run": "7"}')
    (tmp_path / "b.json").write_text('{"run": "8"}')
    allowed = ToolSettings(allowed_dirs=(tmp_path / "in",))
    assert read("metadata", "@a.json", allowed)[0] == {"run": "7"}
    assert "may read" in refusal("metadata", "@../b.json", allowed)
    assert "no directory is allowed" in refusal("metadata", "@a.json")


def test_a_long_value_is_never_echoed() -> None:
    secret = "sk-" + "a" * 300
    for argument in ("word", "number", "flag", "time", "limit", "run_configuration"):
        assert secret not in refusal(argument, secret)
    assert "a" * 100 not in refusal("evaluators", [{"evaluator_id": "e", secret: 1}])


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["@x", "{", "[", '{"a": 1}', "1e999", "2026-01-01", "9" * 5000, "[" * 5000, "\ud800"])
)  # fmt: skip
KEYS = st.sampled_from(
    ["evaluator_id", "filters", "id", "experiment_type", "messages", "add", "remove", "change"]
) | st.text(max_size=8)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)


# Three explicit levels: st.recursive takes five times as long to generate the same.
JUNK = LEAVES | _around(LEAVES | _around(LEAVES | _around(LEAVES)))


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_arbitrary_arguments_produce_issues_or_a_valid_input_and_never_an_exception(name: str) -> None:
    spec = BY_NAME[name]
    arguments = st.dictionaries(st.sampled_from(sorted(spec.input.model_fields)) | st.text(max_size=5), JUNK)

    @settings(max_examples=60, deadline=None)
    @given(arguments)
    def law(junk: dict[str, Any]) -> None:
        try:
            parsed = spec.parse(junk, context_for())
        except ValidationErrors as refused:
            assert refused.issues
            assert len(str(refused)) < 20_000
        else:
            assert isinstance(parsed, spec.input)

    law()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1762000000, "is a number, not a time"),
        (1762000000.5, "is a number, not a time"),
        (" -1762000000 ", "is a number, not a time"),
        ([], "is not a time"),
        ("  ", "is not a time"),
        ("20261101T", "is not an ISO 8601 time"),
        ("0001-01-01T00:00:00+01:00", "is outside the calendar"),
        ("1970-12-31T23:59:59Z", "is in 1970 or earlier"),
    ],
)
def test_the_refusal_of_a_time_says_what_was_passed(value: object, problem: str) -> None:
    assert f"time: {problem}" in refusal("time", value)


def test_the_first_time_that_is_accepted_is_the_year_1971() -> None:
    assert read("time", "1971-01-01T00:00:00Z") == (datetime(1971, 1, 1, tzinfo=UTC), [])
