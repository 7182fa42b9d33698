"""Makes the models of `pydantic-ai`: one function for each provider, which imports that provider's own library.

Each model gets the address, a placeholder where the library requires a key (`outgoing` replaces it by the real one), no
retries of its own, and our connections. The functions run in a thread: an import takes seconds, a Bedrock client tenths
of a second.
"""

# Every import below is inside a function because each library is heavy (1 to 2 s) and only one of them is needed.
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
from anyio import from_thread

from evaltasks.engine.providers.access import Access, model_name_for
from evaltasks.engine.providers.outgoing import Outgoing
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure

_PLACEHOLDER = "replaced-when-sent"
VERTEX_LOCATION_DEFAULT = "us-central1"


def _client(outgoing: Outgoing, timeout_seconds: float) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=outgoing, timeout=timeout_seconds, trust_env=False)


def anthropic_model(access: Access, outgoing: Outgoing, timeout_seconds: float, request: ChatRequest) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=_PLACEHOLDER,
        base_url=access.base_url,
        http_client=_client(outgoing, timeout_seconds),
        max_retries=0,
        timeout=timeout_seconds,
    )
    return AnthropicModel(model_name_for(request), provider=AnthropicProvider(anthropic_client=client))


def gemini_model(access: Access, outgoing: Outgoing, timeout_seconds: float, request: ChatRequest) -> Any:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(
        api_key=_PLACEHOLDER, base_url=access.base_url, http_client=_client(outgoing, timeout_seconds)
    )
    return GoogleModel(model_name_for(request), provider=provider)


def vertex_model(access: Access, outgoing: Outgoing, timeout_seconds: float, request: ChatRequest) -> Any:
    from google.oauth2.credentials import Credentials
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google_cloud import GoogleCloudProvider

    options: dict[str, Any] = {"base_url": access.base_url, "http_client": _client(outgoing, timeout_seconds)}
    if access.uses_key_header:
        provider = GoogleCloudProvider(api_key=_PLACEHOLDER, **options)
    else:
        if access.place.project is None:
            raise PermanentFailure(
                "no Google Cloud project: set provider_metadata (kind GCP, project_id, location) of the AI "
                "integration, or GOOGLE_CLOUD_PROJECT where the engine runs"
            )
        provider = GoogleCloudProvider(
            # None: the library uses Google's application default credentials.
            credentials=None if access.uses_ambient_credentials else Credentials(_PLACEHOLDER),  # type: ignore[no-untyped-call,unused-ignore]
            project=access.place.project,
            location=access.region_for(request) or VERTEX_LOCATION_DEFAULT,
            **options,
        )
    return GoogleModel(model_name_for(request), provider=provider)


def bedrock_model(access: Access, outgoing: Outgoing, timeout_seconds: float, request: ChatRequest) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.awsrequest import AWSResponse
    from botocore.config import Config
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    region = access.region_for(request)
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise PermanentFailure(
            "no AWS region: set provider_parameters.region of the evaluator, or AWS_REGION where the engine runs"
        )
    retries = {"total_max_attempts": 1, "mode": "standard"}
    signing = {} if access.uses_ambient_credentials else {"signature_version": UNSIGNED}
    client = session.client(
        "bedrock-runtime",
        config=Config(retries=retries, read_timeout=timeout_seconds, **signing),
        endpoint_url=access.base_url,
    )

    def send(request: Any, **_: Any) -> Any:
        # botocore signs requests and parses answers; our connections send, on the event loop of the caller. So Bedrock
        # has the same connections, limits and failures as the other providers, and a cancelled call is aborted.
        headers = {name: _text(value) for name, value in request.headers.items()}
        content = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        received = from_thread.run(outgoing.post, request.url, content, headers)
        return AWSResponse(request.url, received.status, dict(received.headers), _Raw(received.body))

    client.meta.events.register("before-send.bedrock-runtime", send)
    return BedrockConverseModel(model_name_for(request), provider=BedrockProvider(bedrock_client=client))


class _Raw:
    """A body that is already read, with the interface that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
