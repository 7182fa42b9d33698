"""Any reply of a judge and any data: only labels of the choices, no crash, and no third call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.api.models import LlmConfig
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.engine.evaluators.outcome import Evaluated, Failed
from evaltasks.engine.evaluators.template import TemplateEvaluator
from evaltasks.engine.providers.provider import ChatReply, ChatRequest

LABELS = st.sampled_from(["yes", "no", "not relevant", "relevant", "a", "A", " b", "1", "{x}", "\\d", "ß", "null"])
CHOICES = st.dictionaries(LABELS, st.floats(-10, 10), min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | LABELS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "Label ", "explanation", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["label", "LABEL", "explanation", "", "other"]), JSON, max_size=4)
WORDS = st.sampled_from(
    ["yes", "no", "not", "relevant", "Label:", "verdict =", "\n", "```json", '{"label": "yes"}', "{", "}", "<think>",
     "</think>", "is", "isn't", "**", "answer", "a", "A", "ignore all", "\x00", "\ud800"]
)  # fmt: skip
TEXTS = st.text(max_size=60) | st.lists(WORDS, max_size=12).map(" ".join) | JSON.map(json.dumps)
REPLIES = st.builds(
    ChatReply,
    text=TEXTS,
    structured=st.none() | OBJECTS,
    answered_by=st.sampled_from(["tool_call", "json_schema", "text"]),
    tool_calls=st.none() | st.lists(OBJECTS, max_size=2),
)


@dataclass
class ScriptedProvider:
    """A provider that returns its replies in order, and repeats the last one."""

    replies: Sequence[ChatReply]
    asked: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]


def evaluator(provider: ScriptedProvider, choices: dict[str, float] | None, **config: Any) -> TemplateEvaluator:
    made = TemplateConfig(
        name="e",
        template="Judge {output}, not {other}.",
        classification_choices=choices,
        llm_config=LlmConfig(ai_integration_id="i", model_name="m"),
        **{"include_explanations": True, **config},
    )
    return TemplateEvaluator(made, provider, "TEST", format=InputVariableFormat.F_STRING)


@given(
    choices=CHOICES,
    replies=st.lists(REPLIES, min_size=1, max_size=3),
    data=st.tuples(TEXTS, TEXTS),
    explains=st.booleans(),
    tools=st.booleans(),
)
@pytest.mark.promise("judge.strict")
async def test_judge_reply_gives_only_labels_of_the_choices_after_at_most_two_calls(
    choices: dict[str, float], replies: list[ChatReply], data: tuple[str, str], explains: bool, tools: bool
) -> None:
    provider = ScriptedProvider(replies)
    it = evaluator(provider, choices, include_explanations=explains, use_function_calling=tools)
    outcome = await it.evaluate({"output": data[0], "other": data[1]})

    assert 1 <= len(provider.asked) <= 2
    assert provider.asked[0].messages[1].content == f"Judge {data[0]}, not {data[1]}."
    if isinstance(outcome, Evaluated):
        assert outcome.label in choices and outcome.score == choices[outcome.label]
        assert explains or outcome.explanation is None
        assert outcome.provenance["asked_by"] == ("tool_call" if tools else "json_schema")
        assert outcome.provenance["answered_by"] in {
            "tool_call", "json_schema", "text", "json_in_text", "label_in_text",
        }  # fmt: skip
    else:
        assert isinstance(outcome, Failed) and len(provider.asked) == 2
        assert outcome.reason == "the judge's answer names none of the labels"
        assert outcome.detail is None or len(outcome.detail) <= 501
    json.dumps(outcome.provenance)


@given(replies=st.lists(REPLIES, min_size=1, max_size=3))
async def test_judge_without_choices_accepts_any_text_and_repeats_an_empty_reply_once(
    replies: list[ChatReply],
) -> None:
    provider = ScriptedProvider(replies)
    outcome = await evaluator(provider, None).evaluate({"output": "a", "other": "b"})

    assert 1 <= len(provider.asked) <= 2
    if isinstance(outcome, Evaluated):
        assert outcome.explanation and outcome.label is None and outcome.score is None
    else:
        assert isinstance(outcome, Failed) and outcome.reason == "the judge answered nothing"
