"""Serving over streamable HTTP, for loopback first.

A page in a browser can make requests to any address of this machine and, by rebinding a name, read the answers:
so Host and Origin are checked always. Where other machines can reach the port, a bearer token is needed too.
"""

from __future__ import annotations

import hmac
import logging
import signal
import socket
from collections.abc import Iterator
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

from evaltasks.face.sdk import OpenServer
from evaltasks.tools.context import Refused

log = logging.getLogger(__name__)

PATH = "/mcp"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  named to be treated apart, not bound here
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


def security_for(host: str, port: int) -> TransportSecuritySettings:
    """The Host and Origin headers that may come in on this address.

    Bound to every address, the names this machine is called by cannot be known; the token, which that case demands,
    then stands in for the Host check, because a rebound page does not have it.
    """
    if host in EVERY_ADDRESS:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    names = LOOPBACK if host in LOOPBACK else (host,)
    hosts = [f"{_bracketed(name)}:{port}" for name in names]
    if port == 80:
        hosts += [_bracketed(name) for name in names]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{name}" for name in hosts],
    )


def make_http_app(
    server: OpenServer,
    host: str,
    port: int,
    *,
    token: str | None = None,
    event_store: EventStore | None = None,
    retry_interval: int | None = None,
) -> Starlette:
    """The ASGI app, for requests that come in on host and port. Raises Refused without a token beyond loopback."""
    if host not in LOOPBACK and not token:
        raise Refused(
            f"'{host}' can be reached from other machines, so a token is needed: set EVALTASKS_HTTP_TOKEN, "
            "or bind to 127.0.0.1."
        )
    # With sessions: a client of the older era cannot be asked or notified without one.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=security_for(host, port),
        event_store=event_store,
        retry_interval=retry_interval,
    )
    if token:
        app.user_middleware.insert(0, Middleware(BearerToken, token=token))
    return app


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again when it is done, and the exit code would be lost."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(server: OpenServer, host: str, port: int, *, token: str | None = None) -> int:
    """Serve until a signal comes; the exit code. Port 0 takes a free one. Raises Refused when it cannot be bound."""
    listener = _listen(host, port)
    with listener:
        bound = listener.getsockname()[1]
        app = make_http_app(server, host, bound, token=token)
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        runner = _Uvicorn(config)
        caught = 0
        log.warning("serving MCP on http://%s:%d%s", _bracketed(host), bound, PATH)
        async with anyio.create_task_group() as tasks:

            async def end_on_signal() -> None:
                nonlocal caught
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    async for number in signals:
                        caught = number
                        server.end_streams()
                        runner.should_exit = True

            tasks.start_soon(end_on_signal)
            await runner.serve(sockets=[listener])
            tasks.cancel_scope.cancel()
    return 128 + caught if caught else 0


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it answers wait 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Refused(f"{host}:{port} cannot be bound ({error.strerror}); choose another port or address.") from None
    listener.listen(512)
    return listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
