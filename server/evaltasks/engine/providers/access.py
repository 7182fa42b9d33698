"""How Anthropic, Gemini, Vertex AI and Bedrock are reached: the address, and whose credentials are sent there.

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
from evaltasks.api.ai_integrations import Provider as ProviderName
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure

_ADDRESSES: dict[str, str] = {
    ProviderName.ANTHROPIC: "https://api.anthropic.com",
    ProviderName.GEMINI: "https://generativelanguage.googleapis.com",
}
_CLOUDS: dict[str, tuple[str, tuple[str, ...]]] = {
    ProviderName.VERTEX_AI: ("Google Cloud", (".googleapis.com",)),
    ProviderName.AWS_BEDROCK: ("AWS", (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")),
}
_KEY_HEADERS: dict[str, str] = {
    ProviderName.ANTHROPIC: "x-api-key",
    ProviderName.GEMINI: "x-goog-api-key",
    ProviderName.VERTEX_AI: "x-goog-api-key",
}
LIBRARY_PROVIDERS = (
    ProviderName.ANTHROPIC,
    ProviderName.GEMINI,
    ProviderName.VERTEX_AI,
    ProviderName.AWS_BEDROCK,
)
# A place becomes part of a host name, a model's name part of a path.
_PLACE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:\-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@\-]{0,255}")
_VERSION_SUFFIX = re.compile(r"/v\d+(?:beta\d*|alpha\d*)?$")


@dataclass(frozen=True, slots=True)
class Access:
    """`headers` hold the key, so they are never shown. `base_url` None: the provider's own, by region."""

    provider: str
    base_url: str | None
    headers: Mapping[str, str] = field(repr=False)
    uses_ambient_credentials: bool = False
    is_express: bool = False
    project: str | None = None
    place: str | None = None

    def place_for(self, request: ChatRequest) -> str | None:
        """The region or location for a request: its own, or the integration's. Raises PermanentFailure for no place."""
        place = request.provider_parameters.get("region") or self.place
        if place is not None and not (isinstance(place, str) and _PLACE.fullmatch(place)):
            raise PermanentFailure("provider_parameters.region is not the name of a region, such as us-east-1")
        return place


def access_of(integration: AiIntegration, key: str | None, environment: Mapping[str, str]) -> Access:
    """Raises PermanentFailure for settings that cannot work, NotBuilt for a kind of authentication that is not done
    here."""
    provider, auth_type = str(integration.provider), integration.auth_type
    if auth_type == AuthType.OAUTH2_CLIENT_CREDENTIALS:
        raise NotBuilt("The embedded engine does not do OAuth2 client credentials; use a key or headers.")
    own = {name.lower(): value for name, value in (integration.headers or {}).items()}
    problem = ambient_credentials_error(integration)
    if problem is not None:
        raise PermanentFailure(problem)
    if auth_type == AuthType.BEARER_TOKEN and key is None:
        raise PermanentFailure(
            f"the AI integration '{integration.name}' has auth_type BEARER_TOKEN and names no api_key_env"
        )
    credentials: dict[str, str] = {}
    header = None if auth_type == AuthType.BEARER_TOKEN else _KEY_HEADERS.get(provider)
    if key is not None:
        credentials = {header: key} if header else {"authorization": f"Bearer {key}"}
    project, place = _project_and_place(integration, environment)
    return Access(
        provider=provider,
        base_url=_bare(integration.base_url) or _ADDRESSES.get(provider),
        headers={**credentials, **own},
        uses_ambient_credentials=_uses_ambient_credentials(integration),
        is_express=provider == ProviderName.VERTEX_AI and header in credentials,
        project=project,
        place=place,
    )


def ambient_credentials_error(integration: AiIntegration) -> str | None:
    """Why an address may not be sent what a cloud's chain finds, or None."""
    if not integration.base_url or not _uses_ambient_credentials(integration):
        return None
    cloud, hosts = _CLOUDS[str(integration.provider)]
    parts = urlsplit(integration.base_url)
    if parts.scheme == "https" and (parts.hostname or "").endswith(hosts):
        return None
    return (
        f"credentials found where the engine runs are sent to {cloud}'s own hosts over https only, and base_url is "
        "none of them; name a key for that address with api_key_env, or use auth_type PROXY_WITH_HEADERS"
    )


def model_name_of(request: ChatRequest) -> str:
    """Raises PermanentFailure for what is not a model's name."""
    if not _MODEL.fullmatch(request.model_name) or ".." in request.model_name:
        raise PermanentFailure("model_name is not the name of a model")
    return request.model_name


def _uses_ambient_credentials(integration: AiIntegration) -> bool:
    return (
        integration.provider in _CLOUDS
        and integration.api_key_env is None
        and integration.auth_type != AuthType.PROXY_WITH_HEADERS
    )


def _project_and_place(integration: AiIntegration, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    metadata = integration.provider_metadata or {}
    if integration.provider == ProviderName.VERTEX_AI:
        project = metadata.get("project_id") or environment.get("GOOGLE_CLOUD_PROJECT")
        place = metadata.get("location") or environment.get("GOOGLE_CLOUD_LOCATION")
        if project is not None and not _PROJECT.fullmatch(str(project)):
            raise PermanentFailure("provider_metadata.project_id is not the id of a Google Cloud project")
        return project, place
    if integration.provider == ProviderName.AWS_BEDROCK:
        return None, environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return None, None


def _bare(base_url: str | None) -> str | None:
    """Without the version: the libraries put their own behind it."""
    return _VERSION_SUFFIX.sub("", base_url.rstrip("/")) if base_url else None
