"""Many calls at once, each on a connection of its own.

A pool looks through all its connections for every request, so what a request costs grows with their number: with a
hundred calls in flight a client spends more time on its pool than on the calls. Here whoever calls takes a line that
no one is using, the one put back last, whose connection is the most likely to be open still, and puts it back. How
many calls there may be at once is not decided here.

A line is one HTTP/1.1 connection (`connection`), which costs half of what a client costs for each call. Where a proxy
stands between, or a transport replaces the network, it is a client with one connection, which knows about those.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.request import getproxies

import anyio
import httpx2
from anyio import to_thread

from evaltasks.engine.providers.provider import CallRejected

BODY_BYTES_MAX = 8 * 1024 * 1024
_URLS_MAX = 100
_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
_AGENT = {"user-agent": "evaltasks"}


class Connection(Protocol):
    """One call at a time."""

    async def post(self, url: httpx2.URL, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """The response with its body still to be read; to be closed by who asked. Raises what httpx2 raises."""

    async def aclose(self) -> None: ...


MakeConnection = Callable[[], Awaitable[Connection]]


class ConnectionPool:
    """The connections to one provider; made without any, closed with `aclose`."""

    def __init__(self, make_line: MakeConnection) -> None:
        self._make_connection = make_line
        self._all: list[Connection] = []
        self._free: list[Connection] = []
        self._urls: dict[str, httpx2.URL] = {}

    @asynccontextmanager
    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """The response with its body still to be read. Raises what httpx2 raises."""
        connection = self._free.pop() if self._free else await self._new_connection()
        try:
            response = await connection.post(self._url(url), content, {**_AGENT, **headers})
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._free.append(connection)

    async def _new_connection(self) -> Connection:
        connection = await self._make_connection()
        self._all.append(connection)
        return connection

    def _url(self, url: str) -> httpx2.URL:
        known = self._urls.get(url)
        if known is None:
            if len(self._urls) >= _URLS_MAX:
                self._urls.clear()
            known = self._urls[url] = httpx2.URL(url)
        return known

    async def aclose(self) -> None:
        for connection in self._all:
            await connection.aclose()


class ConnectionFactory:
    """Makes the lines, which share one set of certificates."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None, timeout: httpx2.Timeout) -> None:
        self._transport = transport
        self._timeout = timeout
        self._certificates: ssl.SSLContext | None = None
        self._loading = anyio.Lock()

    async def make(self) -> Connection:
        if self._transport is not None:
            return _ClientConnection(httpx2.AsyncClient(transport=self._transport, timeout=self._timeout))
        async with self._loading:
            # At the first use, and in a thread: they take longer to load than all the rest of an engine.
            if self._certificates is None:
                self._certificates = await to_thread.run_sync(httpx2.create_ssl_context)
        if getproxies():
            return _ClientConnection(httpx2.AsyncClient(verify=self._certificates, limits=_ONE, timeout=self._timeout))
        # The library below it is loaded no earlier, either: most servers never judge.
        from evaltasks.engine.providers.http1 import Http1Connection  # noqa: PLC0415  see above

        return Http1Connection(self._certificates, self._timeout)


class _ClientConnection:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, url: httpx2.URL, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        # Not through the client's own `stream`, which takes the address apart and merges headers for every call.
        request = httpx2.Request("POST", url, content=content, headers=headers)
        return await self._client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()


async def body_of(response: httpx2.Response, who: str) -> bytes:
    """The whole body. Raises CallRejected, in which `who` answered, when it is longer than BODY_BYTES_MAX."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise CallRejected(f"the {who}'s answer is longer than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    # A short answer is one chunk, as most are.
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
