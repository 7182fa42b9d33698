"""create_ai_integration: keys are named by environment variables, and never passed or shown."""

from __future__ import annotations

import pytest

from evaltasks.api.ai_integrations import CreateAiIntegration, ListAiIntegrations
from evaltasks.tools.context import Declined
from evaltasks.tools.create_ai_integration import SPEC
from tests.support.authoring import tools

KEY = "sk-proj-a8Fk20Zq91LmPx77Rt4VbN3cQw"


async def test_the_engine_stores_the_variable_name_and_reports_whether_it_is_set() -> None:
    async with tools(environment={"MY_LLM_API_KEY": KEY}) as it:
        answer = await it.call(
            SPEC, name="gateway", provider="OpenAI", api_key_env="$MY_LLM_API_KEY", models="gpt-4o-mini"
        )
        unset = await it.call(SPEC, name="other", provider="open_ai", api_key_env="OTHER_API_KEY")
    assert (answer.api_key_env, answer.has_api_key, answer.models) == ("MY_LLM_API_KEY", True, ["gpt-4o-mini"])
    assert KEY not in answer.model_dump_json()
    assert not unset.has_api_key
    assert any("OTHER_API_KEY is not set" in note for note in unset.notes or [])


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "vertex_ai", "aws_bedrock"])
async def test_a_provider_that_needs_the_extra_is_created_with_a_note_naming_the_extra(provider: str) -> None:
    async with tools(environment={"MY_LLM_API_KEY": KEY}) as it:
        answer = await it.call(SPEC, name="judge", provider=provider, api_key_env="MY_LLM_API_KEY")
    assert (answer.provider, answer.has_api_key) == (provider, True)
    assert any("evaltasks[providers]" in note for note in answer.notes or [])


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key_env": KEY}, {"api_key": KEY}, {"name": KEY}, {"base_url": f"https://x.example/v1?key={KEY}"},
        {"base_url": f"https://user:{KEY}@x.example/v1"}, {"models": [KEY]}, {"provider": KEY},
        {"headers": {"Authorization": f"Bearer {KEY}"}}, {"api_key_env": KEY.replace("-", "_")},
    ],
)  # fmt: skip
async def test_a_key_is_refused_in_every_argument_and_never_repeated(arguments: dict[str, object]) -> None:
    async with tools() as it:
        words = await it.refused(SPEC, **{"name": "n", "provider": "open_ai", **arguments})
        there = await it.client.ai_integrations.list(ListAiIntegrations())
    assert KEY[8:20] not in words
    assert [one.name for one in there.ai_integrations] == ["heuristic"]


@pytest.mark.parametrize("variable", ["ARIZE_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PATH", "DB_PASSWORD"])
async def test_secrets_other_than_model_keys_are_never_sent_to_a_provider(variable: str) -> None:
    async with tools(environment={variable: "x"}) as it:
        words = await it.refused(
            SPEC, name="n", provider="custom", base_url="https://llm.example/v1", api_key_env=variable
        )
    assert "is not named like a variable that holds a key of a model or an agent" in words


async def test_ax_receives_the_key_value_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[CreateAiIntegration] = []
    async with tools(environment={"MY_LLM_API_KEY": KEY}, as_ax=True) as it:
        create = it.client.ai_integrations.create

        async def remember(body: CreateAiIntegration) -> object:
            sent.append(body)
            return await create(body.model_copy(update={"api_key": None}))

        monkeypatch.setattr(it.client.ai_integrations, "create", remember)
        answer = await it.call(SPEC, name="gateway", provider="open_ai", api_key_env="MY_LLM_API_KEY")
    assert (sent[0].api_key, sent[0].api_key_env) == (KEY, None)
    assert KEY not in answer.model_dump_json()


async def test_no_request_is_sent_to_ax_when_the_variable_is_not_set() -> None:
    async with tools(as_ax=True) as it:
        words = await it.refused(SPEC, name="n", provider="open_ai", api_key_env="MY_LLM_API_KEY")
    assert "MY_LLM_API_KEY is not set" in words


async def test_a_custom_provider_needs_an_address() -> None:
    async with tools() as it:
        assert "base_url: is required for provider custom" in await it.refused(SPEC, name="n", provider="custom")


async def test_a_key_is_sent_to_an_address_named_in_the_call_only_when_the_person_agrees() -> None:
    call = {"name": "n", "provider": "custom", "base_url": "https://llm.example/v1", "api_key_env": "MY_LLM_API_KEY"}
    async with tools(environment={"MY_LLM_API_KEY": KEY}) as it:
        it.person.agrees = False
        with pytest.raises(Declined):
            await it.call(SPEC, **call)
        assert [one.name for one in (await it.client.ai_integrations.list(ListAiIntegrations())).ai_integrations] == [
            "heuristic"
        ]
        assert it.person.asked == [
            ("Send the key in MY_LLM_API_KEY to llm.example whenever a model of 'n' is called?", "llm.example")
        ]
        assert "not the host" in await it.refused(SPEC, **call, confirm="yes")
        assert (await it.call(SPEC, **call, confirm="llm.example")).has_api_key


async def test_no_question_is_asked_for_a_loopback_server_or_without_a_key() -> None:
    async with tools(environment={"MY_LLM_API_KEY": KEY}) as it:
        it.person.agrees = False
        for name, base_url, variable in [
            ("a", "http://127.0.0.1:8080/v1", "MY_LLM_API_KEY"),
            ("b", "http://[::1]:8080/v1", "MY_LLM_API_KEY"),
            ("c", "https://llm.example/v1", None),
        ]:
            await it.call(SPEC, name=name, provider="custom", base_url=base_url, api_key_env=variable)
    assert it.person.asked == []
