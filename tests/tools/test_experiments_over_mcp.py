"""An agent runs an experiment and waits for its chained evaluations, in both protocol eras."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from tests.support.agents import MODES, Agent, agent
from tests.support.judges import Answer, judge_server

pytestmark = pytest.mark.parametrize("mode", MODES)


async def experiment(it: Agent, base_url: str, *chained: str, judge_url: str | None = None) -> dict[str, Any]:
    """Return the arguments that trigger a run_experiment task with these chained evaluation tasks."""
    dataset = await it.seed.seed_dataset([{"question": f"[[text: answer {i}]]"} for i in range(3)], name="questions")
    before = await it.seed.seed_experiment(dataset)
    for name in chained:
        evaluator = await it.seed.seed_template_evaluator(
            judge_url or base_url, evaluation_name=name, template="Judge {output}"
        )
        await it.seed.seed_task([evaluator], "TEMPLATE_EVALUATION", name, dataset_id=dataset, experiment_ids=[before])
    integration = await it.seed.seed_ai_integration(base_url)
    configuration = {
        "experiment_type": "llm_generation",
        "ai_integration_id": integration,
        "messages": [{"role": "user", "content": "{{question}}"}],
    }
    arguments = {"name": "ask", "dataset": "questions", "run_configuration": configuration}
    await it.answer("create_run_experiment_task", arguments)
    return {"task": "ask", "experiment_name": "first", "evaluation_task_ids": list(chained)}


@pytest.mark.promise("experiment.chain")
async def test_waiting_for_an_experiment_waits_for_its_evaluations_and_reports_them(mode: str) -> None:
    async with agent(mode) as it, judge_server() as judge:
        arguments = await experiment(it, judge.base_url, "judged", "judged again")
        answer = await it.answer("trigger_task_run", {**arguments, "wait": True})
        chained = answer["chained_task_runs"]
        got = await it.answer("get_task_run", {"run_id": answer["task_run"]["run_id"]})
        results = await it.answer(answer["next_call"]["tool"], answer["next_call"]["arguments"])
        later = await it.answer("wait_for_task_run", {"run_id": answer["task_run"]["run_id"]})
    assert (answer["outcome"], answer["finished"], answer["task_run"]["done"]) == ("finished", True, "3 of 3")
    assert [(run["task_name"], run["status"], run["done"]) for run in chained] == [
        ("judged", "completed", "3 of 3"),
        ("judged again", "completed", "3 of 3"),
    ]
    assert got["task_run"]["chained_task_run_ids"] == [run["run_id"] for run in chained]
    assert answer["next_call"]["arguments"] == {"run_id": chained[0]["run_id"]}
    assert [one["evaluation_name"] for one in results["evaluators"]] == ["judged"]
    assert [run["run_id"] for run in later["chained_task_runs"]] == [run["run_id"] for run in chained]


async def test_a_wait_is_not_finished_while_a_chained_evaluation_is_running(mode: str) -> None:
    async with agent(mode, call_wait_seconds_max=0.3) as it, judge_server() as model, judge_server() as judge:
        arguments = await experiment(it, model.base_url, "judged", judge_url=judge.base_url)
        judge.hold()
        answer = await it.answer("trigger_task_run", {**arguments, "wait": True, "timeout": 50})
        with anyio.fail_after(20):
            await judge.wait_for_requests(1)
        answer = await it.answer(answer["next_call"]["tool"], answer["next_call"]["arguments"])
        assert (answer["outcome"], answer["finished"]) == ("still_running", False)
        assert (answer["task_run"]["status"], answer["chained_task_runs"][0]["status"]) == ("completed", "running")
        assert answer["next_call"]["arguments"]["run_id"] == answer["task_run"]["run_id"]
        assert "task run 2 of 2" in json.dumps(it.progress)
        judge.release()
        while not answer["finished"]:
            answer = await it.answer(answer["next_call"]["tool"], answer["next_call"]["arguments"])
        assert answer["chained_task_runs"][0]["done"] == "3 of 3"


async def test_a_chained_task_deleted_during_the_wait_does_not_prolong_it(mode: str) -> None:
    async with agent(mode) as it, judge_server() as judge:
        arguments = await experiment(it, judge.base_url, "judged")
        first = await it.answer("trigger_task_run", {**arguments, "wait": True})
        await it.answer("delete_task", {"task": "judged", "force": True})
        answer = await it.answer("wait_for_task_run", {"run_id": first["task_run"]["run_id"]})
    assert answer["outcome"] == "finished" and "chained_task_runs" not in answer


async def test_the_labels_of_a_judged_experiment_are_its_results(mode: str) -> None:
    async with agent(mode) as it, judge_server() as judge:
        examples = [{"question": f"[[label: {label}]]"} for label in ("good", "good", "bad")]
        await it.seed.seed_dataset(examples, name="questions")
        configuration = {
            "experiment_type": "template_evaluation",
            "ai_integration_id": await it.seed.seed_ai_integration(judge.base_url),
            "template": "Judge {{question}}",
            "classification_choices": {"good": 1, "bad": 0},
        }
        arguments = {"name": "judge", "dataset": "questions", "run_configuration": configuration}
        await it.answer("create_run_experiment_task", arguments)
        ended = await it.answer("trigger_task_run", {"task": "judge", "experiment_name": "first", "wait": True})
        results = await it.answer(ended["next_call"]["tool"], ended["next_call"]["arguments"])
    (only,) = results["evaluators"]
    assert [label["rows"] for label in only["labels"]] == ["2 of 3", "1 of 3"]
    assert only["score"]["n"] == 3 and "labels are the outputs" in results["next_step"]


async def test_an_agent_integration_is_called_by_name_with_a_request_built_from_each_example(mode: str) -> None:
    said = Answer(200, json.dumps({"output": "done"}).encode())
    async with agent(mode) as it, judge_server(script=lambda _: said) as server:
        await it.seed.seed_dataset([{"question": "a", "age": "41"}, {"question": "b", "age": "42"}], name="questions")
        schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
        body = {"type": "AGENT", "name": "my agent", "config": {"endpoint": server.base_url, "input_schema": schema}}
        await it.seed.ask("POST", "/v2/integrations", body)
        configuration = {
            "experiment_type": "agent_call",
            "integration_id": "my agent",
            "input_template": {"q": "{{question}}", "age": "{{age}}"},
        }
        arguments = {"name": "ask", "dataset": "questions", "run_configuration": configuration}
        words = await it.refusal(
            "create_run_experiment_task",
            {**arguments, "run_configuration": {**configuration, "integration_id": "their agent"}},
        )
        assert "run_configuration.integration_id" in words and "my agent" in words
        await it.answer("create_run_experiment_task", arguments)
        ended = await it.answer("trigger_task_run", {"task": "ask", "experiment_name": "first", "wait": True})
    assert (ended["task_run"]["status"], ended["task_run"]["num_successes"]) == ("completed", 2)
    assert sorted(request.body["age"] for request in server.requests) == [41, 42]
