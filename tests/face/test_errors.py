"""The table of error messages: complete, and with every cause where there are several."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api import problems
from evaltasks.api.problems import Problem, ServerError
from evaltasks.client import errors as client_errors
from evaltasks.client.errors import ClientError, NotResolved, TimedOut, Unreachable
from evaltasks.face.errors import ERROR_CHARACTERS_MAX, WORDS, message_for
from evaltasks.face.results import ANSWER_CHARACTERS_MAX, truncated_to_fit
from evaltasks.insight.validation import ValidationErrors, ValidationIssue


def _classes(module: object, base: type[Exception]) -> list[type[Exception]]:
    return [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, base)]


@pytest.mark.parametrize("kind", [*_classes(problems, Problem), *_classes(client_errors, ClientError)])
def test_every_error_class_has_its_own_message(kind: type[Exception]) -> None:
    assert kind in WORDS


@pytest.mark.parametrize("kind", _classes(problems, Problem))
def test_an_error_message_has_the_reason_of_the_service_and_advice(kind: type[Problem]) -> None:
    words = message_for(kind("The widget is bent"))

    assert words is not None
    assert "The widget is bent." in words
    assert len(words) > len("The widget is bent.") + 20


@pytest.mark.promise("report.401")
def test_the_message_of_a_401_names_both_causes_and_who_can_fix_it() -> None:
    words = message_for(problems.Unauthorized("No key"))

    assert words is not None
    assert "no valid key" in words
    assert "another account" in words
    assert "the user must" in words


@pytest.mark.promise("report.404")
def test_the_message_of_a_404_names_both_causes() -> None:
    words = message_for(problems.NotFound("No task 't9'"))

    assert words is not None
    assert "does not exist" in words
    assert "cannot see" in words


def test_the_message_of_a_429_says_when_to_retry() -> None:
    assert "in 17 s" in (message_for(problems.RateLimited("Slow down", retry_after_seconds=16.7)) or "")
    assert "in about a minute" in (message_for(problems.RateLimited("Slow down")) or "")


def test_the_message_of_an_unknown_5xx_names_its_status() -> None:
    assert "(507)" in (message_for(ServerError("Full", status=507)) or "")


@pytest.mark.parametrize("kind", [Unreachable, TimedOut])
@pytest.mark.promise("report.words")
def test_the_message_of_a_lost_connection_says_whether_a_change_may_have_happened(kind: type[Unreachable]) -> None:
    assert "Nothing was changed" in (message_for(kind("No connection")) or "")
    assert "may have happened" in (message_for(kind("No answer", may_have_taken_effect=True)) or "")


def test_the_message_of_an_unresolved_name_lists_candidates_with_ids() -> None:
    candidates = [(f"task {i}", f"id-{i}") for i in range(12)]

    words = message_for(NotResolved("No task is called 'tsk'", candidates=candidates)) or ""

    assert "task 0 (id-0)" in words
    assert "and 4 more" in words


def test_an_error_group_is_reported_by_its_first_error_unless_one_is_internal() -> None:
    known = ExceptionGroup("", [problems.NotFound("No a"), problems.Conflict("b")])
    mixed = ExceptionGroup("", [problems.NotFound("No a"), KeyError("b")])

    assert (message_for(known) or "").startswith("No a.")
    assert message_for(mixed) is None


def test_an_internal_error_has_no_message() -> None:
    assert message_for(KeyError("x")) is None


def test_long_messages_are_truncated_and_say_so() -> None:
    issues = [ValidationIssue(f"argument_{i}", "is wrong " * 20, "fix it") for i in range(200)]

    words = message_for(ValidationErrors("a_tool", issues)) or ""

    assert len(words) < ERROR_CHARACTERS_MAX + 100
    assert "more characters omitted" in words


def test_a_result_without_lists_is_truncated_in_its_texts() -> None:
    answer = truncated_to_fit({"parts": {str(i): "x" * 3000 for i in range(200)}})

    assert len(str(answer)) < ANSWER_CHARACTERS_MAX
    assert "Long texts are truncated" in answer["notes"][-1]


_texts = st.text(max_size=8) | st.integers(4_000, 12_000).map(lambda size: "x" * size)
_answers = st.dictionaries(
    st.sampled_from(["rows", "tasks", "by_reason", "label"]),
    st.lists(_texts | st.dictionaries(st.sampled_from("abc"), _texts | st.lists(_texts)), min_size=15, max_size=40)
    | _texts,
)


@given(_answers)
def test_a_truncated_result_fits_and_contains_only_parts_of_the_original(answer: dict[str, Any]) -> None:
    before = json.loads(json.dumps(answer))

    after = truncated_to_fit(answer)

    assert len(json.dumps(after, ensure_ascii=False)) < ANSWER_CHARACTERS_MAX + 2_000
    assert answer == before
    assert set(after) - {"notes"} == set(before)
    for key, value in before.items():
        assert isinstance(after[key], type(value))
        assert len(after[key]) <= len(value)


def test_a_result_that_fits_is_not_changed() -> None:
    answer = {"a": ["x" * 5000], "notes": ["one"]}

    assert truncated_to_fit(answer) == answer


@pytest.mark.parametrize(("num_candidates", "rest"), [(1, ""), (8, ""), (9, "; and 1 more")])
def test_the_message_of_an_unresolved_name_shows_up_to_eight_candidates(num_candidates: int, rest: str) -> None:
    candidates = [(f"task {i}", f"id-{i}") for i in range(num_candidates)]
    shown = "; ".join(f"{name} ({id_})" for name, id_ in candidates[:8])
    assert message_for(NotResolved("No task is called 'tsk'", candidates=candidates)) == (
        f"No task is called 'tsk'. Candidates, as name (id): {shown}{rest}. Call again with one of these ids."
    )


def test_the_note_of_a_truncated_list_advises_a_limit_of_at_least_one() -> None:
    rows = [{"rows": [{"text": "x" * 200}] * n} for n in (1000, 1000)]
    whole = truncated_to_fit({"rows": rows[0]["rows"]})
    kept = len(whole["rows"])
    assert f"rows shows {kept} of 1000; call again with limit={kept} (and the cursor" in whole["notes"][0]
    huge = truncated_to_fit({"rows": [{f"k{n}": "x" for n in range(ANSWER_CHARACTERS_MAX)}]})
    assert "rows shows 0 of 1; call again with limit=1 (and the cursor" in huge["notes"][0]
