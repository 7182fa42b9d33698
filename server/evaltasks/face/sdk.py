"""Every use of private parts of the MCP SDK, each with a contract test.

`tests/face/test_sdk.py` fails with an explanation if a new SDK release changes one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Any, TypeVar

import anyio
from mcp.server import MCPServer
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import ListenHandler
from mcp.types import SubscriptionsListenRequestParams, SubscriptionsListenResult
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

ParamsT = TypeVar("ParamsT", bound=BaseModel)

RequestContext = ServerRequestContext[Any, Any]
Handler = Callable[[RequestContext, ParamsT], Awaitable[HandlerResult]]
# Open while a stream listens to these URIs.
Listening = Callable[[list[str]], AbstractAsyncContextManager[None]]


class OpenServer(MCPServer[Any]):
    """An `MCPServer` that exposes three internals of the SDK.

    It returns the input schema of one tool without listing all of them (the HTTP transport reads it before every call),
    registers handlers of protocol methods, and serves other streams than stdin and stdout.
    """

    def input_schema_of(self, name: str) -> dict[str, Any] | None:
        """Return the published input schema of a tool; None if the tool does not exist."""
        return super()._tool_input_schema(name)

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        return self.input_schema_of(name)

    def answer_with(self, method: str, params: type[ParamsT], handler: Handler[ParamsT]) -> None:
        """Answer a protocol method with `handler`, which replaces the SDK's handler if there is one."""
        self._lowlevel_server.add_request_handler(method, params, handler)

    def end_streams(self) -> None:
        """End streams that stay open until their client disconnects; called on shutdown."""

    async def serve_lines(self, source: anyio.AsyncFile[str], sink: anyio.AsyncFile[str]) -> None:
        """Serve one connection of newline-delimited messages until `source` ends, within the lifespan of the server."""
        low = self._lowlevel_server
        async with stdio_server(stdin=source, stdout=sink) as (read, write):
            await low.run(read, write, low.create_initialization_options())


class WatchedListenHandler(ListenHandler):
    """Serves `subscriptions/listen` like the SDK, and keeps `listening` open for the URIs of each stream.

    The SDK's bus does not show publishers which URIs have listeners, and only those are polled.
    """

    def watch_with(self, listening: Listening) -> WatchedListenHandler:
        """Set the context manager for the URIs of a stream, and return this handler."""
        self._listening = listening
        return self

    async def __call__(
        self, ctx: RequestContext, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        uris = [str(uri) for uri in params.notifications.resource_subscriptions or ()]
        async with self._listening(uris):
            return await super().__call__(ctx, params)


def is_modern(protocol_version: str | None) -> bool:
    """Whether the protocol is 2026-07-28 or later, with questions as results and changes on `subscriptions/listen`."""
    return protocol_version in MODERN_PROTOCOL_VERSIONS


def connection_key(session: ServerSession) -> int:
    """Return a key of the client's connection, which outlives the session objects of its requests."""
    return id(session._connection)


def connection_exit(session: ServerSession) -> AsyncExitStack:
    """Return the exit stack that is closed when the client's connection ends."""
    return session._connection.exit_stack


@contextmanager
def untouched_logging() -> Iterator[None]:
    """Prevent a server that is made in this block from configuring logging.

    `MCPServer()` configures the root logger (with Rich, if installed) unless it has a handler, so it gets one.
    """
    placeholder = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)
