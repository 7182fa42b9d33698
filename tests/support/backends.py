"""The same engine reached in both ways: in this process, and over TCP with a key, as AX would be."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn

from evaltasks.client.client import Client
from evaltasks.client.transport import AsgiApp, open_app_client, open_remote_client
from evaltasks.engine.engine import Engine
from tests.support.engines import QUICK

KEY = "ak-contract-5b1f0c2e9d"
BACKENDS = ("in_process", "tcp")


@asynccontextmanager
async def served(app: AsgiApp) -> AsyncIterator[str]:
    """The app on a free loopback port; yields its address."""
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it every answer takes 40 ms.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    # Listening from now on: who connects before the server is up waits in the queue, nobody is refused.
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
    """A client of an empty engine; `options` go to `Engine.open`."""
    options = {"limits": QUICK, "environment": {}, **options}
    async with Engine.open(":memory:", **options) as engine:
        if backend == "in_process":
            async with open_app_client(engine.app, default_space=default_space) as client:
                yield client
            return
        async with (
            served(engine.app) as address,
            open_remote_client(address, KEY, default_space=default_space) as client,
        ):
            yield client
