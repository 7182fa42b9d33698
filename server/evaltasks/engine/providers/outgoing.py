"""The transport below the providers' own libraries.

A library makes the request and parses the answer; this transport sends it, so that all providers share our connections,
limits and failures. The libraries never have a key: the transport adds the credentials when a request is sent, and
removes those that a library added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from evaltasks.engine.providers.connection_pool import ConnectionPool, read_body
from evaltasks.engine.providers.provider import CallRejected, RetryLater
from evaltasks.engine.providers.provider_errors import is_web_page

# What the libraries use for the placeholder of a key.
_CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
# Headers of the connection, not of the message: the connection that sends sets its own.
_HOP_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
# The body is returned decoded, so these headers would be wrong.
_BODY_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outgoing(httpx2.AsyncBaseTransport):
    """Sends the requests that a library makes.

    Args:
        connections: The connections of the provider.
        headers: Added to every request; they contain the key.
        key_header: The provider's own header for a key, in lower case.
        keeps_credentials: Keep the library's own credentials: a signature, or a token that it fetched.
    """

    def __init__(
        self,
        connections: ConnectionPool,
        headers: Mapping[str, str],
        *,
        key_header: str,
        keeps_credentials: bool = False,
    ) -> None:
        self._connections = connections
        self._headers = headers
        self._dropped = _HOP_HEADERS if keeps_credentials else {*_HOP_HEADERS, *_CREDENTIAL_HEADERS, key_header}

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Received:
        """Send a POST and return the whole answer.

        Raises:
            CallRejected: The answer is too long, or a success is a web page.
            RetryLater: A success is not JSON.
            httpx2.HTTPError: The request failed.
        """
        sent = {name: value for name, value in headers.items() if name.lower() not in self._dropped}
        async with self._connections.post(url, content, {**sent, **self._headers}) as response:
            body = await read_body(response, "provider")
            kept = {name: value for name, value in response.headers.items() if name.lower() not in _BODY_HEADERS}
        if response.is_success:
            _check_json(response.headers.get("content-type", ""), body)
        elif 300 <= response.status_code < 400:
            # Redirects are not followed. Without the header, the libraries report the status as an error.
            kept.pop("location", None)
        return Received(response.status_code, kept, body)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        received = await self.post(str(request.url), await request.aread(), request.headers)
        return httpx2.Response(received.status, headers=received.headers, content=received.body, request=request)


def _check_json(content_type: str, body: bytes) -> None:
    """Refuse a success that is not a JSON object, because the libraries do not validate it."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return
    if is_web_page(content_type, body):
        raise CallRejected("the provider answered with a web page; is base_url the address of its API?")
    raise RetryLater("the provider's answer is not JSON, or is cut off")
