"""Reading the verdict of a judge out of its reply."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.engine.evaluators.verdict import cut, read_verdict
from evaltasks.engine.providers.provider import ChatReply

RELEVANCE = {"relevant": 1.0, "not relevant": 0.0}
FACTUAL = {"factual": 1.0, "hallucinated": 0.0}


def verdict_of(text: str, choices: dict[str, float]) -> tuple[str, str] | None:
    verdict = read_verdict(ChatReply(text=text), choices)
    return None if verdict is None else (verdict.label, verdict.answered_by)


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("factual", FACTUAL, ("factual", "label_in_text")),
        (" **Factual**. ", FACTUAL, ("factual", "label_in_text")),
        ("Not relevant", RELEVANCE, ("not relevant", "label_in_text")),
        ("It is not relevant, I think.", RELEVANCE, ("not relevant", "label_in_text")),
        ("It could be factual or not.\nLabel: hallucinated", FACTUAL, ("hallucinated", "label_in_text")),
        ('Sure!\n```json\n{"label": "FACTUAL", "explanation": "x"}\n```', FACTUAL, ("factual", "json_in_text")),
        ("Verdict: **hallucinated**, because…", FACTUAL, ("hallucinated", "label_in_text")),
        ("<think>hallucinated? no.</think>factual", FACTUAL, ("factual", "label_in_text")),
        ('{"broken": {"label": "factual"}', FACTUAL, ("factual", "json_in_text")),
    ],
)
def test_read_verdict_finds_a_label_in_text(text: str, choices: dict[str, float], expected: tuple[str, str]) -> None:
    assert verdict_of(text, choices) == expected


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("", FACTUAL),
        ("This is not factual.", FACTUAL),
        ("It isn't factual", FACTUAL),
        ("factual or hallucinated", FACTUAL),
        ("factually", FACTUAL),
        ("Label: unknown, though one may call it factual", FACTUAL),
        ("Answer: factual or hallucinated", FACTUAL),
        ('{"label": "unknown", "explanation": "factual"}', FACTUAL),
        ('{"label": ["factual"]}', FACTUAL),
        ('{"label": "factual"} {"label": "hallucinated"}', FACTUAL),
        ("irrelevant", {"relevant": 1.0, "unrelated": 0.0}),
        ("{" * 5000, FACTUAL),
        ('{"a":' * 5000, FACTUAL),
    ],
)
def test_read_verdict_returns_none_without_a_clear_label(text: str, choices: dict[str, float]) -> None:
    assert verdict_of(text, choices) is None


def test_read_verdict_distinguishes_choices_that_differ_only_in_case() -> None:
    choices = {"A": 1.0, "a": 0.0, "Yes": 2.0}

    assert [verdict_of("A", choices), verdict_of("a", choices), verdict_of("YES", choices)] == [
        ("A", "label_in_text"),
        ("a", "label_in_text"),
        ("Yes", "label_in_text"),
    ]
    assert verdict_of("yes", {"Yes": 1.0, "YES": 0.0}) is None


def test_read_verdict_prefers_a_structured_answer_to_text() -> None:
    reply = ChatReply(text="hallucinated", structured={"Label": " Factual "}, answered_by="tool_call")

    verdict = read_verdict(reply, FACTUAL)

    assert verdict is not None
    assert (verdict.label, verdict.answered_by, verdict.explanation) == ("factual", "tool_call", None)


@pytest.mark.parametrize(("ends_at", "is_read"), [(20_000, True), (20_001, False)])
def test_read_verdict_reads_the_first_20_000_characters(ends_at: int, is_read: bool) -> None:
    text = " " * (ends_at - len("factual")) + "factual" + " " * 100

    assert verdict_of(text, FACTUAL) == (("factual", "label_in_text") if is_read else None)


@pytest.mark.parametrize(("before", "is_read"), [(63, True), (64, False)])
def test_read_verdict_looks_for_an_object_at_64_braces(before: int, is_read: bool) -> None:
    text = "{ " * before + '{"label": "hallucinated"} factual hallucinated'

    assert verdict_of(text, FACTUAL) == (("hallucinated", "json_in_text") if is_read else None)


def test_cut_shortens_a_reply_of_more_than_500_characters() -> None:
    assert [cut("x" * length) for length in (500, 501)] == ["x" * 500, "x" * 500 + "…"]


REPLIES = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(["factual", "hallucinated", "not ", "Label: ", '{"label": "', '"}', "\n", " "])).map(
        "".join
    ),
    st.recursive(
        st.none() | st.text(max_size=12) | st.sampled_from(["factual", "FACTUAL ", "unknown"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["label", "x"]), inner, max_size=2),
    ).map(json.dumps),
)


@pytest.mark.promise("judge.strict")
@given(REPLIES, st.none() | st.dictionaries(st.sampled_from(["label", "LABEL", "explanation"]), st.text() | st.none()))
def test_read_verdict_never_returns_a_label_outside_the_choices(
    text: str, structured: dict[str, str | None] | None
) -> None:
    verdict = read_verdict(ChatReply(text=text, structured=structured), FACTUAL)

    assert verdict is None or verdict.label in FACTUAL
