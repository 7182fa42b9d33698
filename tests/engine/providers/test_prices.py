"""The cost of a call: known for a provider's own service, reported as unknown elsewhere."""

from __future__ import annotations

import warnings
from typing import Any

import httpx2
import pytest

from evaltasks.engine.providers.prices import UNKNOWN, cost_with
from evaltasks.engine.providers.provider import ChatReply
from tests.support.exchanges import answering, exchange, needs_libraries, replaying, request

# 12 tokens in at 0.15 USD a million, 5 out at 0.60.
OPENAI_USD = (12 * 0.15 + 5 * 0.60) / 1_000_000


@pytest.mark.parametrize(
    ("kind", "fields", "cost_usd"),
    [
        ("OPEN_AI", {}, OPENAI_USD),
        ("CUSTOM", {"base_url": "https://api.openai.com/v1"}, OPENAI_USD),
        ("CUSTOM", {}, None),
        ("OPEN_AI", {"base_url": "https://gateway.example/v1"}, None),
        ("NVIDIA_NIM", {}, None),
    ],
)
async def test_list_price_depends_on_whose_service_is_called(
    kind: str, fields: dict[str, Any], cost_usd: float | None
) -> None:
    async with replaying(kind, "text", **fields) as it:
        replies = [await it.provider.complete(request(kind)) for _ in range(2)]

    assert [reply.cost_usd for reply in replies] == [cost_usd and pytest.approx(cost_usd)] * 2


@needs_libraries
@pytest.mark.parametrize("kind", ["ANTHROPIC", "GEMINI", "VERTEX_AI", "AWS_BEDROCK"])
async def test_providers_of_the_extra_have_prices(kind: str) -> None:
    async with replaying(kind, "text") as it:
        reply = await it.provider.complete(request(kind))

    assert reply.cost_usd is not None
    assert 0.00001 < reply.cost_usd < 0.01


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 10},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
    ],
)
async def test_missing_or_impossible_token_counts_have_no_price(usage: Any) -> None:
    body = {**exchange("openai", "text")["body"], "usage": usage}
    async with answering("OPEN_AI", lambda _: httpx2.Response(200, json=body)) as it:
        reply = await it.provider.complete(request("OPEN_AI"))

    assert (reply.text, reply.cost_usd) == ("This is a test.", None)


async def test_cached_tokens_cost_less() -> None:
    costs = []
    for cached in (0, 1000):
        usage = {"prompt_tokens": 1000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": cached}}
        body = {**exchange("openai", "text")["body"], "usage": usage}
        async with answering("OPEN_AI", lambda _, body=body: httpx2.Response(200, json=body)) as it:  # type: ignore[misc]
            costs.append((await it.provider.complete(request("OPEN_AI"))).cost_usd)

    assert costs == [pytest.approx(0.00015), pytest.approx(0.000075)]


async def test_unlisted_model_has_an_unknown_cost() -> None:
    body = {**exchange("openai", "text")["body"], "model": "ours-of-yesterday"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with answering("OPEN_AI", lambda _: httpx2.Response(200, json=body)) as it:
            reply = await it.provider.complete(request("OPEN_AI", model_name="ours"))

    assert reply.cost_usd is None


def test_cost_sum_is_unknown_once_one_cost_is_unknown() -> None:
    known = ChatReply(text="", cost_usd=0.5)

    assert cost_with(cost_with(0.0, known), known) == 1.0
    assert cost_with(0.5, ChatReply(text="")) == UNKNOWN
    assert cost_with(UNKNOWN, known) == UNKNOWN
