"""Many calls at once over small clients.

A pool of connections is searched on every request, so what a request costs grows with the pool: with a hundred calls
in flight a single client spends more time on its pool than on the calls. So each address gets clients of a few
connections each, as many as its calls need at once, and a call takes the first that has room; the ones further back
then fall idle and let their connections go. How many calls there may be at once is not decided here.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

_CALLS_PER_CLIENT = 4
_URLS_MAX = 100
_AGENT = {"user-agent": "evaltasks"}
MakeClient = Callable[[httpx2.Limits], httpx2.AsyncClient]


@dataclass(slots=True, eq=False)
class _Small:
    client: httpx2.AsyncClient
    calls: int = 0


class Connections:
    """The connections to one provider; made without any, closed with `aclose`."""

    def __init__(self, make_client: MakeClient) -> None:
        self._make_client = make_client
        self._clients: list[_Small] = []
        self._urls: dict[str, httpx2.URL] = {}

    @asynccontextmanager
    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """The response with its body still to be read. Raises what the client raises."""
        small = next((small for small in self._clients if small.calls < _CALLS_PER_CLIENT), None)
        if small is None:
            # Never a call that waits for a connection of its own: the last client is always one with room.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_CALLS_PER_CLIENT)
            small = _Small(self._make_client(limits))
            self._clients.append(small)
        small.calls += 1
        try:
            # Not through the client's own `stream`, which takes the address apart and merges headers for every call.
            request = httpx2.Request("POST", self._url(url), content=content, headers={**_AGENT, **headers})
            response = await small.client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            small.calls -= 1

    def _url(self, url: str) -> httpx2.URL:
        known = self._urls.get(url)
        if known is None:
            if len(self._urls) >= _URLS_MAX:
                self._urls.clear()
            known = self._urls[url] = httpx2.URL(url)
        return known

    async def aclose(self) -> None:
        for small in self._clients:
            await small.client.aclose()


class Clients:
    """Makes the clients, which share one set of certificates."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None, timeout: httpx2.Timeout) -> None:
        self._transport = transport
        self._timeout = timeout
        self._certificates: ssl.SSLContext | None = None

    def make(self, limits: httpx2.Limits) -> httpx2.AsyncClient:
        if self._certificates is None and self._transport is None:
            # At the first use: certificates take longer to load than the rest of an engine that needs none.
            self._certificates = httpx2.create_ssl_context()
        return httpx2.AsyncClient(
            transport=self._transport,
            verify=self._certificates or True,
            limits=limits,
            timeout=self._timeout,
            follow_redirects=False,
        )
