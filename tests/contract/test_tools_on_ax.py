"""The tools against a service that accepts only what AX accepts.

It wraps an engine and hides the operations and members that only an engine has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from evaltasks.api.problems import NotFound
from evaltasks.client.transport import open_remote_client
from evaltasks.engine.engine import Engine
from evaltasks.face.errors import message_for
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools import (
    create_agent_integration,
    create_ai_integration,
    create_dataset,
    create_evaluation_task,
    create_evaluator,
    create_experiment,
    create_run_experiment_task,
    create_task,
    delete_task,
    find,
    get_task,
    get_task_run,
    import_spans,
    list_task_runs,
    list_tasks,
    task_run_results,
    trigger_task_run,
    update_task,
    wait_for_task_run,
)
from evaltasks.tools.context import Refused
from tests.support.engines import QUICK, EngineInTest
from tests.support.judges import judge_server
from tests.support.strict_ax import StrictAx
from tests.support.tool_calls import ToolsInTest

KEY = "ak-tools-03ab"


@asynccontextmanager
async def tools_on_ax() -> AsyncIterator[tuple[ToolsInTest, StrictAx]]:
    """Yield tools over a strict AX. Fails the test if a request was sent that AX would refuse."""
    async with Engine.open(":memory:", limits=QUICK, environment={}) as engine:
        service = StrictAx(engine.app, KEY, is_ax=True)
        network = httpx2.ASGITransport(service)  # type: ignore[arg-type]
        async with (
            httpx2.AsyncClient(transport=httpx2.ASGITransport(engine.app), base_url="http://engine") as http,
            open_remote_client("https://api.arize.com", KEY, transport=network, default_space="default") as client,
        ):
            assert not client.is_engine
            yield ToolsInTest(client, EngineInTest(engine, http)), service
            assert service.refused == []


@pytest.mark.promise("write.tools")
async def test_the_whole_workflow_sends_ax_only_what_ax_supports() -> None:
    async with judge_server() as judge, tools_on_ax() as (it, service):
        project = await it.seed.seed_project("support bot")
        await it.seed.seed_spans(project, 6)
        await it.call(find.SPEC, text="support")
        await it.call(
            create_ai_integration.SPEC, name="local", provider="custom", base_url=judge.base_url, models=["small"]
        )
        await it.call(
            create_evaluator.SPEC, name="tone", template="Is {output} kind?", choices={"kind": 1, "rude": 0},
            ai_integration="local",
        )  # fmt: skip
        await it.call(create_evaluator.SPEC, name="answers", managed="matches_regex", pattern="answer")
        made = await it.call(
            create_task.SPEC, name="Tone", task_type="template_evaluation", project="support bot",
            evaluators=[{"evaluator_id": "tone", "column_mappings": {"output": "attributes.output.value"}}],
            query_filter="span_kind = 'LLM'", sampling_rate=1,
        )  # fmt: skip
        await it.call(get_task.SPEC, task="Tone")
        await it.call(update_task.SPEC, task="Tone", query_filter="", name="Tone 2", sampling_rate=0.5)
        await it.call(update_task.SPEC, task="Tone 2", sampling_rate=1)
        run = await it.call(
            trigger_task_run.SPEC, task="Tone 2", data_start_time="2026-03-01T00:00:00Z",
            data_end_time="2026-03-02T00:00:00Z", wait=True, poll_interval=1,
        )  # fmt: skip
        assert run.task_run.status == "completed", run
        results = await it.call(task_run_results.SPEC, run_id=run.task_run.run_id, rows=3)
        assert results.evaluators
        await it.call(list_tasks.SPEC, task_type="template_evaluation", name="tone")
        await it.call(list_task_runs.SPEC, task="Tone 2", status="completed")
        await it.call(get_task_run.SPEC, run_id=run.task_run.run_id)
        await it.call(delete_task.SPEC, task="Tone 2", confirm="Tone 2")
        assert made.task.task_id
    assert {"create_task", "update_task", "trigger_task_run", "delete_task", "list_spans"} <= service.operations


@pytest.mark.promise("write.tools")
async def test_datasets_and_experiments_send_ax_only_what_ax_supports() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    async with judge_server() as judge, tools_on_ax() as (it, service):
        await it.call(
            create_ai_integration.SPEC, name="local", provider="custom", base_url=judge.base_url, models=["small"]
        )
        await it.call(create_evaluator.SPEC, name="answers", managed="matches_regex", pattern="answer")
        rows = [{"question": f"q{i}", "expected": None} for i in range(3)]
        await it.call(create_dataset.SPEC, name="gold", rows=rows)
        outputs = [{"question": f"q{i}", "output": f"answer {i}"} for i in range(3)]
        await it.call(create_experiment.SPEC, name="baseline", dataset="gold", match_column="question", rows=outputs)
        await it.call(
            create_evaluation_task.SPEC, name="Answers", task_type="code_evaluation", dataset="gold",
            experiment_ids=["baseline"], evaluators=[{"evaluator_id": "answers"}],
        )  # fmt: skip
        await it.call(
            create_run_experiment_task.SPEC, name="Generate", dataset="gold",
            run_configuration={
                "experiment_type": "llm_generation", "ai_integration_id": "local", "model_name": "small",
                "messages": [{"role": "user", "content": "{{question}}"},
                             {"role": "assistant", "tool_calls": [call]},
                             {"role": "tool", "tool_call_id": "c", "content": "seen"}],
                "invocation_parameters": {"response_format": {"type": "text"}},
            },
        )  # fmt: skip
        await it.call(
            create_run_experiment_task.SPEC, name="Judge", dataset="gold",
            run_configuration={
                "experiment_type": "template_evaluation", "ai_integration_id": "local", "model_name": "small",
                "template": "Is {{question}} kind?", "classification_choices": {"kind": 1, "rude": 0},
            },
        )  # fmt: skip
        evaluated = await it.call(trigger_task_run.SPEC, task="Answers", wait=True, poll_interval=1)
        assert evaluated.task_run.status == "completed", evaluated
        generated = await it.call(
            trigger_task_run.SPEC, task="Generate", experiment_name="gen", max_examples=2, wait=True, poll_interval=1,
            evaluation_task_ids=["Answers"],
        )  # fmt: skip
        assert generated.task_run.status == "completed", generated
        again = await it.call(wait_for_task_run.SPEC, run_id=generated.task_run.run_id, timeout=5)
        assert again.task_run.num_successes == 2
        for run in (evaluated, generated):
            await it.call(task_run_results.SPEC, run_id=run.task_run.run_id, rows=2)
    assert {"create_experiment", "search_examples", "list_examples"} & service.operations
    assert service.operations >= {"create_dataset", "create_experiment", "trigger_task_run"}


@pytest.mark.promise("write.tools")
async def test_engine_only_features_are_refused_by_the_tool_and_not_sent() -> None:
    now = datetime.now(UTC)
    async with tools_on_ax() as (it, service):
        span = {"name": "n", "start_time": (now - timedelta(hours=1)).isoformat()}
        for spec, arguments in (
            (create_agent_integration.SPEC, {"name": "agent", "endpoint": "http://127.0.0.1:9/"}),
            (import_spans.SPEC, {"project": "p", "rows": [span]}),
        ):
            with pytest.raises(Refused):
                await it.call(spec, **arguments)
    assert service.operations == set()


@pytest.mark.promise("name.ambiguous")
async def test_a_tool_reports_hidden_and_missing_names_differently_where_ax_allows_it() -> None:
    async with tools_on_ax() as (it, _):
        await it.seed.seed_project("support bot")
        with pytest.raises(ValidationErrors) as caught:
            await it.call(list_tasks.SPEC, project="Support Bot")
        with pytest.raises(NotFound) as hidden:
            await it.call(list_tasks.SPEC, project="support bot", space="U3BhY2U6OTk5OmFCM2Q=")
    assert "cannot see its space" in (message_for(hidden.value) or "")
    words = message_for(caught.value) or ""
    assert "candidates: 'support bot' (" in words
    assert "letter case included" in words
