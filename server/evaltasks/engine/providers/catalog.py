"""The providers of one process: made from their records, kept per AI integration, with their connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.integrations import Integration
from evaltasks.api.problems import NotBuilt
from evaltasks.edge.clock import SystemClock
from evaltasks.engine.providers.agent import HttpAgent, agent_headers
from evaltasks.engine.providers.connection_pool import ConnectionFactory, ConnectionPool
from evaltasks.engine.providers.environment_secrets import read_secret
from evaltasks.engine.providers.openai_compatible import (
    MAX_TOKENS_DEFAULT,
    TIMEOUT_SECONDS_DEFAULT,
    OpenAiCompatible,
)
from evaltasks.engine.providers.prices import Priced, Prices
from evaltasks.engine.providers.provider import Now, PermanentFailure, Provider
from evaltasks.engine.providers.rate_limit_headers import RateLimitStatus
from evaltasks.engine.providers.record import ProviderRecord, ProviderSetup
from evaltasks.engine.providers.registry import find_provider, providers_with_plugins

_CONNECT_SECONDS = 10.0
_SYSTEM_NOW = SystemClock().now


class Providers:
    """The providers of this process, one for each AI integration. `open_providers` makes it.

    A provider is kept, with what it learnt about the server, as long as its integration and key stay the same.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        factory: ConnectionFactory,
        *,
        max_tokens: int,
        timeout_seconds: float,
        now: Now,
    ) -> None:
        self._environment = environment
        self._factory = factory
        self._connections: dict[str, ConnectionPool] = {}  # by integration
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._prices = Prices()
        self._known: dict[str, tuple[AiIntegration, str | None, Priced]] = {}

    def provider(self, integration: AiIntegration) -> Provider:
        """Return the provider of an AI integration.

        Raises:
            PermanentFailure: The settings cannot work: a variable that is not set, no address.
            NotBuilt: The engine does not have this provider or this kind of authentication.
        """
        record = find_provider(integration.provider)
        if record is None:
            callable_names = [record.name for record in providers_with_plugins().values() if not record.is_local]
            raise NotBuilt(
                f"The embedded engine cannot call {integration.provider}; it can call {', '.join(callable_names)}. For "
                "an OpenAI-compatible gateway use provider CUSTOM and base_url."
            )
        key = self._key_for(record, integration)
        known = self._known.get(integration.id)
        if known is not None and known[:2] == (integration, key):
            return known[2]
        provider = Priced(self._make(record, integration, key), record, integration, self._prices)
        self._known[integration.id] = (integration, key, provider)
        return provider

    def agent(self, integration: Integration) -> HttpAgent:
        """Return the agent of an agent integration.

        Raises:
            PermanentFailure: A variable that the integration names is not set.
        """
        return HttpAgent(
            self._connections_of(integration.id),
            str(integration.config.endpoint),
            agent_headers(integration, self._environment),
            now=self._now,
            timeout_seconds=self._timeout_seconds,
        )

    def _make(self, record: ProviderRecord, integration: AiIntegration, key: str | None) -> Provider:
        setup = ProviderSetup(
            integration=integration,
            key=key,
            environment=self._environment,
            connections=self._connections_of(integration.id),
            now=self._now,
            max_tokens=self._max_tokens,
            timeout_seconds=self._timeout_seconds,
        )
        try:
            return record.adapter(record, setup)
        except (PermanentFailure, NotBuilt):
            raise
        except Exception as error:
            # A bug of the adapter, which may be a plug-in's. Callers turn a ValueError into a message for people, and
            # the text of this one is not safe to show.
            raise RuntimeError(f"the adapter of {record.name} raised {type(error).__name__}") from error

    def _connections_of(self, integration_id: str) -> ConnectionPool:
        return self._connections.setdefault(integration_id, ConnectionPool(self._factory.make))

    def rate_limit_status(self, integration_id: str) -> RateLimitStatus | None:
        """Return the rate limit that the provider of an integration last reported; None when it reported none."""
        known = self._known.get(integration_id)
        provider = known[2].unpriced if known is not None else None
        return provider.rate_limit_status if isinstance(provider, OpenAiCompatible) else None

    def _key_for(self, record: ProviderRecord, integration: AiIntegration) -> str | None:
        name = integration.api_key_env
        if name is None:
            if record.needs_key and not integration.headers:
                raise PermanentFailure(
                    f"the AI integration '{integration.name}' names no key: set its api_key_env to the name of an "
                    "environment variable that holds one"
                )
            return None
        return read_secret(self._environment, name, f"the AI integration '{integration.name}'")

    async def aclose(self) -> None:
        for connections in self._connections.values():
            await connections.aclose()


@asynccontextmanager
async def open_providers(
    environment: Mapping[str, str],
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    max_tokens: int = MAX_TOKENS_DEFAULT,
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
    now: Now = _SYSTEM_NOW,
) -> AsyncIterator[Providers]:
    """Open the providers, and close all of their connections at the end.

    Args:
        environment: The environment variables that hold the keys.
        transport: Replaces the network.
        max_tokens: The length of an answer where the evaluator sets none.
        timeout_seconds: The bound of one call.
        now: Returns the current time.
    """
    # These timeouts count from each byte to the next; the provider bounds the whole call as well.
    timeout = httpx2.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds), pool=None)
    factory = ConnectionFactory(transport, timeout)
    providers = Providers(environment, factory, max_tokens=max_tokens, timeout_seconds=timeout_seconds, now=now)
    try:
        yield providers
    finally:
        await providers.aclose()
