"""What is served on a port: MCP over streamable HTTP, and the embedded engine's REST API."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

import uvicorn

from evaltasks.app import open_server
from evaltasks.engine.engine import Engine
from evaltasks.engine.guard import LOOPBACK_NAMES, Guard
from evaltasks.engine.sandbox.limits import SandboxKind
from evaltasks.face.http import serve_http
from evaltasks.settings import Settings, SettingsError

GRACE_SECONDS = 2


async def serve_on_http(settings: Settings, environment: Mapping[str, str]) -> int:
    """Serve MCP on the address of the settings until a signal comes; the exit code."""
    assert settings.http is not None
    async with open_server(settings, environment) as server:
        token = environment.get("EVALTASKS_HTTP_TOKEN") or None
        return await serve_http(server, *settings.http, token=token, allowed_hosts=settings.allow_host)


async def serve_engine(host: str, port: int, store: str, sandbox: SandboxKind) -> int:
    """Serve the embedded engine's REST API; the address is printed on stdout once it listens."""
    if host not in LOOPBACK_NAMES:
        raise SettingsError(
            f"engine: '{host}' can be reached from other machines and the engine asks for no key yet; "
            "bind to 127.0.0.1."
        )
    async with Engine.open(store, environment=os.environ, sandbox=sandbox) as engine:
        config = uvicorn.Config(
            Guard(engine.app), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        # The protocol is named because asyncio sets TCP_NODELAY only then; without it answers wait 40 ms.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, proto=socket.IPPROTO_TCP) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                raise SettingsError(f"engine: {host}:{port} cannot be bound ({error.strerror})") from None
            listener.listen(512)
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"http://{shown}:{listener.getsockname()[1]}\n")
            sys.stdout.flush()
            await uvicorn.Server(config).serve(sockets=[listener])
    return 0
