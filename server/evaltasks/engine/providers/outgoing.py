"""What leaves for a provider that is spoken to through its own library, and what comes back.

The libraries make the request and read the answer; between the two stands this, so that every provider shares our
connections, our bounds and our failures. Keys never enter the libraries: they are put onto the request here, as it
leaves, in place of whatever the library thought fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from evaltasks.engine.providers.connection_pool import ConnectionPool, body_of
from evaltasks.engine.providers.provider import CallRejected, RetryLater

CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
# Of the connection, not of the message: the client that sends makes its own.
_HOP_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
# The body comes back decoded, so these would be untrue.
_BODY_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Received:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Outgoing(httpx2.AsyncBaseTransport):
    """Sends what a library made. `headers` (the key among them) go onto every request.

    `keeps_credentials` leaves the library's own credentials in place: a signature, or a token it fetched.
    """

    def __init__(
        self, connections: ConnectionPool, headers: Mapping[str, str], *, keeps_credentials: bool = False
    ) -> None:
        self._connections = connections
        self._headers = headers
        self._dropped = _HOP_HEADERS if keeps_credentials else _HOP_HEADERS | CREDENTIAL_HEADERS

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Received:
        """The whole answer. Raises CallRejected when it is too long or a web page, RetryLater when a success is no
        JSON, and what the connection raises."""
        sent = {name: value for name, value in headers.items() if name.lower() not in self._dropped}
        async with self._connections.post(url, content, {**sent, **self._headers}) as response:
            body = await body_of(response, "provider")
            kept = {name: value for name, value in response.headers.items() if name.lower() not in _BODY_HEADERS}
        if response.is_success:
            _check_json(response.headers.get("content-type", ""), body)
        elif 300 <= response.status_code < 400:
            # Redirects are not followed, and the libraries know no error of that kind.
            kept.pop("location", None)
        return Received(response.status_code, kept, body)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        received = await self.post(str(request.url), await request.aread(), request.headers)
        return httpx2.Response(received.status, headers=received.headers, content=received.body, request=request)


def _check_json(content_type: str, body: bytes) -> None:
    """The libraries make of a success what they can; what is not a JSON object is distinguished here."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return
    if "html" in content_type or body[:200].lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CallRejected("the provider answered with a web page; is base_url the address of its API?")
    raise RetryLater("the provider's answer is not JSON, or was cut off")
