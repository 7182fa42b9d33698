"""Serving over streamable HTTP, for loopback first.

A page in a browser can make requests to any address of this machine and, by rebinding a name, read the answers:
so Host and Origin are checked always, also when bound to every address: a rebound name is a name we do not know.
Where other machines can reach the port, a bearer token is needed too.
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
# Calls and streams under way at the end are given this long and then closed.
GRACE_SECONDS = 2


class BearerToken:
    """Lets only requests with the token pass. The comparison takes the same time for every wrong token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(given, self._expected):
                answer = PlainTextResponse(
                    "A bearer token is needed: Authorization: Bearer <EVALTASKS_HTTP_TOKEN of the server>",
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
    """The ASGI app, for requests that come in on host and port, or under one of the names in `allowed_hosts`.

    Raises Refused without a token beyond loopback, and with a further name, which is there for others to use.
    """
    if host not in LOOPBACK_NAMES and not token:
        raise Refused(
            f"'{host}' can be reached from other machines, so a token is needed: set EVALTASKS_HTTP_TOKEN, "
            "or bind to 127.0.0.1."
        )
    if allowed_hosts and not token:
        raise Refused(
            "With --allow-host requests come in under names beyond this machine, so a token is needed: set "
            "EVALTASKS_HTTP_TOKEN."
        )
    # With sessions: a client of the older era cannot be asked or notified without one.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        # The SDK's own check knows lists of names only; HostOriginMiddleware covers it.
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
    """Serves until SIGTERM or SIGINT and then returns, so that what is open around it is closed in order.

    uvicorn itself raises the signal again when it is done, and the process would be gone before that.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve_until_signal(self, listener: socket.socket, on_signal: Callable[[], None] | None = None) -> int:
        """The exit code: 128 and the number of the signal; 0 when it ended otherwise."""
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
    """Serve until a signal comes; the exit code. Port 0 takes a free one. Raises Refused when it cannot be bound."""
    try:
        listener = listen_on(host, port)
    except OSError as error:
        raise Refused(f"{host}:{port} cannot be bound ({error.strerror}); choose another port or address.") from None
    with listener:
        bound = listener.getsockname()[1]
        app = make_http_app(server, host, bound, token=token, allowed_hosts=allowed_hosts)
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        log.warning("serving MCP on http://%s:%d%s", bracketed(host), bound, PATH)
        return await GracefulServer(config).serve_until_signal(listener, server.end_streams)


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError when it cannot be bound."""
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it answers wait 40 ms.
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
    return f"[{host}]" if ":" in host else host
