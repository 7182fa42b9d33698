"""A reusable HTTP/1.1 connection on `httpcore2`, the library below `httpx2`.

An HTTP client does work that a call to a provider does not need: it looks for credentials, cookies, redirects and
proxies, and it chooses a connection. Without that work a call costs half (`bench/judge_throughput.py`). A client also
sends the head and the body of a request in two system calls; here they are sent in one, because most requests fit into
one packet.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import httpcore2
import httpx2

_KEEPALIVE_SECONDS = 5.0


class Http1Connection:
    """A direct connection, without a proxy, that is opened when it is needed. It does one call at a time."""

    def __init__(self, certificates: ssl.SSLContext, timeout: httpx2.Timeout) -> None:
        self._certificates = certificates
        self._extensions = {"timeout": timeout.as_dict()}
        self._connection: httpcore2.AsyncHTTPConnection | None = None

    async def post(self, url: httpx2.URL, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Send a POST and return the response, whose body is not read yet. The caller closes it.

        Raises:
            httpx2.TransportError: The request failed.
        """
        if url.scheme not in {"http", "https"} or not url.host:
            raise httpx2.UnsupportedProtocol("the URL must start with http:// or https:// and have a host")
        length = str(len(content))
        sent = httpx2.Headers({"host": url.netloc.decode("ascii"), **headers, "content-length": length}).raw
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        request = httpcore2.Request("POST", target, headers=sent, content=content, extensions=self._extensions)
        connection = await self._open(target.origin)
        try:
            response = await connection.handle_async_request(request)
        except _TRANSPORT_ERRORS as error:
            raise _as_httpx(error) from error
        return httpx2.Response(response.status, headers=response.headers, stream=_Body(response))

    async def _open(self, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        connection = self._connection
        if connection is not None:
            if connection.is_available() and connection.can_handle_request(origin) and not connection.has_expired():
                return connection
            await connection.aclose()
        self._connection = httpcore2.AsyncHTTPConnection(
            origin, self._certificates, keepalive_expiry=_KEEPALIVE_SECONDS, network_backend=_BACKEND
        )
        return self._connection

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.aclose()
            self._connection = None


class _Body(httpx2.AsyncByteStream):
    """A response body whose errors are httpx2's."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_stream():
                yield chunk
        except _TRANSPORT_ERRORS as error:
            raise _as_httpx(error) from error

    async def aclose(self) -> None:
        await self._response.aclose()


_TRANSPORT_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
)


def _as_httpx(error: Exception) -> httpx2.TransportError:
    """Convert an error of httpcore2 to the error of httpx2 with the same name."""
    converted = getattr(httpx2, type(error).__name__)(str(error))
    assert isinstance(converted, httpx2.TransportError)
    return converted


class BufferedWriteStream(httpcore2.AsyncNetworkStream):
    """A stream that buffers what is written and sends it, in one call, before the next read."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []
        self._write_seconds: float | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)
        self._write_seconds = timeout

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            content = b"".join(self._unsent)
            self._unsent.clear()
            # A server may answer before it has read the whole request, for example that the body is too long, and
            # then close the connection. That answer is still to be read.
            with contextlib.suppress(httpcore2.WriteError):
                await self._stream.write(content, self._write_seconds)
        return await self._stream.read(max_bytes, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return BufferedWriteStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore2.AsyncNetworkBackend):
    """A network backend whose streams buffer their writes."""

    def __init__(self) -> None:
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return BufferedWriteStream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


_BACKEND = _Backend()
