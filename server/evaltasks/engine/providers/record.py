"""One record per provider: every fact the engine knows about a language model service.

`registry.py` holds the records of this package; another installed package adds one through the entry-point group
`evaltasks.providers`. No other module decides anything by a provider's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.engine.providers.connection_pool import ConnectionPool
from evaltasks.engine.providers.provider import Now, Provider

AUTHORIZATION = "authorization"
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ProviderSetup:
    """What an adapter builds a provider from, for one AI integration.

    Attributes:
        integration: The AI integration, with its header values in clear.
        key: The key read from the variable `api_key_env`; None when the integration names none.
        environment: The environment variables that integrations may read.
        connections: The connections of this integration; closed by the engine.
        now: Returns the current time, to read dates in `Retry-After`.
        max_tokens: The length of an answer where the request sets none.
        timeout_seconds: The bound of one call.
    """

    integration: AiIntegration
    key: str | None = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    connections: ConnectionPool
    now: Now
    max_tokens: int
    timeout_seconds: float


class Adapter(Protocol):
    """Makes the provider of one AI integration."""

    def __call__(self, record: ProviderRecord, setup: ProviderSetup) -> Provider:
        """Return a provider that is ready for calls. No request is sent here.

        Raises:
            PermanentFailure: The integration's settings cannot work.
            NotBuilt: The engine does not have this kind of authentication.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cloud runs a model: its project, and its region or location."""

    project: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud whose own credential chain is used when an integration names no key.

    Attributes:
        title: The cloud's name in messages.
        hosts: Suffixes of the hosts that may be sent what the credential chain finds.
        metadata_kind: The `kind` of the `provider_metadata` that belongs to this cloud.
        place_for: Returns the place set by an integration or by the environment; raises PermanentFailure for a value
            that is not the name of one.
    """

    title: str
    hosts: tuple[str, ...]
    metadata_kind: str
    place_for: Callable[[AiIntegration, Mapping[str, str]], Place]


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """All that is known about one provider.

    Attributes:
        name: The name on the wire (`provider` of an AI integration), in UPPER_SNAKE.
        adapter: Makes the provider; `openai_adapters.openai_compatible` for OpenAI's chat/completions.
        base_url: The address of the provider's API where the integration names none; None when it must.
        requires_base_url: An AI integration is refused without `base_url`.
        needs_key: A call is refused when the integration has neither `api_key_env` nor headers.
        key_header: The header that carries the key; `authorization` carries it as a bearer token.
        cloud: The cloud whose credential chain is used without a key; None for a provider that has none.
        price_list_name: The provider's id in `genai-prices`; None when its prices are unknown.
        is_priced_by_name: The price list name is valid for an integration's own `base_url` as well.
        is_local: It judges inside the engine: it has no address, no key and no headers.

    Raises:
        ValueError: `name` is not UPPER_SNAKE, or `key_header` is not in lower case.
    """

    name: str
    adapter: Adapter
    base_url: str | None = None
    requires_base_url: bool = False
    needs_key: bool = True
    key_header: str = AUTHORIZATION
    cloud: Cloud | None = None
    price_list_name: str | None = None
    is_priced_by_name: bool = False
    is_local: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the provider name {self.name!r} is not UPPER_SNAKE, such as MY_PROVIDER")
        if self.key_header != self.key_header.lower():
            raise ValueError(f"the key_header {self.key_header!r} of {self.name} is not in lower case")

    def key_headers(self, key: str | None, *, as_bearer_token: bool = False) -> dict[str, str]:
        """Return the header that carries the key; empty without a key."""
        if key is None:
            return {}
        if as_bearer_token or self.key_header == AUTHORIZATION:
            return {AUTHORIZATION: f"Bearer {key}"}
        return {self.key_header: key}
