"""What a call costs, by the list prices that ship with `genai-prices`: no network, no guess.

A price is known for a provider's own service. An address of somebody's own (a gateway, a local server) is looked up by
the address; where nothing is known of it, the cost is unknown, whatever the model is called.
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
    """The price list, read at the first reply that counts tokens."""

    def __init__(self) -> None:
        self._library: Any = None
        self._reading = anyio.Lock()
        self._unpriced: set[tuple[str | None, str | None, str]] = set()

    async def cost_usd(
        self, record: ProviderRecord, integration: AiIntegration, model_name: str, reply: ChatReply
    ) -> float | None:
        """None when the provider, the model or the number of tokens is not known."""
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return None
        provider_id, address = _price_source(record, integration)
        if provider_id is None and address is None:
            return None
        if self._library is None:
            async with self._reading:
                # In a thread: 0.2 s of reading tables would stop every other call.
                if self._library is None:
                    self._library = await to_thread.run_sync(_read_library)
        # The model that answered is the dated name of the one asked for; a deployment's own name is not a model's.
        for name in dict.fromkeys(filter(None, (reply.model_name, model_name))):
            cost = self._cost(provider_id, address, name, reply)
            if cost is not None:
                return cost
        return None

    def _cost(self, provider_id: str | None, address: str | None, model_name: str, reply: ChatReply) -> float | None:
        sold = (provider_id, address, model_name)
        if sold in self._unpriced:
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
            self._unpriced.add(sold)
            return None
        except ValueError:
            # Counts that cannot be: more read from a cache than there were.
            return None
        return round(float(price.total_price), 10)


class Priced:
    """A provider whose replies carry what they cost; `unpriced` is the provider itself."""

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
    """The cost of several calls together, as provenance tells it: in USD, or that it is unknown."""
    if isinstance(before, str) or reply.cost_usd is None:
        return UNKNOWN
    return round(before + reply.cost_usd, 10)


def _price_source(record: ProviderRecord, integration: AiIntegration) -> tuple[str | None, str | None]:
    """Return whose prices apply: the provider's name in the price list, or an address to look up there."""
    if integration.base_url and not record.is_priced_by_name:
        return None, integration.base_url
    return record.price_list_name, None


def _read_library() -> Any:
    # The tables live as long as the process. The collector would walk them while they are made, and again and again
    # later: a tenth of a second each time in which no judge is attended to.
    was_on = gc.isenabled()
    gc.disable()
    try:
        import genai_prices  # noqa: PLC0415  heavy: 0.2 s, and only where a language model judges

        # The first price is asked for here: the library makes up its tables with it.
        with suppress(LookupError):
            genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), "none", provider_id="openai")
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
    return genai_prices
