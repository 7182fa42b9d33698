"""Calls of an agent behind an HTTP endpoint: one POST of a JSON object, one reply, three kinds of failure.

| the agent's answer                                                    | raised                                  |
| --------------------------------------------------------------------- | --------------------------------------- |
| 401, 403; a variable that is not set; no such host; a bad certificate | PermanentFailure: every example fails   |
| 405, a redirect to another host                                       | PermanentFailure: the endpoint is wrong |
| 408, 425, 429, 502, 503, 504; no connection                           | RetryLater, after the time it asks for  |
| any other 4xx or 5xx; no answer in time; a web page; too long         | CallRejected: this example fails        |

A 500 fails this example and is not retried: an agent that crashes on an input does so again. A call of an agent is
expensive and may have side effects, which is also why a call that timed out is not repeated.

The address comes from an integration that a person wrote; text of examples goes into the body only. Redirects are
followed within the endpoint's own origin only, so no answer of an agent can send a call anywhere else.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2

from evaltasks.api.integrations import Integration
from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.connection_pool import BODY_BYTES_MAX, ConnectionPool, read_body
from evaltasks.engine.providers.environment_secrets import read_secret
from evaltasks.engine.providers.provider import CallRejected, Now, PermanentFailure, RetryLater
from evaltasks.engine.providers.provider_errors import capped_retry_after, error_chain, is_web_page

_REDIRECTS_MAX = 3
_DETAIL_CHARS_MAX = 500
_RETRIED = frozenset({408, 425, 429, 502, 503, 504})
_HEADERS = {"content-type": "application/json", "accept": "application/json, text/plain;q=0.9"}


@dataclass(frozen=True, slots=True)
class AgentReply:
    """The reply of an agent.

    Attributes:
        document: The parsed JSON; the text of a reply that is not JSON.
        latency_ms: The time of the call.
    """

    document: Any
    latency_ms: float


class HttpAgent:
    """An agent behind an HTTP endpoint. None of its errors contains the value of a header."""

    def __init__(
        self,
        connections: ConnectionPool,
        endpoint: str,
        headers: Mapping[str, str],
        *,
        now: Now,
        timeout_seconds: float,
    ) -> None:
        self._connections = connections
        self._endpoint = endpoint
        self._headers = {**_HEADERS, **headers}
        self._now = now
        self._timeout_seconds = timeout_seconds

    async def call(self, body: JsonObject) -> AgentReply:
        """Call the agent once.

        Raises:
            RetryLater: The same call may succeed later.
            CallRejected: This call fails; calls of other examples may succeed.
            PermanentFailure: Every call fails.
        """
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        if len(content) > BODY_BYTES_MAX:
            raise CallRejected(f"the request for the agent is longer than {BODY_BYTES_MAX} bytes")
        started = time.perf_counter()
        with anyio.move_on_after(self._timeout_seconds):
            try:
                document = await self._post(content)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise self._error_for_connection(error) from None
            return AgentReply(document, round((time.perf_counter() - started) * 1000, 1))
        raise self._too_slow()

    async def _post(self, content: bytes) -> Any:
        url = self._endpoint
        for _ in range(_REDIRECTS_MAX + 1):
            async with self._connections.post(url, content, self._headers) as response:
                if response.status_code in {307, 308}:
                    url = _within_origin(self._endpoint, url, response.headers.get("location"))
                    continue
                return self._read(response, await read_body(response, "agent"))
        raise PermanentFailure("the agent's endpoint redirects in a loop; set endpoint to its final address")

    def _read(self, response: httpx2.Response, body: bytes) -> Any:
        status = response.status_code
        if response.is_success:
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                return _text(response, body)
        if status in {401, 403}:
            raise PermanentFailure(
                f"the agent answered {status}: the credentials are wrong; check the variables that the agent "
                "integration names"
            )
        if status == 405 or 300 <= status < 400:
            raise PermanentFailure(
                f"the agent's endpoint answered {status}; set endpoint to the address that accepts a POST"
            )
        if status in _RETRIED:
            word = "asks to wait" if status == 429 else "is overloaded or down"
            raise RetryLater(f"the agent {word} ({status})", capped_retry_after(response.headers, self._now()))
        detail = body[: 4 * _DETAIL_CHARS_MAX].decode("utf-8", "replace").strip()[:_DETAIL_CHARS_MAX]
        raise CallRejected(f"the agent answered {status}", detail or None)

    def _error_for_connection(self, error: Exception) -> PermanentFailure | CallRejected | RetryLater:  # noqa: PLR0911  a table
        """Classify a transport error. Its text may contain a URL with a secret, so it is not repeated."""
        if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol)):
            return PermanentFailure("the agent's endpoint is not a valid URL")
        for cause in error_chain(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return PermanentFailure("the certificate of the agent's endpoint could not be verified")
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
                return PermanentFailure("the host of the agent's endpoint does not exist")
        if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            return RetryLater("the agent could not be reached")
        if isinstance(error, httpx2.TimeoutException):
            return self._too_slow()
        if isinstance(error, httpx2.DecodingError):
            return CallRejected("the agent's answer could not be decoded")
        return RetryLater("the connection to the agent was lost")

    def _too_slow(self) -> CallRejected:
        return CallRejected(f"the agent did not answer within {self._timeout_seconds:g} s")


def agent_headers(integration: Integration, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an agent integration, with secrets read from the environment.

    Raises:
        PermanentFailure: A variable is not set, or its value cannot be sent in a header.
    """
    config = integration.config
    headers = {name.lower(): value for name, value in (config.headers or {}).items()}
    variables = {name.lower(): variable for name, variable in (config.headers_env or {}).items()}
    if config.api_key_env:
        variables["authorization"] = config.api_key_env
    for name, variable in variables.items():
        value = read_secret(environment, variable, f"the agent integration '{integration.name}'")
        headers[name] = f"Bearer {value}" if name == "authorization" and config.api_key_env else value
    return headers


def _within_origin(endpoint: str, url: str, location: str | None) -> str:
    """Return the target of a redirect.

    Raises:
        PermanentFailure: The target has another scheme, host or port than the endpoint.
    """
    own = httpx2.URL(endpoint)
    target = httpx2.URL(url).join(location or "")
    if (target.scheme, target.host, target.port) != (own.scheme, own.host, own.port):
        raise PermanentFailure("the agent's endpoint redirects to another host; set endpoint to the final address")
    return str(target)


def _text(response: httpx2.Response, body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    content_type = response.headers.get("content-type", "")
    if is_web_page(content_type, body):
        raise CallRejected("the agent answered with a web page; is endpoint the address of its API?")
    if "json" in content_type:
        raise CallRejected("the agent's answer is not JSON, or is cut off", text[:_DETAIL_CHARS_MAX] or None)
    return text
