"""Every operation of the two seed documents, by a real MCP client on the real command over stdio, in both eras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import MODES, Agent, stdio_agent
from tests.support.judges import judge_server
from tests.support.starts import true_command

WINDOW = {"data_start_time": "2024-01-01T00:00:00Z", "data_end_time": "2024-01-30T00:00:00Z"}


async def _arrange(it: Agent, base_url: str) -> dict[str, str]:
    """A project with spans, a dataset with an experiment, an evaluator and an AI integration; ids by name."""
    spans = [
        {"name": "answer", "kind": "LLM", "start_time": f"2024-01-02T00:00:{n:02}Z",
         "attributes": {"input.value": f"question {n}", "output.value": f"answer {n}"}}
        for n in range(6)
    ]  # fmt: skip
    project = await it.answer("import_spans", {"project": "support bot", "rows": spans})
    dataset = await it.answer("create_dataset", {"name": "golden", "rows": [{"input": f"q{n}"} for n in range(4)]})
    rows = [{"example_id": id_, "output": "an answer"} for id_ in dataset["first_example_ids"]]
    experiment = await it.answer("create_experiment", {"name": "baseline", "dataset": "golden", "rows": rows})
    evaluator = await it.answer("create_evaluator", {"name": "says answer", "keywords": ["answer"],
                                                     "managed": "contains_any_keyword"})  # fmt: skip
    model = await it.answer("create_ai_integration", {"name": "local", "provider": "custom", "base_url": base_url})
    return {
        "project": project["project_id"],
        "dataset": dataset["dataset_id"],
        "experiment": experiment["experiment_id"],
        "evaluator": evaluator["evaluator_id"],
        "integration": model["ai_integration_id"],
    }


@pytest.mark.parametrize("mode", MODES)
async def test_every_operation_of_the_seeds_works_over_stdio(mode: str, tmp_path: Path) -> None:
    async with (
        judge_server(latency_seconds=0.0) as judge,
        stdio_agent(mode, tmp_path / "store.sqlite", start=true_command) as it,
    ):
        ids = await _arrange(it, judge.base_url)
        evaluators = [{"evaluator_id": ids["evaluator"], "query_filter": None, "column_mappings": None}]
        generation = {
            "experiment_type": "llm_generation", "ai_integration_id": ids["integration"], "model_name": "gpt-4o",
            "messages": [{"role": "user", "content": "{{input}}"}],
        }  # fmt: skip

        # Create: each of the three ways, by id and by name, with the JSON of the documents as it stands.
        monitor = await it.answer("create_task", {
            "name": "Relevance Monitor", "task_type": "code_evaluation", "project": ids["project"],
            "evaluators": json.dumps(evaluators), "is_continuous": False, "sampling_rate": 1.0,
        })  # fmt: skip
        on_dataset = await it.answer("create_evaluation_task", {
            "name": "Experiment Evaluation", "task_type": "CODE_EVALUATION", "dataset": "golden",
            "experiment_ids": ids["experiment"], "evaluators": evaluators,
        })  # fmt: skip
        writing = await it.answer("create_run_experiment_task", {
            "name": "GPT-4o Summarization", "dataset": ids["dataset"], "run_configuration": generation,
        })  # fmt: skip
        assert any("mustache" in note for note in writing["notes"]), writing
        task_id = monitor["task"]["task_id"]

        # Get by name and by id; list with each filter.
        assert (await it.answer("get_task", {"task": "Relevance Monitor"}))["task"]["task_id"] == task_id
        assert (await it.answer("get_task", {"task": task_id}))["task"]["name"] == "Relevance Monitor"
        for wanted, names in [
            ({"project": "support bot"}, {"Relevance Monitor"}),
            ({"dataset": "golden"}, {"Experiment Evaluation", "GPT-4o Summarization"}),
            ({"name": "relevance"}, {"Relevance Monitor"}),
            ({"task_type": "run_experiment"}, {"GPT-4o Summarization"}),
            ({"space": "default"}, {"Relevance Monitor", "Experiment Evaluation", "GPT-4o Summarization"}),
        ]:
            assert {task["name"] for task in (await it.answer("list_tasks", wanted))["tasks"]} == names, wanted
        page = await it.answer("list_tasks", {"limit": 1})
        more = await it.answer("list_tasks", {"limit": 1, "cursor": page["next_cursor"]})
        assert page["tasks"][0]["task_id"] != more["tasks"][0]["task_id"]

        # Update each field; "" clears the filter.
        for change in [
            {"name": "Relevance Monitor v2"}, {"sampling_rate": 0.999}, {"is_continuous": True},
            {"is_continuous": False},
            {"query_filter": "span_kind = 'LLM'"}, {"evaluators": evaluators}, {"sampling_rate": 1},
        ]:  # fmt: skip
            await it.answer("update_task", {"task": task_id, **change})
        assert (await it.answer("get_task", {"task": task_id}))["task"]["query_filter"] == "span_kind = 'LLM'"
        await it.answer("update_task", {"task": task_id, "query_filter": ""})
        assert "query_filter" not in (await it.answer("get_task", {"task": task_id}))["task"]
        await it.answer("update_task", {"task": "GPT-4o Summarization", "run_configuration": generation})

        # Trigger with each flag, wait, get, list by status.
        triggered = await it.answer("trigger_task_run", {
            "task": "Relevance Monitor v2", **WINDOW, "max_spans": 4, "override_evaluations": True, "wait": True,
            "poll_interval": 1, "timeout": 30,
        })  # fmt: skip
        run = triggered["task_run"]
        assert (triggered["finished"], run["status"], run["done"]) == (True, "completed", "4 of 4")
        assert (await it.answer("get_task_run", {"run_id": run["run_id"]}))["task_run"]["num_successes"] == 4
        waited = await it.answer("wait_for_task_run", {"run_id": run["run_id"], "timeout": 5, "poll_interval": 1})
        assert waited["finished"]
        assert len((await it.answer("list_task_runs", {"task": task_id, "status": "completed"}))["task_runs"]) == 1
        assert (await it.answer("list_task_runs", {"task": task_id, "status": "failed"}))["task_runs"] == []
        assert (await it.answer("trigger_task_run", {
            "task": on_dataset["task"]["task_id"], "experiment_ids": [ids["experiment"]], "wait": True,
        }))["task_run"]["done"] == "4 of 4"  # fmt: skip
        written = await it.answer("trigger_task_run", {
            "task": "GPT-4o Summarization", "experiment_name": "first prompt", "max_examples": 3, "wait": True,
            "tracing_metadata": {"branch": "main"}, "evaluation_task_ids": ["Experiment Evaluation"],
        })  # fmt: skip
        assert written["task_run"]["done"] == "3 of 3"
        assert written["task_run"]["experiment"]["name"] == "first prompt"

        # Wait with a time-out, cancel: the judge does not answer until it is let.
        judge.hold()
        held = (await it.answer("trigger_task_run", {
            "task": "GPT-4o Summarization", "experiment_name": "second prompt"}))["task_run"]  # fmt: skip
        still = await it.answer("wait_for_task_run", {"run_id": held["run_id"], "timeout": 1, "poll_interval": 1})
        assert not still["finished"]
        refusal = await it.refusal("cancel_task_run", {"run_id": held["run_id"]})
        assert "confirm" in refusal
        cancelled = await it.answer("cancel_task_run", {"run_id": held["run_id"], "force": True})
        assert cancelled["task_run"]["status"] == "cancelled"
        judge.release()

        # Delete without and with force.
        assert "confirm" in await it.refusal("delete_task", {"task": "Experiment Evaluation"})
        await it.answer("delete_task", {"task": "Experiment Evaluation", "confirm": "Experiment Evaluation"})
        await it.answer("delete_task", {"task": task_id, "force": True})
        left: dict[str, Any] = await it.answer("list_tasks", {})
        assert [task["name"] for task in left["tasks"]] == ["GPT-4o Summarization"]
