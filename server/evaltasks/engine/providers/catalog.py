"""Which adapter speaks to which provider, and the connections they share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import quote

import httpx2

from evaltasks.api.ai_integrations import AiIntegration, AuthType
from evaltasks.api.ai_integrations import Provider as ProviderName
from evaltasks.api.integrations import Integration
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.access import LIBRARY_PROVIDERS, access_of
from evaltasks.engine.providers.agent import HttpAgent, agent_headers
from evaltasks.engine.providers.connection_pool import ConnectionFactory, ConnectionPool
from evaltasks.engine.providers.library import LibraryProvider
from evaltasks.engine.providers.openai_compatible import (
    MAX_TOKENS_DEFAULT,
    TIMEOUT_SECONDS_DEFAULT,
    Address,
    AddressOf,
    Now,
    OpenAiCompatible,
)
from evaltasks.engine.providers.outgoing import Outgoing
from evaltasks.engine.providers.prices import Priced, Prices
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure, Provider
from evaltasks.engine.providers.rate_limit_headers import RateLimitStatus

_AZURE_API_VERSION = "2024-10-21"
_CONNECT_SECONDS = 10.0
_CONTENT_TYPE = {"content-type": "application/json", "accept": "application/json"}

# The address of a provider's API where the integration names none; None: it must.
_BASE_URLS: dict[ProviderName, str | None] = {
    ProviderName.OPEN_AI: "https://api.openai.com/v1",
    ProviderName.NVIDIA_NIM: "https://integrate.api.nvidia.com/v1",
    ProviderName.FIREWORKS: "https://api.fireworks.ai/inference/v1",
    ProviderName.TOGETHER_AI: "https://api.together.xyz/v1",
    ProviderName.LITELLM: None,
    ProviderName.CUSTOM: None,
}


def utc_now() -> datetime:
    return datetime.now(UTC)


class Judges:
    """The providers of this process, one for each AI integration; made by `open_judges`.

    A provider is kept as long as its integration and key stay the same, with what it learnt about the server.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        lines: ConnectionFactory,
        *,
        max_tokens: int,
        timeout_seconds: float,
        now: Now,
    ) -> None:
        self._environment = environment
        self._lines = lines
        self._connections: dict[str, ConnectionPool] = {}  # by integration
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._prices = Prices()
        self._known: dict[str, tuple[AiIntegration, str | None, Priced]] = {}

    def provider(self, integration: AiIntegration) -> Provider:
        """The provider behind an integration.

        Raises PermanentFailure when its settings cannot work (a variable that is not set, no address), NotBuilt for a
        provider or a kind of authentication this engine does not speak to.
        """
        if integration.provider == ProviderName.HEURISTIC:
            raise PermanentFailure(
                "the heuristic judge is not a language model and writes no text; "
                "name an AI integration of a language model here"
            )
        if integration.provider not in _ADAPTERS and integration.provider not in LIBRARY_PROVIDERS:
            raise NotBuilt(
                f"The embedded engine does not speak to {integration.provider}; it speaks to "
                f"{', '.join((*_ADAPTERS, *LIBRARY_PROVIDERS))}. An OpenAI-compatible gateway can be named with "
                "provider CUSTOM and base_url."
            )
        key = self._key_of(integration)
        known = self._known.get(integration.id)
        if known is not None and known[:2] == (integration, key):
            return known[2]
        provider = Priced(self._made(integration, key), integration, self._prices)
        self._known[integration.id] = (integration, key, provider)
        return provider

    def agent(self, integration: Integration) -> HttpAgent:
        """The agent behind an integration. Raises PermanentFailure for a variable that is not set."""
        return HttpAgent(
            self._connections.setdefault(integration.id, ConnectionPool(self._lines.make)),
            str(integration.config.endpoint),
            agent_headers(integration, self._environment),
            now=self._now,
            timeout_seconds=self._timeout_seconds,
        )

    def _made(self, integration: AiIntegration, key: str | None) -> Provider:
        connections = self._connections.setdefault(integration.id, ConnectionPool(self._lines.make))
        adapter = _ADAPTERS.get(integration.provider)
        if adapter is not None:
            return OpenAiCompatible(
                connections,
                adapter(integration, key),
                now=self._now,
                max_tokens=self._max_tokens,
                timeout_seconds=self._timeout_seconds,
            )
        access = access_of(integration, key, self._environment)
        return LibraryProvider(
            access,
            Outgoing(connections, access.headers, keeps_credentials=access.uses_ambient_credentials),
            now=self._now,
            max_tokens=self._max_tokens,
            timeout_seconds=self._timeout_seconds,
            holds_threads=integration.provider == ProviderName.AWS_BEDROCK,
        )

    def rate_limit_status(self, integration_id: str) -> RateLimitStatus | None:
        """What the provider behind an integration last told about its limits."""
        known = self._known.get(integration_id)
        asked = known[2].unpriced if known is not None else None
        return asked.rate_limit_status if isinstance(asked, OpenAiCompatible) else None

    def _key_of(self, integration: AiIntegration) -> str | None:
        name = integration.api_key_env
        if name is None:
            if integration.provider in _NEEDS_KEY and not integration.headers:
                raise PermanentFailure(
                    f"the AI integration '{integration.name}' names no key: set its api_key_env to the name of an "
                    "environment variable that holds one"
                )
            return None
        key = self._environment.get(name, "").strip()
        if not key:
            raise PermanentFailure(
                f"the environment variable {name}, which the AI integration '{integration.name}' names for its key, "
                "is not set where the engine is running"
            )
        if not key.isascii() or not key.isprintable():
            raise PermanentFailure(f"the environment variable {name} does not hold a key: it has characters no key has")
        return key

    async def aclose(self) -> None:
        for connections in self._connections.values():
            await connections.aclose()


