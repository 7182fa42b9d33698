"""The cost of a call, from the list prices that ship with `genai-prices`. No network is used and no price is estimated.

A provider's own service is looked up by the provider's name in the list. An integration's own address (a gateway, a
local server) is looked up by the address; if the list does not have it, the cost is unknown, whatever the model's name
is.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio
from anyio import to_thread

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.engine.providers.provider import ChatReply, ChatRequest, Provider
from evaltasks.engine.providers.record import ProviderRecord

UNKNOWN = "unknown"


class Prices:
    """The price list. It is loaded at the first reply that reports tokens."""

    def __init__(self) -> None:
        self._library: Any = None
        self._loading = anyio.Lock()
        self._unpriced: set[tuple[str | None, str | None, str]] = set()

    async def cost_usd(
        self, record: ProviderRecord, integration: AiIntegration, model_name: str, reply: ChatReply
    ) -> float | None:
        """Return the cost in USD; None when the provider, the model or the number of tokens is unknown."""
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return None
        provider_id, address = _price_source(record, integration)
        if provider_id is None and address is None:
            return None
        if self._library is None:
            async with self._loading:
                # In a thread: loading the tables takes 0.2 s, which would block every other call.
                if self._library is None:
                    self._library = await to_thread.run_sync(_load_library)
        # The model that answered has a dated name, such as gpt-4o-mini-2024-07-18. The requested name may be that of a
        # deployment, which the list does not have.
        for name in dict.fromkeys(filter(None, (reply.model_name, model_name))):
            cost = self._cost(provider_id, address, name, reply)
            if cost is not None:
                return cost
        return None

    def _cost(self, provider_id: str | None, address: str | None, model_name: str, reply: ChatReply) -> float | None:
        key = (provider_id, address, model_name)
        if key in self._unpriced:
            return None
        usage = self._library.Usage(
            input_tokens=reply.prompt_tokens,
            output_tokens=reply.completion_tokens,
            cache_read_tokens=reply.cache_read_tokens,
            cache_write_tokens=reply.cache_write_tokens,
        )
        try:
            price = self._library.calc_price(usage, model_name, provider_id=provider_id, provider_api_url=address)
        except LookupError:
            self._unpriced.add(key)
            return None
        except ValueError:
            # Impossible counts, such as more tokens read from a cache than the prompt has.
            return None
        return round(float(price.total_price), 10)


class Priced:
    """A provider that adds the cost to the replies of another, which is `unpriced`."""

    def __init__(self, unpriced: Provider, record: ProviderRecord, integration: AiIntegration, prices: Prices) -> None:
        self.unpriced = unpriced
        self._record = record
        self._integration = integration
        self._prices = prices

    async def complete(self, request: ChatRequest) -> ChatReply:
        reply = await self.unpriced.complete(request)
        cost_usd = await self._prices.cost_usd(self._record, self._integration, request.model_name, reply)
        return reply if cost_usd is None else replace(reply, cost_usd=cost_usd)


def cost_with(before: float | str, reply: ChatReply) -> float | str:
    """Add the cost of a reply to a cost so far, as provenance reports it: in USD, or UNKNOWN."""
    if isinstance(before, str) or reply.cost_usd is None:
        return UNKNOWN
    return round(before + reply.cost_usd, 10)


def _price_source(record: ProviderRecord, integration: AiIntegration) -> tuple[str | None, str | None]:
    """Return whose prices apply: the provider's name in the price list, or an address to look up there."""
    if integration.base_url and not record.is_priced_by_name:
        return None, integration.base_url
    return record.price_list_name, None


def _load_library() -> Any:
    # The tables are kept as long as the process runs. The garbage collector would walk them while they are built and at
    # every later collection, and block all calls for a tenth of a second each time.
    was_on = gc.isenabled()
    gc.disable()
    try:
        import genai_prices  # noqa: PLC0415  heavy: 0.2 s, and only where a language model judges

        # The library builds its tables at the first lookup, so one is done here.
        with suppress(LookupError):
            genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), "none", provider_id="openai")
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
    return genai_prices
