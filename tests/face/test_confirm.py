"""Confirmation by the user before a deletion or cancellation, in both protocol eras."""

from __future__ import annotations

import itertools

import pytest
from mcp.types import ElicitResult

from tests.face.probes import deleting
from tests.support.agents import MODES, agent

pytestmark = pytest.mark.parametrize("mode", MODES)

QUESTION = "Delete 'word' and its 3 runs?"


async def test_a_user_who_confirms_is_asked_once(mode: str) -> None:
    async with agent(mode, tools=[deleting()], person="accept") as it:
        answer = await it.answer("delete_word", {"word": "word"})

    assert answer == {"said": "deleted word"}
    assert it.questions == [QUESTION]


@pytest.mark.parametrize(
    ("person", "how"),
    [
        ("decline", "declined"),
        ("cancel", "closed the question"),
        (lambda _: ElicitResult(action="accept", content={"confirm": False}), "said no"),
    ],
)
async def test_a_declined_confirmation_is_final(mode: str, person: object, how: str) -> None:
    async with agent(mode, tools=[deleting()], person=person) as it:  # type: ignore[arg-type]
        words = await it.refusal("delete_word", {"word": "word"})

    assert how in words
    assert "final" in words
    assert "confirm=" not in words
    assert it.questions == [QUESTION]


async def test_a_client_without_elicitation_gets_the_question_and_the_confirm_argument(mode: str) -> None:
    async with agent(mode, tools=[deleting()]) as it:
        words = await it.refusal("delete_word", {"word": "word"})
        answer = await it.answer("delete_word", {"word": "word", "confirm": "word"})

    assert QUESTION in words
    assert 'call delete_word again with the same arguments and confirm="word"' in words
    assert answer == {"said": "deleted word"}


async def test_the_confirm_argument_replaces_the_question(mode: str) -> None:
    async with agent(mode, tools=[deleting()], person="decline") as it:
        answer = await it.answer("delete_word", {"word": "word", "confirm": "word"})

    assert answer == {"said": "deleted word"}
    assert it.questions == []


async def test_an_answer_to_another_question_is_rejected(mode: str) -> None:
    """In the newer era the call is repeated with the answer; what would be lost may have grown meanwhile."""
    numbers = itertools.chain([3, 5], itertools.repeat(5))
    tool = deleting(lambda: f"Delete it and its {next(numbers)} runs?")
    async with agent(mode, tools=[tool], person="accept") as it:
        await it.answer("delete_word", {"word": "word"})

    asked = ["Delete it and its 3 runs?"] if mode == "legacy" else [f"Delete it and its {n} runs?" for n in (3, 5)]
    assert it.questions == asked