@asynccontextmanager
async def open_judges(
    environment: Mapping[str, str],
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    max_tokens: int = MAX_TOKENS_DEFAULT,
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
    now: Now = utc_now,
) -> AsyncIterator[Judges]:
    """Open the providers; all connections are closed at the end.

    `environment` holds the keys; `max_tokens` is the length of an answer where the evaluator sets none;
    `timeout_seconds` bounds one call; `transport` replaces the network.
    """
    # The adapter bounds the whole call as well.
    timeout = httpx2.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds), pool=None)
    lines = ConnectionFactory(transport, timeout)
    judges = Judges(environment, lines, max_tokens=max_tokens, timeout_seconds=timeout_seconds, now=now)
    try:
        yield judges
    finally:
        await judges.aclose()


Adapter = Callable[[AiIntegration, str | None], AddressOf]


def _openai(integration: AiIntegration, key: str | None) -> AddressOf:
    base_url = integration.base_url or _BASE_URLS[ProviderName(integration.provider)]
    if base_url is None:
        raise PermanentFailure(
            f"the AI integration '{integration.name}' has no base_url, which {integration.provider} needs: "
            "set it to the address of the API, such as http://127.0.0.1:8000/v1"
        )
    headers = _headers(integration, {"authorization": f"Bearer {key}"} if key else {})
    address = Address(_completions_url(base_url), headers)
    return lambda request: address  # noqa: ARG005  one address for all models


def _azure(integration: AiIntegration, key: str | None) -> AddressOf:
    headers = _headers(integration, {"api-key": key} if key else {})

    def address_of(request: ChatRequest) -> Address:
        given = request.provider_parameters.get("azure_params")
        azure = given if isinstance(given, dict) else {}
        endpoint = str(azure.get("azure_openai_endpoint") or integration.base_url or "").rstrip("/")
        if not endpoint.startswith(("https://", "http://")):
            raise PermanentFailure(
                "no Azure endpoint: set provider_parameters.azure_params.azure_openai_endpoint of the evaluator, or "
                f"base_url of the AI integration '{integration.name}'"
            )
        if re.search(r"/v1(?:/chat/completions)?$", endpoint):
            return Address(_completions_url(endpoint), headers)
        deployment = quote(str(azure.get("azure_deployment_name") or request.model_name), safe="")
        version = quote(str(azure.get("azure_openai_version") or _AZURE_API_VERSION), safe="")
        path = f"/openai/deployments/{deployment}/chat/completions?api-version={version}"
        return Address(endpoint.removesuffix("/openai") + path, headers)

    return address_of


def _headers(integration: AiIntegration, credentials: Mapping[str, str]) -> dict[str, str]:
    if integration.auth_type == AuthType.OAUTH2_CLIENT_CREDENTIALS:
        raise NotBuilt("The embedded engine does not do OAuth2 client credentials; use a key or headers.")
    own = {name.lower(): value for name, value in (integration.headers or {}).items()}
    if integration.auth_type == AuthType.BEARER_TOKEN and "api-key" in credentials:
        credentials = {"authorization": f"Bearer {credentials['api-key']}"}
    return {**_CONTENT_TYPE, **credentials, **own}


def _completions_url(base_url: str) -> str:
    url = base_url.rstrip("/")
    return url if url.endswith("/chat/completions") else url + "/chat/completions"


_ADAPTERS: dict[str, Adapter] = {
    ProviderName.OPEN_AI: _openai,
    ProviderName.AZURE_OPEN_AI: _azure,
    ProviderName.CUSTOM: _openai,
    ProviderName.NVIDIA_NIM: _openai,
    ProviderName.LITELLM: _openai,
    ProviderName.FIREWORKS: _openai,
    ProviderName.TOGETHER_AI: _openai,
}
_NEEDS_KEY = frozenset(
    {
        ProviderName.OPEN_AI,
        ProviderName.AZURE_OPEN_AI,
        ProviderName.NVIDIA_NIM,
        ProviderName.FIREWORKS,
        ProviderName.TOGETHER_AI,
        ProviderName.ANTHROPIC,
        ProviderName.GEMINI,
    }
)
