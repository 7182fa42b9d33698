"""Agent integrations over the REST side."""

from __future__ import annotations

from typing import Any

import pytest

from evaltasks.engine.handlers.addresses import HEADERS_BYTES_MAX, header_problems
from tests.support.engines import EngineInTest, engine

SCHEMA = {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]}


async def create(it: EngineInTest, name: str = "agent", status: int = 201, **config: Any) -> dict[str, Any]:
    body = {"type": "AGENT", "name": name, "config": {"endpoint": "http://127.0.0.1:9/ask", **config}}
    answer: dict[str, Any] = await it.ask("POST", "/v2/integrations", body, status=status)
    return answer


async def agent_task(it: EngineInTest, integration_id: str, name: str = "ask") -> str:
    body = {
        "name": name,
        "type": "run_experiment",
        "dataset_id": await it.seed_dataset(),
        "run_configuration": {
            "experiment_type": "agent_call",
            "integration_id": integration_id,
            "input_template": {"question": "{{question}}"},
        },
    }
    return str((await it.ask("POST", "/v2/tasks", body))["id"])


async def test_an_agent_is_answered_with_everything_but_the_values_of_its_headers() -> None:
    async with engine() as it:
        made = await create(
            it,
            headers={"x-team": "blue"},
            headers_env={"x-api-key": "AGENT_KEY"},
            input_schema=SCHEMA,
            output_path="answer.text",
        )
        assert made == await it.ask("GET", f"/v2/integrations/{made['id']}")
        assert (made["type"], made["name"], made["description"], made["scopings"]) == ("AGENT", "agent", None, [])
        assert made["config"] == {
            "endpoint": "http://127.0.0.1:9/ask",
            "has_headers": True,
            "headers": None,
            "api_key_env": None,
            "headers_env": {"x-api-key": "AGENT_KEY"},
            "input_schema": SCHEMA,
            "output_path": "answer.text",
            "request_presets": [],
        }


async def test_lists_hold_agents_newest_first_by_part_of_the_name_and_by_space() -> None:
    async with engine() as it:
        own = await it.space_id()
        for name in ("first", "second", "FIRST again"):
            await create(it, name)
        other = (await it.ask("POST", "/v2/spaces", {"name": "other", "organization_id": "x"}))["id"]
        scoped = {"type": "AGENT", "name": "scoped", "config": {"endpoint": "http://a/"}}
        scoped["scopings"] = [{"organization_id": None, "space_id": other}]
        await it.ask("POST", "/v2/integrations", scoped)

        async def names(**query: object) -> list[str]:
            return [one["name"] for one in (await it.ask("GET", "/v2/integrations", **query))["integrations"]]

        assert await names() == ["scoped", "FIRST again", "second", "first"]
        assert await names(type="agent", name="first") == ["FIRST again", "first"]
        assert await names(space_id=own) == ["FIRST again", "second", "first"]
        assert await names(space_id=other, limit=1) == ["scoped"]
        assert await names(type="EVALUATOR") == []
        reported = await it.ask("GET", "/v2/integrations", type="LLM", status=501)
        assert "/v2/ai-integrations" in reported["detail"]


async def test_a_change_replaces_what_it_names_and_null_clears() -> None:
    async with engine() as it:
        made = await create(it, headers={"x-team": "blue"}, input_schema=SCHEMA, output_path="a")
        path = f"/v2/integrations/{made['id']}"
        body = {
            "type": "AGENT",
            "description": "ours",
            "config": {"output_path": None, "endpoint": "https://b.example/"},
        }
        changed = await it.ask("PATCH", path, body)
        assert changed["description"] == "ours" and changed["name"] == "agent"
        assert changed["config"] == {**made["config"], "output_path": None, "endpoint": "https://b.example/"}
        assert changed["updated_at"] > made["updated_at"]
        cleared = await it.ask("PATCH", path, {"type": "agent", "config": {"headers": None, "input_schema": None}})
        assert (cleared["config"]["has_headers"], cleared["config"]["input_schema"]) == (False, {})
        await it.ask("PATCH", path, {"type": "AGENT"}, status=422)
        await it.ask("PATCH", path, {"type": "AGENT", "config": {"endpoint": None}}, status=422)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"endpoint": "http://a:port/"}, "endpoint"),
        ({"endpoint": "http://user:pass@a/"}, "password"),
        ({"endpoint": "http://:80/"}, "host"),
        ({"headers": {"Authorization": "Bearer abc"}}, "headers_env"),
        ({"headers": {"cookie": "a=b"}}, "headers_env"),
        ({"headers": {"Host": "a"}}, "itself"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"x": "1"}, "headers_env": {"X": "NAME"}}, "twice"),
        ({"api_key_env": "KEY", "headers_env": {"authorization": "NAME"}}, "exclude"),
        ({"input_schema": {"type": "array"}}, "object"),
        ({"input_schema": {"description": "x" * 70_000}}, "larger"),
    ],
)
async def test_an_agent_that_could_not_be_called_or_would_store_a_secret_is_refused(
    config: dict[str, Any], word: str
) -> None:
    async with engine() as it:
        said = await create(it, status=422, **config)
        assert word in said["detail"]
        assert "Bearer abc" not in str(said)
        assert (await it.ask("GET", "/v2/integrations"))["integrations"] == []


