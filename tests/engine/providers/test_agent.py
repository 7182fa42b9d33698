"""The call of an agent, against a real server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from evaltasks.api.integrations import Integration
from evaltasks.engine.providers.agent import HttpAgent
from evaltasks.engine.providers.catalog import open_providers
from evaltasks.engine.providers.connection_pool import BODY_BYTES_MAX
from evaltasks.engine.providers.provider import CallRejected, PermanentFailure, RetryLater
from tests.support.judges import Answer, judge_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def integration(endpoint: str, **config: Any) -> Integration:
    return Integration.model_validate(
        {
            "id": "i",
            "type": "AGENT",
            "name": "mine",
            "config": {"endpoint": endpoint, **config},
            "created_at": NOW,
            "updated_at": NOW,
        }
    )


@asynccontextmanager
async def agent_at(
    endpoint: str, environment: Mapping[str, str] | None = None, timeout_seconds: float = 5, **config: Any
) -> AsyncIterator[HttpAgent]:
    async with open_providers(environment or {}, timeout_seconds=timeout_seconds) as providers:
        yield providers.agent(integration(endpoint, **config))


async def test_agent_that_times_out_is_not_retried() -> None:
    async with judge_server() as server, agent_at(server.base_url, timeout_seconds=0.05) as agent:
        server.hold()
        with pytest.raises(CallRejected, match=r"within 0\.05 s"):
            await agent.call({})
        server.release()


async def test_unreachable_agent_and_lost_connection_are_retried_later() -> None:
    async with agent_at("http://127.0.0.1:9/") as agent:
        with pytest.raises(RetryLater, match="could not be reached"):
            await agent.call({})
    async with judge_server(script=[Answer.cut()]) as server, agent_at(server.base_url) as agent:
        with pytest.raises(RetryLater, match="was lost"):
            await agent.call({})


async def test_retry_after_of_an_agent_is_used() -> None:
    async with judge_server(script=[Answer.rate_limited("7")]) as server, agent_at(server.base_url) as agent:
        with pytest.raises(RetryLater) as refused:
            await agent.call({})
    assert refused.value.after_seconds == 7


async def test_request_over_the_size_limit_is_not_sent() -> None:
    async with judge_server() as server, agent_at(server.base_url) as agent:
        with pytest.raises(CallRejected, match="longer than"):
            await agent.call({"text": "x" * BODY_BYTES_MAX})
        assert server.requests == []


@pytest.mark.parametrize("value", ["", "two\nlines", "naïve"])
async def test_variable_that_no_header_can_carry_is_named_without_its_value(value: str) -> None:
    with pytest.raises(PermanentFailure, match="AGENT_KEY") as broken:
        async with agent_at("http://127.0.0.1:9/", {"AGENT_KEY": value}, headers_env={"x-key": "AGENT_KEY"}):
            pass
    assert not value or value not in broken.value.reason


async def test_agent_errors_have_no_header_values_and_a_short_detail() -> None:
    async with (
        judge_server(script=[Answer(418, b"teapot " * 1000)]) as server,
        agent_at(server.base_url, {"AGENT_KEY": "secret-1"}, api_key_env="AGENT_KEY") as agent,
    ):
        with pytest.raises(CallRejected) as refused:
            await agent.call({})
    assert refused.value.reason == "the agent answered 418"
    assert refused.value.detail is not None and len(refused.value.detail) <= 500
    assert "secret-1" not in repr(vars(refused.value))


@pytest.mark.parametrize(
    "page",
    [
        Answer(200, b"Sign in", headers={"content-type": "text/html; charset=utf-8"}),
        Answer(200, b"\n <!DOCTYPE html><p>Sign in", headers={"content-type": "text/plain"}),
        Answer(200, b"<HTML>", headers={"content-type": "application/json"}),
    ],
    ids=["by content type", "by doctype", "by first element"],
)
async def test_web_page_is_recognised_by_its_content_type_or_its_start(page: Answer) -> None:
    async with judge_server(script=[page]) as server, agent_at(server.base_url) as agent:
        with pytest.raises(CallRejected, match="answered with a web page"):
            await agent.call({})
