"""How a provider of the extra is reached: the address, and the credentials that are sent there.

| provider     | a key by name (DEFAULT)                | BEARER_TOKEN          | neither                              |
| ------------ | -------------------------------------- | --------------------- | ------------------------------------ |
| ANTHROPIC    | `x-api-key`                            | `authorization`       | headers of the integration only      |
| GEMINI       | `x-goog-api-key`                       | `authorization`       | headers of the integration only      |
| VERTEX_AI    | `x-goog-api-key` (express mode)        | `authorization`       | Google's application default chain   |
| AWS_BEDROCK  | `authorization`, a Bedrock API key     | `authorization`       | AWS's standard chain, SigV4          |

PROXY_WITH_HEADERS sends the integration's headers, and a key where one is named, but never what a cloud's chain finds.

What the environment provides (a cloud's credential chain) is sent to that cloud's own hosts and nowhere else: an agent
may have chosen the address, and a token sent there would leak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from evaltasks.api.ai_integrations import AiIntegration, AuthType
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure
from evaltasks.engine.providers.record import Place, ProviderRecord, ProviderSetup

# A region becomes part of a host name, a model's name part of a path.
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@\-]{0,255}")
_VERSION_SUFFIX = re.compile(r"/v\d+(?:beta\d*|alpha\d*)?$")


@dataclass(frozen=True, slots=True)
class Access:
    """The address of a provider and the credentials sent there.

    Attributes:
        provider: The provider's name, for messages.
        base_url: The address without a version; None for the provider's own, chosen by region.
        headers: Sent with every request. They hold the key, so they are never shown.
        uses_ambient_credentials: The cloud's own credential chain is used.
        uses_key_header: The key is sent in the provider's own header, not as a bearer token.
        place: The project and region set by the integration or by the environment.
    """

    provider: str
    base_url: str | None
    headers: Mapping[str, str] = field(repr=False)
    uses_ambient_credentials: bool = False
    uses_key_header: bool = False
    place: Place = field(default_factory=Place)

    def region_for(self, request: ChatRequest) -> str | None:
        """Return the region or location for a request: its own, or the integration's.

        Raises:
            PermanentFailure: The value is not the name of a region.
        """
        region = request.provider_parameters.get("region") or self.place.region
        if region is not None and not (isinstance(region, str) and _REGION.fullmatch(region)):
            raise PermanentFailure("provider_parameters.region is not the name of a region, such as us-east-1")
        return region


def access_for(record: ProviderRecord, setup: ProviderSetup) -> Access:
    """Return how the provider of an AI integration is reached.

    Raises:
        PermanentFailure: The settings cannot work.
        NotBuilt: The integration asks for OAuth2 client credentials.
    """
    integration, key = setup.integration, setup.key
    if integration.auth_type == AuthType.OAUTH2_CLIENT_CREDENTIALS:
        raise NotBuilt("The embedded engine does not do OAuth2 client credentials; use a key or headers.")
    problem = ambient_credentials_error(record, integration)
    if problem is not None:
        raise PermanentFailure(problem)
    is_bearer_token = integration.auth_type == AuthType.BEARER_TOKEN
    if is_bearer_token and key is None:
        raise PermanentFailure(
            f"the AI integration '{integration.name}' has auth_type BEARER_TOKEN and names no api_key_env"
        )
    own = {name.lower(): value for name, value in (integration.headers or {}).items()}
    credentials = record.key_headers(key, as_bearer_token=is_bearer_token)
    return Access(
        provider=record.name,
        base_url=_without_version(integration.base_url) or record.base_url,
        headers={**credentials, **own},
        uses_ambient_credentials=_uses_ambient_credentials(record, integration),
        uses_key_header=not is_bearer_token and record.key_header in credentials,
        place=record.cloud.place_for(integration, setup.environment) if record.cloud is not None else Place(),
    )


def ambient_credentials_error(record: ProviderRecord, integration: AiIntegration) -> str | None:
    """Return why base_url must not be sent what the cloud's credential chain finds; None when it may be."""
    if record.cloud is None or not integration.base_url or not _uses_ambient_credentials(record, integration):
        return None
    parts = urlsplit(integration.base_url)
    if parts.scheme == "https" and (parts.hostname or "").endswith(record.cloud.hosts):
        return None
    return (
        f"credentials found where the engine runs are sent to {record.cloud.title}'s own hosts over https only, and "
        "base_url is not one of them; name a key for that address with api_key_env, or use auth_type "
        "PROXY_WITH_HEADERS"
    )


def model_name_for(request: ChatRequest) -> str:
    """Return the model's name, safe as part of a path.

    Raises:
        PermanentFailure: It is not the name of a model.
    """
    if not _MODEL.fullmatch(request.model_name) or ".." in request.model_name:
        raise PermanentFailure("model_name is not the name of a model")
    return request.model_name


def _uses_ambient_credentials(record: ProviderRecord, integration: AiIntegration) -> bool:
    return (
        record.cloud is not None
        and integration.api_key_env is None
        and integration.auth_type != AuthType.PROXY_WITH_HEADERS
    )


def _without_version(base_url: str | None) -> str | None:
    """Return the address without a version at its end, because the libraries add their own."""
    return _VERSION_SUFFIX.sub("", base_url.rstrip("/")) if base_url else None
