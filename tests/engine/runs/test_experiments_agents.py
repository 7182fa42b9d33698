"""run_experiment with agent_call: each example becomes a request to an HTTP agent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.runs.test_experiments_generation import runs_of
from tests.support.engines import EngineInTest, engine
from tests.support.judges import Answer, JudgeServer, SeenRequest, judge_server


def says(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


async def agent_task(
    it: EngineInTest,
    agent: JudgeServer | str,
    dataset: str,
    template: dict[str, Any] | None = None,
    name: str = "ask",
    **config: Any,
) -> str:
    endpoint = agent if isinstance(agent, str) else agent.base_url.replace("/v1", "/ask")
    body = {"type": "AGENT", "name": f"{name} agent", "config": {"endpoint": endpoint, **config}}
    integration = await it.ask("POST", "/v2/integrations", body)
    configuration = {
        "experiment_type": "AGENT_CALL",
        "integration_id": integration["id"],
        "input_template": template or {"question": "{{question}}"},
    }
    task = {"name": name, "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
    return str((await it.ask("POST", "/v2/tasks", task))["id"])


def echo(request: SeenRequest) -> Answer:
    usage = {"input_tokens": 3, "output_tokens": 4}
    return says({"answer": {"parts": [{"text": f"heard {request.body['question']}"}]}, "usage": usage})


@pytest.mark.promise("experiment.each")
async def test_agent_call_stores_the_answer_with_tokens_and_latency() -> None:
    environment = {"AGENT_KEY": "secret-1", "AGENT_TEAM": "blue"}
    async with engine(environment=environment) as it, judge_server(script=echo) as agent:
        dataset = await it.seed_dataset([{"question": "{{a}}"}, {"question": "b"}])
        task = await agent_task(
            it,
            agent,
            dataset,
            output_path="answer.parts[0].text",
            api_key_env="AGENT_KEY",
            headers_env={"x-team": "AGENT_TEAM"},
            headers={"X-Plain": "1"},
        )
        done = await it.finish(task, experiment_name="first", tracing_metadata={"build": "7"})
        assert (done["status"], done["num_successes"], done["num_selected"]) == ("COMPLETED", 2, 2)
        runs = {run["output"]: run for run in await runs_of(it, done["experiment_id"])}
        assert set(runs) == {"heard {{a}}", "heard b"}
        run = runs["heard b"]
        assert (run["prompt_tokens"], run["completion_tokens"], run["metadata.build"]) == (3, 4, "7")
        assert run["latency_ms"] > 0 and run["agent"] == "ask agent" and run["error"] is None
        experiment = await it.ask("GET", f"/v2/experiments/{done['experiment_id']}")
        assert experiment["integration_id"] == run["integration_id"]
        seen = agent.requests[0]
        assert seen.path == "/ask" and seen.headers["authorization"] == "Bearer secret-1"
        assert (seen.headers["x-team"], seen.headers["x-plain"]) == ("blue", "1")
        assert "secret-1" not in json.dumps([await it.rows(done["id"]), list(runs.values()), experiment])


async def test_agent_call_casts_values_to_the_schema_and_fails_an_example_that_does_not_fit() -> None:
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer"},
            "flags": {"$ref": "#/$defs/flags"},
            "note": {"type": "string"},
            "nested": {"type": "object", "properties": {"rate": {"type": ["number", "null"]}}},
        },
        "$defs": {"flags": {"type": "array", "items": {"type": "boolean"}}},
    }
    template = {
        "age": "{{age}}",
        "flags": ["{{ready}}"],
        "note": "n {{age}} {{missing}}.",
        "nested": {"rate": "{{dataset.rate}}"},
        "free": "{{extra}}",
        "whole": "{{missing}}",
    }
    async with engine() as it, judge_server(script=lambda _: says("ok")) as agent:
        dataset = await it.seed_dataset(
            [
                {"age": "41", "ready": "true", "rate": None, "extra": {"a": 1}},
                {"age": 42.0, "ready": False, "rate": "1.5", "extra": "1"},
                {"age": "old", "ready": True, "rate": 1},
            ]
        )
        task = await agent_task(it, agent, dataset, template, input_schema=schema)
        done = await it.finish(task, experiment_name="first")
        assert (done["num_successes"], done["num_errors"]) == (2, 1)
        sent = sorted((request.body for request in agent.requests), key=lambda body: body["age"])
        assert sent == [
            {"age": 41, "flags": [True], "note": "n 41 .", "nested": {"rate": None}, "free": {"a": 1}, "whole": None},
            {"age": 42, "flags": [False], "note": "n 42.0 .", "nested": {"rate": 1.5}, "free": "1", "whole": None},
        ]
        (failed,) = [run for run in await runs_of(it, done["experiment_id"]) if run["error"]]
        assert "'age'" in failed["error"] and "integer" in failed["error"] and failed["error_detail"] == "old"


@pytest.mark.parametrize(
    ("reply", "output"),
    [
        (says({"output": "plain"}), "plain"),
        (says({"output": {"a": 1}}), '{"a": 1}'),
        (says("just text"), "just text"),
        (says({"a": 1}), '{"a": 1}'),
        (Answer(200, b"no json, caf\xc3\xa9", {"content-type": "text/plain"}), "no json, café"),
    ],
)
async def test_agent_call_without_output_path_takes_the_member_output_or_the_whole_reply(
    reply: Answer, output: str
) -> None:
    async with engine() as it, judge_server(script=lambda _: reply) as agent:
        task = await agent_task(it, agent, await it.seed_dataset([{"question": "q"}]))
        done = await it.finish(task, experiment_name="first")
        assert [run["output"] for run in await runs_of(it, done["experiment_id"])] == [output]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (says({"detail": "no such profile"}, 404), "the agent answered 404"),
        (says({"detail": "crash"}, 500), "the agent answered 500"),
        (Answer.page(), "web page"),
        (Answer(200, b'{"output": "cu', {"content-type": "application/json"}), "not JSON"),
        (Answer(200, b'"' + b"x" * (8 * 1024 * 1024) + b'"'), "longer than"),
        (says({"output": None}), "empty"),
    ],
)
async def test_agent_error_on_one_example_fails_that_example_only(reply: Answer, reason: str) -> None:
    def script(request: SeenRequest) -> Answer:
        return reply if request.body["question"] == "bad" else says("fine")

    async with engine() as it, judge_server(script=script) as agent:
        dataset = await it.seed_dataset([{"question": "bad"}, {"question": "good"}])
        done = await it.finish(await agent_task(it, agent, dataset), experiment_name="first")
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 1, 1)
        (failed,) = [run for run in await runs_of(it, done["experiment_id"]) if run["error"]]
        assert reason in failed["error"] and failed["output"] is None
        assert len(agent.requests) == 2


async def test_agent_reply_without_the_output_path_is_an_error_with_the_reply_as_detail() -> None:
    async with engine() as it, judge_server(script=[says({"a": 1}), says({"text": "x"})]) as agent:
        dataset = await it.seed_dataset([{"question": "q"}, {"question": "r"}])
        task = await agent_task(it, agent, dataset, output_path="text")
        done = await it.finish(task, experiment_name="first")
        (failed,) = [run for run in await runs_of(it, done["experiment_id"]) if run["error"]]
        assert "output_path 'text'" in failed["error"] and failed["error_detail"] == '{"a": 1}'


async def test_detail_of_a_failed_example_has_500_characters_of_the_reply_at_most() -> None:
    def script(request: SeenRequest) -> Answer:
        return says("x" * int(request.body["question"]))

    async with engine() as it, judge_server(script=script) as agent:
        dataset = await it.seed_dataset([{"question": "500"}, {"question": "501"}])
        task = await agent_task(it, agent, dataset, output_path="text")
        done = await it.finish(task, experiment_name="first")
        assert [run["error_detail"] for run in await runs_of(it, done["experiment_id"])] == ["x" * 500] * 2


async def test_agent_that_asks_to_wait_is_called_again_later() -> None:
    script = [Answer.rate_limited("0"), says({}, 503), says("a")]
    async with engine() as it, judge_server(script=script) as agent:
        task = await agent_task(it, agent, await it.seed_dataset([{"question": "q"}]))
        done = await it.finish(task, experiment_name="first")
        assert done["num_successes"] == 1 and len(agent.requests) == 3


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (says({}, 401), "credentials"),
        (says({}, 405), "accepts a POST"),
        (Answer(307, b"", {"location": "http://127.0.0.2:1/elsewhere"}), "another host"),
        (Answer(302, b"", {"location": "/there"}), "302"),
        (Answer(308, b"", {"location": "/ask"}), "in a loop"),
    ],
)
async def test_agent_that_refuses_every_example_fails_the_task_run_with_the_reason(reply: Answer, reason: str) -> None:
    async with engine() as it, judge_server(script=lambda _: reply) as agent:
        done = await it.finish(await agent_task(it, agent, await it.seed_dataset()), experiment_name="first")
        assert done["status"] == "FAILED" and reason in done["failure_reason"]


async def test_agent_redirect_within_its_own_host_is_followed() -> None:
    def script(request: SeenRequest) -> Answer:
        if request.path == "/ask":
            return Answer(307, b"", {"location": "/ask/"})
        return says(request.body["question"])

    async with engine() as it, judge_server(script=script) as agent:
        task = await agent_task(it, agent, await it.seed_dataset([{"question": "q"}]))
        done = await it.finish(task, experiment_name="first")
        assert [run["output"] for run in await runs_of(it, done["experiment_id"])] == ["q"]


async def test_agent_with_an_unset_variable_or_unknown_host_fails_the_task_run() -> None:
    async with engine() as it:
        dataset = await it.seed_dataset()
        task = await agent_task(it, "http://127.0.0.1:9/", dataset, name="no key", api_key_env="NOT_SET")
        done = await it.finish(task, experiment_name="first")
        assert done["status"] == "FAILED" and "NOT_SET" in done["failure_reason"]


async def test_two_experiments_of_one_agent_are_distinguished() -> None:
    async with engine() as it, judge_server(script=lambda request: says(request.body["question"])) as agent:
        task = await agent_task(it, agent, await it.seed_dataset([{"question": "q"}, {"question": "r"}]))
        first = await it.finish(task, experiment_name="first")
        second = await it.finish(task, experiment_name="second", max_examples=1)
        assert (first["num_successes"], second["num_successes"]) == (2, 1)
        assert first["experiment_id"] != second["experiment_id"]


async def test_lone_surrogate_in_an_agent_answer_is_stored_as_a_question_mark() -> None:
    half = Answer(200, b'{"output": "caf\\u00e9 \\ud800!"}', {"content-type": "application/json"})
    async with engine() as it, judge_server(script=lambda _: half) as agent:
        task = await agent_task(it, agent, await it.seed_dataset([{"question": "q"}, {"question": "r"}]))
        done = await it.finish(task, experiment_name="first")
        assert (done["status"], done["num_successes"]) == ("COMPLETED", 2)
        assert {run["output"] for run in await runs_of(it, done["experiment_id"])} == {"café ?!"}
        assert {row["explanation"] for row in await it.rows(done["id"])} == {"café ?!"}
