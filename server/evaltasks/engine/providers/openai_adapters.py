"""Adapters for providers that use OpenAI's chat/completions wire format: the URL and the headers of their calls."""

from __future__ import annotations

import re
from urllib.parse import quote

from evaltasks.api.ai_integrations import AuthType
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.openai_compatible import Address, AddressFor, OpenAiCompatible
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure, Provider
from evaltasks.engine.providers.record import ProviderRecord, ProviderSetup

_AZURE_API_VERSION = "2024-10-21"
_CONTENT_TYPE = {"content-type": "application/json", "accept": "application/json"}


def openai_compatible(record: ProviderRecord, setup: ProviderSetup) -> Provider:
    """Make a provider that is called at `{base_url}/chat/completions`.

    Raises:
        PermanentFailure: Neither the integration nor the record has a base_url.
        NotBuilt: The integration asks for OAuth2 client credentials.
    """
    integration = setup.integration
    base_url = integration.base_url or record.base_url
    if base_url is None:
        raise PermanentFailure(
            f"the AI integration '{integration.name}' has no base_url, which {record.name} needs: "
            "set it to the address of the API, such as http://127.0.0.1:8000/v1"
        )
    address = Address(_completions_url(base_url), _headers(record, setup))
    return _provider(setup, lambda request: address)  # noqa: ARG005  one address for all models


def azure_openai(record: ProviderRecord, setup: ProviderSetup) -> Provider:
    """Make a provider that is called at the Azure deployment named by the request or by the integration.

    Raises:
        NotBuilt: The integration asks for OAuth2 client credentials.
    """
    integration = setup.integration
    headers = _headers(record, setup)

    def address_for(request: ChatRequest) -> Address:
        parameters = request.provider_parameters.get("azure_params")
        azure = parameters if isinstance(parameters, dict) else {}
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

    return _provider(setup, address_for)


def _provider(setup: ProviderSetup, address_for: AddressFor) -> Provider:
    return OpenAiCompatible(
        setup.connections,
        address_for,
        now=setup.now,
        max_tokens=setup.max_tokens,
        timeout_seconds=setup.timeout_seconds,
    )


def _headers(record: ProviderRecord, setup: ProviderSetup) -> dict[str, str]:
    integration = setup.integration
    if integration.auth_type == AuthType.OAUTH2_CLIENT_CREDENTIALS:
        raise NotBuilt("The embedded engine does not do OAuth2 client credentials; use a key or headers.")
    as_bearer_token = integration.auth_type == AuthType.BEARER_TOKEN
    own = {name.lower(): value for name, value in (integration.headers or {}).items()}
    return {**_CONTENT_TYPE, **record.key_headers(setup.key, as_bearer_token=as_bearer_token), **own}


def _completions_url(base_url: str) -> str:
    url = base_url.rstrip("/")
    return url if url.endswith("/chat/completions") else url + "/chat/completions"
