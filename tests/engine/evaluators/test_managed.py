"""The managed code evaluators: results, validation, and hostile values."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.evaluator_kinds import ManagedCodeConfig, ManagedEvaluator
from evaltasks.engine.evaluators.managed import REQUIREMENTS, ManagedCodeEvaluator, problems_of_managed
from evaltasks.engine.evaluators.outcome import Evaluated, Failed


def config(kind: str, variables: tuple[str, ...] = ("output",), **static: Any) -> ManagedCodeConfig:
    types = {"pattern": "REGEX", "keywords": "STRING_ARRAY"}
    params = [{"name": n, "type": types.get(n, "STRING"), "default_value": v} for n, v in static.items()]
    return ManagedCodeConfig.model_validate(
        {"name": "check", "managed_evaluator": kind, "variables": list(variables), "static_params": params}
    )


async def passes(kind: str, value: object, **static: Any) -> bool:
    outcome = await ManagedCodeEvaluator(config(kind, **static)).evaluate({"output": value})
    assert isinstance(outcome, Evaluated)
    assert (outcome.label, outcome.score) in {("true", 1.0), ("false", 0.0)}
    assert outcome.explanation
    assert outcome.provenance == {"judge": "code"}
    return outcome.label == "true"


@pytest.mark.promise("code.managed")
@pytest.mark.parametrize(
    ("kind", "static", "value", "expected"),
    [
        ("MATCHES_REGEX", {"pattern": r"\d{4}"}, "in 1999 or so", True),
        ("MATCHES_REGEX", {"pattern": r"^\d{4}$"}, "in 1999 or so", False),
        ("MATCHES_REGEX", {"pattern": "(?i)É"}, "été", True),
        ("MATCHES_REGEX", {"pattern": '"a": 1'}, {"a": 1}, True),
        ("JSON_PARSEABLE", {}, '{"a": [1, null]}', True),
        ("JSON_PARSEABLE", {}, {"a": 1}, True),
        ("JSON_PARSEABLE", {}, "9" * 100_000, True),
        ("JSON_PARSEABLE", {}, "NaN", False),
        ("JSON_PARSEABLE", {}, "{'a': 1}", False),
        ("JSON_PARSEABLE", {}, "", False),
        ("JSON_PARSEABLE", {}, "[" * 100_000, False),
        ("CONTAINS_ANY_KEYWORD", {"keywords": ["Straße", "road"]}, "HAUPTSTRASSE", True),
        ("CONTAINS_ANY_KEYWORD", {"keywords": ["road"]}, "street", False),
        ("CONTAINS_ALL_KEYWORDS", {"keywords": ["Red", "blue"]}, "BLUE and red", True),
        ("CONTAINS_ALL_KEYWORDS", {"keywords": ["red", "blue"]}, "red", False),
        ("EXACT_MATCH", {"expected": "yes"}, "yes", True),
        ("EXACT_MATCH", {"expected": "yes"}, "Yes", False),
    ],
)
async def test_managed_evaluator_returns_true_or_false_with_an_explanation(
    kind: str, static: dict[str, Any], value: object, expected: bool
) -> None:
    assert await passes(kind, value, **static) is expected


async def test_exact_match_compares_two_variables() -> None:
    evaluator = ManagedCodeEvaluator(config("EXACT_MATCH", ("output", "expected")))

    same = await evaluator.evaluate({"output": "a", "expected": "a"})
    other = await evaluator.evaluate({"output": "abc", "expected": "abd"})

    assert isinstance(same, Evaluated)
    assert isinstance(other, Evaluated)
    assert (same.label, other.label, other.explanation) == ("true", "false", "The texts differ from character 3 on.")


async def test_matches_regex_is_fast_for_a_catastrophic_pattern() -> None:
    started = time.process_time()

    matched = await passes("MATCHES_REGEX", "a" * 100_000 + "b", pattern="(a+)+$")

    assert not matched
    assert time.process_time() - started < 2


async def test_managed_evaluator_fails_rows_with_a_value_that_is_too_long() -> None:
    outcome = await ManagedCodeEvaluator(config("JSON_PARSEABLE")).evaluate({"output": "a" * 5_000_001})

    assert outcome == Failed("a value is longer than 5000000 characters", provenance={"judge": "code"})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (config("MATCHES_REGEX"), "needs the static parameter 'pattern' of type REGEX"),
        (config("MATCHES_REGEX", pattern="("), "not a valid RE2 regular expression"),
        (config("MATCHES_REGEX", pattern="(?=a)b"), "look-around and back-references are not supported"),
        (config("MATCHES_REGEX", pattern=r"(a)\1"), "look-around and back-references are not supported"),
        (config("MATCHES_REGEX", pattern="a" * 10_001), "longer than 10000"),
        (config("MATCHES_REGEX", ("a", "b"), pattern="a"), "takes 1 variable(s), not 2"),
        (config("CONTAINS_ANY_KEYWORD", keywords=[]), "at least one keyword"),
        (config("CONTAINS_ALL_KEYWORDS", keywords=["a", " "]), "no keyword must be blank"),
        (config("CONTAINS_ALL_KEYWORDS", keywords=["a"] * 1001), "at most 1000 keywords, not 1001"),
        (config("CONTAINS_ALL_KEYWORDS", pattern="a"), "needs the static parameter 'keywords' of type STRING_ARRAY"),
        (config("JSON_PARSEABLE", schema="{}"), "takes no static parameter 'schema'; it takes: none"),
        (config("EXACT_MATCH"), "needs the static parameter 'expected' of type STRING"),
        (config("EXACT_MATCH", ("a", "a")), "has the same variable twice"),
        (config("EXACT_MATCH", ("a", "b", "c")), "takes 1 or 2 variable(s), not 3"),
    ],
)
def test_invalid_managed_config_is_refused_at_creation(wrong: ManagedCodeConfig, words: str) -> None:
    assert any(words in problem for problem in problems_of_managed(wrong)), problems_of_managed(wrong)
    with pytest.raises(ValueError, match=r"\w"):
        ManagedCodeEvaluator(wrong)


@pytest.mark.parametrize(
    "largest",
    [
        config("CONTAINS_ANY_KEYWORD", keywords=["a"] * 1000),
        config("MATCHES_REGEX", pattern="a" * 10_000),
        config("EXACT_MATCH", ("a", "b")),
    ],
)
def test_managed_config_at_its_limits_is_accepted(largest: ManagedCodeConfig) -> None:
    assert problems_of_managed(largest) == []


@pytest.mark.parametrize(("matched", "quoted"), [(80, "a" * 80), (81, "a" * 80 + "…")])
async def test_matches_regex_quotes_80_characters_of_the_match(matched: int, quoted: str) -> None:
    outcome = await ManagedCodeEvaluator(config("MATCHES_REGEX", pattern="a+")).evaluate({"output": "a" * matched})

    assert isinstance(outcome, Evaluated)
    assert outcome.explanation == f"The pattern matches “{quoted}”."


async def test_managed_evaluator_reads_a_value_of_the_greatest_length() -> None:
    assert await passes("EXACT_MATCH", "a" * 5_000_000, expected="a" * 5_000_000)


def test_every_managed_evaluator_has_its_requirements() -> None:
    assert set(REQUIREMENTS) == set(ManagedEvaluator)


STATIC: dict[str, dict[str, Any]] = {
    "MATCHES_REGEX": {"pattern": r"(\w+\s?)+é$"},
    "JSON_PARSEABLE": {},
    "CONTAINS_ANY_KEYWORD": {"keywords": ["a", "\ud800"]},
    "CONTAINS_ALL_KEYWORDS": {"keywords": ["a"]},
    "EXACT_MATCH": {"expected": "a"},
}
ANY_TEXT = st.text(st.characters())
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(sorted(STATIC)), ANY_VALUE)
async def test_managed_evaluator_never_raises_for_any_value(kind: str, value: object) -> None:
    await passes(kind, value, **STATIC[kind])


@given(ANY_TEXT)
def test_any_pattern_is_accepted_or_refused_with_a_message(pattern: str) -> None:
    if pattern.strip():
        assert all(problem.strip() for problem in problems_of_managed(config("MATCHES_REGEX", pattern=pattern)))