async def test_invalid_addresses_variables_and_fields_are_refused() -> None:
    async with engine() as it:
        for config in ({"endpoint": "ftp://a/"}, {"headers_env": {"x": "not a name"}}, {"unknown": 1}):
            await create(it, status=400, **config)


async def test_other_types_say_where_they_belong() -> None:
    async with engine() as it:
        body = {"type": "llm", "name": "x", "config": {"endpoint": "http://a/"}}
        assert "/v2/ai-integrations" in (await it.ask("POST", "/v2/integrations", body, status=422))["detail"]
        await it.ask("POST", "/v2/integrations", {**body, "type": "EVALUATOR"}, status=422)
        presets = [{"name": "p", "config": {}}]
        assert "input_template" in (await create(it, status=501, request_presets=presets))["detail"]


async def test_names_are_unique_among_agents_and_free_among_ai_integrations() -> None:
    async with engine() as it:
        await create(it, "heuristic")
        other = await create(it, "other")
        await create(it, "heuristic", status=409)
        await it.ask("PATCH", f"/v2/integrations/{other['id']}", {"type": "AGENT", "name": "heuristic"}, status=409)


async def test_an_agent_that_a_task_calls_is_kept_and_one_that_is_gone_is_a_404() -> None:
    async with engine() as it:
        agent = (await create(it))["id"]
        task = await agent_task(it, agent, "nightly")
        refused = await it.ask("DELETE", f"/v2/integrations/{agent}", status=409)
        assert "'nightly'" in refused["detail"]
        await it.ask("DELETE", f"/v2/tasks/{task}")
        await it.ask("DELETE", f"/v2/integrations/{agent}", status=204)
        await it.ask("GET", f"/v2/integrations/{agent}", status=404)


async def test_an_ai_integration_that_a_run_experiment_task_uses_is_kept() -> None:
    async with engine() as it:
        integration = await it.seed_ai_integration("http://127.0.0.1:9/v1")
        other = await it.seed_ai_integration("http://127.0.0.1:9/v1")
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": integration,
            "messages": [{"role": "USER", "content": "{question}"}],
            "input_variable_format": "F_STRING",
        }
        body = {
            "name": "generate",
            "type": "RUN_EXPERIMENT",
            "dataset_id": await it.seed_dataset(),
            "run_configuration": configuration,
        }
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        refused = await it.ask("DELETE", f"/v2/ai-integrations/{integration}", status=409)
        assert "'generate'" in refused["detail"]
        changed = {"run_configuration": {**configuration, "ai_integration_id": other}}
        await it.ask("PATCH", f"/v2/tasks/{task}", changed)
        await it.ask("DELETE", f"/v2/ai-integrations/{integration}", status=204)


@pytest.mark.parametrize("value", ["a", "é"], ids=["ASCII", "two bytes a character"])
def test_headers_of_exactly_the_size_limit_are_accepted_counted_in_bytes(value: str) -> None:
    def size_problems(num_bytes: int) -> list[str]:
        headers = {"x-name": value * (num_bytes // len(value.encode())) + "a" * (num_bytes % len(value.encode()))}
        return [problem for problem in header_problems(headers) if "larger" in problem]

    at_limit = HEADERS_BYTES_MAX - len("x-name")
    assert size_problems(at_limit) == []
    assert size_problems(at_limit + 1) == ["headers are larger than 8175 bytes"]


@pytest.mark.parametrize(
    ("field", "start", "characters"),
    [("endpoint", "http://127.0.0.1/", 2048), ("output_path", "", 512), ("description", "", 1000)],
)
async def test_agent_texts_may_have_exactly_the_maximum_length(field: str, start: str, characters: int) -> None:
    async with engine() as it:
        config = {"endpoint": "http://127.0.0.1/ask"}
        for length, status in ((characters, 201), (characters + 1, 400)):
            text = start.ljust(length, "a")
            body: dict[str, Any] = {"name": f"agent {length}", "type": "AGENT", "config": config}
            body |= {"description": text} if field == "description" else {"config": {**config, field: text}}
            await it.ask("POST", "/v2/integrations", body, status=status)
