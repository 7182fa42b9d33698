"""create_agent_integration: register the user's agent; nothing is sent to another host without confirmation."""

from __future__ import annotations

import pytest

from evaltasks.api.integrations import ListIntegrations
from evaltasks.tools.context import Declined
from evaltasks.tools.create_agent_integration import SPEC
from tests.support.authoring import tools

KEY = "sk-proj-a8Fk20Zq91LmPx77Rt4VbN3cQw"


async def test_an_agent_on_this_machine_is_created_without_a_question() -> None:
    async with tools() as it:
        it.person.agrees = False
        made = await it.call(SPEC, name="bot", endpoint="http://127.0.0.1:9/a", input_schema='{"type": "object"}')
        there = await it.client.integrations.list(ListIntegrations())
    assert [(one.id, one.config.endpoint) for one in there.integrations] == [
        (made.integration_id, "http://127.0.0.1:9/a")
    ]
    assert it.person.asked == []


async def test_examples_and_keys_are_sent_to_another_host_only_when_the_person_agrees() -> None:
    call = {"name": "bot", "endpoint": "https://agent.example/a", "api_key_env": "BOT_API_KEY"}
    async with tools() as it:
        it.person.agrees = False
        with pytest.raises(Declined):
            await it.call(SPEC, **call)
        assert (await it.client.integrations.list(ListIntegrations())).integrations == []
        assert "BOT_API_KEY" in it.person.asked[0][0] and "agent.example" in it.person.asked[0][0]
        assert (await it.call(SPEC, **call, confirm="agent.example")).name == "bot"


@pytest.mark.parametrize("fields", [{"api_key_env": KEY}, {"name": KEY}, {"endpoint": f"https://x.example/?key={KEY}"}])
async def test_a_key_is_refused_and_never_repeated(fields: dict[str, str]) -> None:
    async with tools() as it:
        words = await it.refused(SPEC, **{"name": "bot", "endpoint": "http://127.0.0.1:9/a", **fields})
    assert KEY[8:20] not in words


async def test_on_ax_the_refusal_says_where_agents_are_created() -> None:
    async with tools(as_ax=True) as it:
        assert "web app" in await it.refused(SPEC, name="bot", endpoint="http://127.0.0.1:9/a")
