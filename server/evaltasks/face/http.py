"""Serving of MCP over streamable HTTP, by default on loopback.

Host and Origin are always checked (`edge.host_origin`), even if the server is bound to every address. If other machines
can reach the port, a bearer token is required too.
"""

from __future__ import annotations

import hmac
import logging
import signal
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from mcp.server.streamable_http import EventStore
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.edge.host_origin import AllowedHosts, HostOriginError, HostOriginMiddleware
from evaltasks.edge.loopback import LOOPBACK_NAMES
from evaltasks.face.sdk import OpenServer
from evaltasks.tools.context import Refused

log = logging.getLogger(__name__)

PATH = "/mcp"
# On shutdown, calls and streams in progress have this long before they are closed.
GRACE_SECONDS = 2


class BearerToken:
    """ASGI middleware that answers 401 to requests without the token, which is compared in constant time."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            credentials = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(credentials, self._expected):
                answer = PlainTextResponse(
                    "The bearer token is missing or not valid. Send Authorization: Bearer <EVALTASKS_HTTP_TOKEN>",
                    status_code=401,
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refuse(error: HostOriginError) -> PlainTextResponse:
    """Answer 421 (Misdirected Request) to a foreign Host and 403 to a foreign Origin."""
    return PlainTextResponse(error.message, status_code=421 if error.header == "Host" else 403)


def make_http_app(
    server: OpenServer,
    host: str,
    port: int,
    *,
    token: str | None = None,
    allowed_hosts: Collection[str] = (),
    event_store: EventStore | None = None,
    retry_interval: int | None = None,
) -> Starlette:
    """Make the ASGI app of a server that is bound to a host and port.

    Args:
        server: The MCP server.
        host: The address that it is bound to.
        port: The port that it is bound to.
        token: The bearer token that requests must have.
        allowed_hosts: More Host names that are allowed.
        event_store: Stores events, so that clients can resume streams.
        retry_interval: The milliseconds after which a client resumes a stream.

    Raises:
        Refused: If a token is missing although the host is not loopback or more names are allowed.
    """
    if host not in LOOPBACK_NAMES and not token:
        raise Refused(
            f"'{host}' can be reached from other machines, so a token is required: set EVALTASKS_HTTP_TOKEN, "
            "or bind to 127.0.0.1."
        )
    if allowed_hosts and not token:
        raise Refused(
            "With --allow-host, other machines can send requests, so a token is required: set EVALTASKS_HTTP_TOKEN."
        )
    # With sessions, because clients of the older era need one for questions and notifications.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        # The SDK's check supports only lists of names; HostOriginMiddleware replaces it.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        event_store=event_store,
        retry_interval=retry_interval,
    )
    if token:
        app.user_middleware.insert(0, Middleware(BearerToken, token=token))
    hosts = AllowedHosts.bound_to(host, allowed_hosts, port=port)
    app.user_middleware.insert(0, Middleware(HostOriginMiddleware, hosts=hosts, refuse=_refuse))
    return app


class GracefulServer(uvicorn.Server):
    """A uvicorn server that returns on SIGTERM or SIGINT, so that open resources are closed in order.

    uvicorn itself raises the signal again after its shutdown, which ends the process before they are closed.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve_until_signal(self, listener: socket.socket, on_signal: Callable[[], None] | None = None) -> int:
        """Serve until a signal arrives.

        Args:
            listener: The listening socket.
            on_signal: Is called when the signal arrives, before the shutdown.

        Returns:
            The exit code: 128 plus the number of the signal, or 0 if the server ended otherwise.
        """
        caught = 0
        async with anyio.create_task_group() as tasks:

            async def shutdown_on_signal() -> None:
                nonlocal caught
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    async for number in signals:
                        caught = number
                        if on_signal is not None:
                            on_signal()
                        self.should_exit = True

            tasks.start_soon(shutdown_on_signal)
            await self.serve(sockets=[listener])
            tasks.cancel_scope.cancel()
        return 128 + caught if caught else 0


async def serve_http(
    server: OpenServer, host: str, port: int, *, token: str | None = None, allowed_hosts: Collection[str] = ()
) -> int:
    """Serve until a signal arrives; port 0 chooses a free one.

    Returns:
        The exit code.

    Raises:
        Refused: If the address cannot be bound, or a token is missing.
    """
    try:
        listener = listen_on(host, port)
    except OSError as error:
        raise Refused(f"Cannot bind to {host}:{port} ({error.strerror}); choose another port or address.") from None
    with listener:
        bound = listener.getsockname()[1]
        app = make_http_app(server, host, bound, token=token, allowed_hosts=allowed_hosts)
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        log.warning("serving MCP on http://%s:%d%s", bracketed(host), bound, PATH)
        return await GracefulServer(config).serve_until_signal(listener, server.end_streams)


def listen_on(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: If the address cannot be bound.
    """
    # The protocol is explicit because asyncio sets TCP_NODELAY only then; without it, responses take 40 ms longer.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


def bracketed(host: str) -> str:
    """Return a host as in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
