"""Template evaluators against a real server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.evaluators.kinds import make_evaluator
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Failed
from evaltasks.engine.providers.catalog import open_providers
from evaltasks.engine.providers.provider import PermanentFailure, RetryLater
from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from evaltasks.engine.sandbox.sandbox import Sandbox
from tests.support.judges import Answer, JudgeServer, judge_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SANDBOX = Sandbox(SandboxKind.MONTY, SandboxLimits())


def integration(base_url: str | None, **fields: Any) -> AiIntegration:
    defaults = {"id": "i", "name": "local", "provider": "CUSTOM", "created_at": NOW, "updated_at": NOW}
    return AiIntegration.model_validate({**defaults, "base_url": base_url, **fields})


def template_version(template: str = "Is {output} right?", **config: Any) -> EvaluatorVersion:
    return version(
        template_config={
            "name": "right",
            "template": template,
            "include_explanations": True,
            "classification_choices": {"yes": 1, "no": 0},
            "llm_config": {"ai_integration_id": "i", "model_name": "m"},
            **config,
        }
    )


def version(**config: Any) -> EvaluatorVersion:
    return EvaluatorVersion.model_validate(
        {"id": "v", "evaluator_id": "e", "type": "TEMPLATE", "created_at": NOW, **config}
    )


@asynccontextmanager
async def evaluator(judge: JudgeServer, **config: Any) -> AsyncIterator[Evaluator]:
    async with open_providers({}) as providers:
        yield await make_evaluator(template_version(**config), providers, integration(judge.base_url), SANDBOX)


@pytest.mark.promise("judge.score", "judge.one_call")
async def test_template_evaluator_returns_label_score_explanation_and_provenance() -> None:
    async with judge_server() as judge, evaluator(judge) as it:
        outcome = await it.evaluate({"output": "{input} [[label: yes]]"})

    assert isinstance(outcome, Evaluated)
    assert (outcome.label, outcome.score) == ("yes", 1.0)
    assert outcome.explanation == "Because the test server says so."
    assert outcome.provenance.pop("latency_ms") >= 0
    assert outcome.provenance.pop("prompt_tokens") > 0
    assert outcome.provenance == {
        "judge": "llm",
        "provider": "CUSTOM",
        "model": "m",
        "completion_tokens": 20,
        "asked_by": "tool_call",
        "answered_by": "tool_call",
        "cost_usd": "unknown",
    }


@pytest.mark.promise("judge.one_call")
async def test_template_reaches_the_judge_unchanged() -> None:
    async with judge_server() as judge, evaluator(judge, template='Is {output} right? {{"a": 1}}') as it:
        await it.evaluate({"output": "{x}"})

    assert judge.requests[0].prompt == 'Is {x} right? {"a": 1}'
    assert judge.requests[0].body["messages"][0]["role"] == "system"


@pytest.mark.promise("judge.structured")
@pytest.mark.parametrize(
    ("server", "config", "answered_by"),
    [
        ({}, {"use_function_calling": False}, "json_schema"),
        ({}, {"use_function_calling": False, "use_structured_output": False}, "label_in_text"),
        ({"tools": "ignores"}, {}, "json_schema"),
        ({"tools": "refuses"}, {}, "json_schema"),
        ({"tools": "refuses", "json_schema": "refuses"}, {}, "label_in_text"),
        ({"tools": "ignores", "json_schema": "ignores"}, {}, "label_in_text"),
    ],
)
async def test_provenance_records_how_the_judge_answered(
    server: dict[str, Any], config: dict[str, Any], answered_by: str
) -> None:
    async with judge_server(**server) as judge, evaluator(judge, **config) as it:
        outcome = await it.evaluate({"output": "[[label: no]]"})

    assert isinstance(outcome, Evaluated)
    assert (outcome.label, outcome.provenance["answered_by"]) == ("no", answered_by)


async def test_judge_without_a_label_is_reminded_once() -> None:
    script = [Answer.tool_call('{"label": "perhaps"}'), Answer.tool_call('{"label": "No", "explanation": "so"}')]
    async with judge_server(script=script) as judge, evaluator(judge) as it:
        outcome = await it.evaluate({"output": "x"})

    assert isinstance(outcome, Evaluated)
    assert (outcome.label, outcome.explanation) == ("no", "so")
    assert (outcome.provenance["reminders"], outcome.provenance["completion_tokens"]) == (1, 40)
    assert judge.requests[1].prompt.endswith('Answer with exactly one of: "yes", "no".')


@pytest.mark.promise("judge.strict")
async def test_judge_that_never_names_a_label_fails_the_row_with_its_reply_as_detail() -> None:
    never = Answer.tool_call('{"label": "x' + "y" * 1000 + '"}')
    async with judge_server(script=lambda _: never) as judge, evaluator(judge) as it:
        outcome = await it.evaluate({"output": "x"})

    assert isinstance(outcome, Failed)
    assert outcome.reason == "the judge's answer names none of the labels"
    assert outcome.detail is not None
    assert len(outcome.detail) < 600
    assert len(judge.requests) == 2


async def test_template_without_choices_returns_the_answer_as_explanation() -> None:
    async with judge_server() as judge, evaluator(judge, classification_choices=None) as it:
        outcome = await it.evaluate({"output": "[[text: Rather good.]]"})

    assert isinstance(outcome, Evaluated)
    assert (outcome.label, outcome.score, outcome.explanation) == (None, None, "Rather good.")


@pytest.mark.promise("judge.explanation")
async def test_explanation_is_requested_and_kept_only_if_configured() -> None:
    async with judge_server() as judge, evaluator(judge, include_explanations=False) as it:
        outcome = await it.evaluate({"output": "x"})

    assert isinstance(outcome, Evaluated)
    assert outcome.explanation is None
    assert list(judge.requests[0].body["tools"][0]["function"]["parameters"]["properties"]) == ["label"]


async def test_rejected_call_fails_the_row_and_a_rate_limit_is_raised() -> None:
    script = [Answer.error(400, "maximum context length is 4096 tokens"), Answer.rate_limited("7")]
    async with judge_server(script=script) as judge, evaluator(judge, use_function_calling=False) as it:
        outcome = await it.evaluate({"output": "x"})
        with pytest.raises(RetryLater) as later:
            await it.evaluate({"output": "x"})

    assert isinstance(outcome, Failed)
    assert outcome.reason == "the prompt is longer than the model's context"
    assert later.value.after_seconds == 7


async def test_integration_without_function_calling_gets_no_tools() -> None:
    async with judge_server() as judge, open_providers({}) as providers:
        without = integration(judge.base_url, function_calling_enabled=False)
        it = await make_evaluator(template_version(), providers, without, SANDBOX)
        await it.evaluate({"output": "x"})

    assert "tools" not in judge.requests[0].body


async def test_make_evaluator_returns_an_evaluator_of_each_kind_or_raises() -> None:
    managed = {"type": "MANAGED", "name": "json", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"]}
    heuristic = {"ai_integration_id": "h", "model_name": "heuristic-refusal"}
    async with open_providers({}) as providers:
        code = await make_evaluator(version(type="CODE", code_config=managed), providers, None, SANDBOX)
        local = integration(None, provider="HEURISTIC")
        judge = await make_evaluator(template_version(llm_config=heuristic), providers, local, SANDBOX)
        with pytest.raises(NotBuilt):
            await make_evaluator(version(remote_config={"integration_id": "r"}), providers, None, SANDBOX)
        with pytest.raises(PermanentFailure, match="needs the static parameter"):
            await make_evaluator(
                version(code_config={**managed, "managed_evaluator": "MATCHES_REGEX"}), providers, None, SANDBOX
            )
        with pytest.raises(PermanentFailure, match="does not exist any more"):
            await make_evaluator(template_version(), providers, None, SANDBOX)

    assert (code.variables, judge.variables) == (("output",), ("output",))
    assert isinstance(await judge.evaluate({"output": "I cannot answer that."}), Evaluated)
