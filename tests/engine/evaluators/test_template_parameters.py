"""Parameters that a template evaluator passes on or overrides, and evaluators without labels, end to end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Failed
from evaltasks.engine.evaluators.template_judge import make_template_evaluator
from evaltasks.engine.providers.catalog import open_providers
from tests.engine.evaluators.test_template import integration, template_version
from tests.support.engines import WINDOW, engine
from tests.support.judges import Answer, JudgeServer, judge_server

LABELLED: dict[str, Any] = {"classification_choices": {"yes": 1, "no": 0}}
FREE: dict[str, Any] = {"classification_choices": None}
PARAMETERS = {
    "temperature": 0.2,
    "max_tokens": 77,
    "stop": ["END"],
    "reasoning_effort": "low",
    "service_tier": "flex",
    "response_format": {"type": "JSON_OBJECT"},
    "tool_config": {"tools": [{"type": "function", "function": {"name": "search"}}], "tool_choice": "auto"},
}


@asynccontextmanager
async def evaluator(judge: JudgeServer, **config: Any) -> AsyncIterator[Evaluator]:
    template = template_version(**config).template_config
    assert template is not None
    async with open_providers({}) as providers:
        yield make_template_evaluator(template, providers, integration(judge.base_url))


def asking(**parameters: Any) -> dict[str, Any]:
    return {"llm_config": {"ai_integration_id": "i", "model_name": "m", "invocation_parameters": parameters}}


@pytest.mark.parametrize("choices", [LABELLED, FREE], ids=["labelled", "free"])
async def test_known_and_unknown_parameters_reach_the_provider(choices: dict[str, Any]) -> None:
    async with judge_server() as judge, evaluator(judge, **choices, **asking(**PARAMETERS)) as it:
        await it.evaluate({"output": "x"})
    sent = judge.requests[0].body
    assert (sent["temperature"], sent["max_tokens"], sent["stop"]) == (0.2, 77, ["END"])
    assert (sent["reasoning_effort"], sent["service_tier"]) == ("low", "flex")
    assert "tool_config" not in sent


async def test_without_labels_the_configured_format_and_tools_are_sent_unchanged() -> None:
    async with judge_server() as judge, evaluator(judge, **FREE, **asking(**PARAMETERS)) as it:
        outcome = await it.evaluate({"output": "[[text: fine]]"})
    sent = judge.requests[0].body
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["tools"] == PARAMETERS["tool_config"]["tools"] and sent["tool_choice"] == "auto"
    assert isinstance(outcome, Evaluated) and "overruled_parameters" not in outcome.provenance


async def test_labels_override_the_configured_answer_format_and_this_is_recorded() -> None:
    async with judge_server() as judge, evaluator(judge, **LABELLED, **asking(**PARAMETERS)) as it:
        outcome = await it.evaluate({"output": "x"})
    assert judge.requests[0].body["tools"][0]["function"]["name"] == "record_answer"
    assert isinstance(outcome, Evaluated)
    assert outcome.provenance["overruled_parameters"] == ["response_format", "tool_config"]


@pytest.mark.parametrize(
    ("server", "config", "ways"),
    [
        ({}, {}, ("tool_call", "tool_call")),
        ({"tools": "refuses"}, {}, ("tool_call", "json_schema")),
        ({"tools": "ignores", "json_schema": "ignores"}, {}, ("tool_call", "label_in_text")),
        ({"json_schema": "refuses"}, {"use_function_calling": False}, ("json_schema", "label_in_text")),
        ({}, {"use_function_calling": False, "use_structured_output": False}, ("text", "label_in_text")),
    ],
)
@pytest.mark.promise("judge.structured")
async def test_provenance_records_requested_and_actual_answer_mode(
    server: dict[str, Any], config: dict[str, Any], ways: tuple[str, str]
) -> None:
    async with judge_server(**server) as judge, evaluator(judge, **config) as it:
        # For the second row the evaluator already knows what the server does not support; its record must be the same.
        for _ in range(2):
            outcome = await it.evaluate({"output": "[[label: no]]"})
            assert isinstance(outcome, Evaluated)
            assert (outcome.provenance["asked_by"], outcome.provenance["answered_by"]) == ways


async def test_judge_with_an_empty_answer_is_asked_again_once() -> None:
    script = [Answer.text(""), Answer.text("<think>hm</think> Fine."), Answer.text(None), Answer.text("  ")]
    async with judge_server(script=script) as judge, evaluator(judge, **FREE) as it:
        first, second = await it.evaluate({"output": "x"}), await it.evaluate({"output": "x"})
    assert isinstance(first, Evaluated) and first.explanation == "Fine." and first.provenance["reminders"] == 1
    assert isinstance(second, Failed) and second.reason == "the judge answered nothing"


async def test_evaluator_without_labels_stores_the_answer_as_explanation() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await it.seed_spans(project, 2, output="[[text: words {i}]]")
        integration = await it.seed_ai_integration(judge.base_url)
        config = {
            "name": "remark",
            "template": "Remark on {output}",
            "include_explanations": False,
            "llm_config": {"ai_integration_id": integration, "model_name": "judge"},
        }
        body = {
            "space_id": await it.space_id(),
            "name": "remark",
            "type": "TEMPLATE",
            "version": {"commit_message": "first", "template_config": config},
        }
        made = await it.ask("POST", "/v2/evaluators", body)
        assert made["version"]["template_config"]["classification_choices"] is None
        task = await it.seed_task([made["id"]], "TEMPLATE_EVALUATION", project_id=project)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_successes"]) == ("COMPLETED", 2)
        spans = (await it.ask("POST", "/v2/spans", {"project_id": project, **times()}))["spans"]
        found = sorted(span["evaluations"][0]["explanation"] for span in spans)
        assert found == ["words 0", "words 1"]
        again = await it.finish(task, **WINDOW)
        assert again["status"] == "CANCELLED", "every row already has its evaluation"


def times() -> dict[str, str]:
    return {"start_time": WINDOW["data_start_time"], "end_time": WINDOW["data_end_time"]}
