"""The same engine reached in three ways: in this process, over TCP with a key as AX would be, and through a service
that refuses whatever AX does not know (`strict_ax`)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import uvicorn

from evaltasks.client.client import Client
from evaltasks.client.transport import AsgiApp, open_app_client, open_remote_client
from evaltasks.engine.engine import Engine
from tests.support.engines import QUICK
from tests.support.strict_ax import StrictAx

KEY = "ak-contract-5b1f0c2e9d"
BACKENDS = ("in_process", "tcp", "strict")


@asynccontextmanager
async def served(app: AsgiApp) -> AsyncIterator[str]:
    """Serve the app on a free loopback port and yield its URL."""
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it every answer takes 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        # The socket listens before the server runs, so that early connections wait in the backlog and are not refused.
        listener.listen(64)
        settings = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)
        server = uvicorn.Server(settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


@asynccontextmanager
async def client_of(backend: str, *, default_space: str | None = "default", **options: Any) -> AsyncIterator[Client]:
    """Yield a client of an empty engine; `options` are passed to `Engine.open`."""
    options = {"limits": QUICK, "environment": {}, **options}
    async with Engine.open(":memory:", **options) as engine:
        if backend == "in_process":
            async with open_app_client(engine.app, default_space=default_space) as client:
                yield client
            return
        if backend == "strict":
            strict = StrictAx(engine.app, KEY)
            network = httpx2.ASGITransport(strict)  # type: ignore[arg-type]
            async with open_remote_client(
                "https://strict.test", KEY, is_engine=True, default_space=default_space, transport=network
            ) as client:
                yield client
            # An empty update is refused on both sides, and a test may send one.
            if reported := [issue for issue in strict.refused if not issue.endswith("changes nothing")]:
                raise AssertionError("AX would refuse this: " + "; ".join(reported))
            return
        async with (
            served(engine.app) as address,
            open_remote_client(address, KEY, default_space=default_space) as client,
        ):
            yield client
