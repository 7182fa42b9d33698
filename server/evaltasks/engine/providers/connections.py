"""Many calls at once, each on a client of its own.

A client's pool looks through all its connections for every request, so what a request costs grows with their number:
with a hundred calls in flight a single client spends more time on its pool than on the calls. Here each client has one
connection, and the clients nobody is using stand on a pile: a call takes the uppermost, whose connection is the most
likely to be open still, and puts it back. How many calls there may be at once is not decided here.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import httpx2
from anyio import to_thread

_URLS_MAX = 100
_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
_AGENT = {"user-agent": "evaltasks"}
MakeClient = Callable[[httpx2.Limits], Awaitable[httpx2.AsyncClient]]


class Connections:
    """The connections to one provider; made without any, closed with `aclose`."""

    def __init__(self, make_client: MakeClient) -> None:
        self._make_client = make_client
        self._clients: list[httpx2.AsyncClient] = []
        self._free: list[httpx2.AsyncClient] = []
        self._urls: dict[str, httpx2.URL] = {}

    @asynccontextmanager
    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """The response with its body still to be read. Raises what the client raises."""
        client = self._free.pop() if self._free else await self._new_client()
        try:
            # Not through the client's own `stream`, which takes the address apart and merges headers for every call.
            request = httpx2.Request("POST", self._url(url), content=content, headers={**_AGENT, **headers})
            response = await client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._free.append(client)

    async def _new_client(self) -> httpx2.AsyncClient:
        client = await self._make_client(_ONE)
        self._clients.append(client)
        return client

    def _url(self, url: str) -> httpx2.URL:
        known = self._urls.get(url)
        if known is None:
            if len(self._urls) >= _URLS_MAX:
                self._urls.clear()
            known = self._urls[url] = httpx2.URL(url)
        return known

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


class Clients:
    """Makes the clients, which share one set of certificates."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None, timeout: httpx2.Timeout) -> None:
        self._transport = transport
        self._timeout = timeout
        self._certificates: ssl.SSLContext | None = None
        self._loading = anyio.Lock()

    async def make(self, limits: httpx2.Limits) -> httpx2.AsyncClient:
        if self._certificates is None and self._transport is None:
            async with self._loading:
                # At the first use, and in a thread: they take longer to load than all the rest of an engine.
                if self._certificates is None:
                    self._certificates = await to_thread.run_sync(httpx2.create_ssl_context)
        return httpx2.AsyncClient(
            transport=self._transport,
            verify=self._certificates or True,
            limits=limits,
            timeout=self._timeout,
            follow_redirects=False,
        )
