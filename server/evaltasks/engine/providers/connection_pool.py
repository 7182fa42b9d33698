"""A pool of HTTP connections for many concurrent calls to one provider.

The pool of an HTTP client looks through all of its connections for every request, so the cost of a request grows with
their number: with a hundred calls in flight, a client spends more time on its pool than on the calls. This pool gives
each call the idle connection that was returned last, which is the most likely to be still open. It does not limit the
number of calls.

A connection is one HTTP/1.1 connection (`http1.py`), which costs half of what a client costs per call. Behind a proxy,
or when a transport replaces the network, it is a client with one connection, which supports both.
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
_ONE_CONNECTION = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
_USER_AGENT = {"user-agent": "evaltasks"}


class Connection(Protocol):
    """A connection that does one call at a time."""

    async def post(self, url: httpx2.URL, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Send a POST and return the response, whose body is not read yet. The caller closes it.

        Raises:
            httpx2.HTTPError: The request failed; an error of httpx2 as its own client raises it.
        """

    async def aclose(self) -> None: ...


MakeConnection = Callable[[], Awaitable[Connection]]


class ConnectionPool:
    """The connections to one provider. They are opened when they are needed and closed with `aclose`."""

    def __init__(self, make_connection: MakeConnection) -> None:
        self._make_connection = make_connection
        self._all: list[Connection] = []
        self._idle: list[Connection] = []
        self._urls: dict[str, httpx2.URL] = {}

    @asynccontextmanager
    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """Send a POST on an idle connection and yield the response, whose body is not read yet.

        Raises:
            httpx2.HTTPError: The request failed.
            httpx2.InvalidURL: `url` is not a URL.
        """
        connection = self._idle.pop() if self._idle else await self._new_connection()
        try:
            response = await connection.post(self._parse_url(url), content, {**_USER_AGENT, **headers})
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._idle.append(connection)

    async def _new_connection(self) -> Connection:
        connection = await self._make_connection()
        self._all.append(connection)
        return connection

    def _parse_url(self, url: str) -> httpx2.URL:
        parsed = self._urls.get(url)
        if parsed is None:
            if len(self._urls) >= _URLS_MAX:
                self._urls.clear()
            parsed = self._urls[url] = httpx2.URL(url)
        return parsed

    async def aclose(self) -> None:
        for connection in self._all:
            await connection.aclose()


class ConnectionFactory:
    """Makes connections that share one set of certificates.

    Args:
        transport: Replaces the network; None for real connections.
        timeout: The timeouts of every connection.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport | None, timeout: httpx2.Timeout) -> None:
        self._transport = transport
        self._timeout = timeout
        self._certificates: ssl.SSLContext | None = None
        self._loading = anyio.Lock()

    async def make(self) -> Connection:
        """Make a connection: through the transport, through the environment's proxy, or direct."""
        if self._transport is not None:
            return _ClientConnection(httpx2.AsyncClient(transport=self._transport, timeout=self._timeout))
        async with self._loading:
            # At the first use, and in a thread: loading them takes longer than opening the rest of an engine.
            if self._certificates is None:
                self._certificates = await to_thread.run_sync(httpx2.create_ssl_context)
        if getproxies():
            return _ClientConnection(
                httpx2.AsyncClient(verify=self._certificates, limits=_ONE_CONNECTION, timeout=self._timeout)
            )
        # Imported here because it loads httpcore2, and most servers never call a provider.
        from evaltasks.engine.providers.http1 import Http1Connection  # noqa: PLC0415  see above

        return Http1Connection(self._certificates, self._timeout)


class _ClientConnection:
    """A client with one connection, for transports and proxies."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, url: httpx2.URL, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        # Not the client's own `stream`, which parses the URL and merges headers for every call.
        request = httpx2.Request("POST", url, content=content, headers=headers)
        return await self._client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()


async def read_body(response: httpx2.Response, sender: str) -> bytes:
    """Read the whole body of a response.

    Args:
        response: The response, whose body is not read yet.
        sender: What answered, for the message: "provider" or "agent".

    Raises:
        CallRejected: The body is longer than BODY_BYTES_MAX.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise CallRejected(f"the {sender}'s answer is longer than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    # Most answers are short: one chunk, which needs no copy.
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
