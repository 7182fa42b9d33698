"""The MCP SDK's seams that have no public face: every private touch is here, each with a contract test.

`tests/face/test_sdk.py` fails with a sentence when a new SDK release moves one of them.
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
# Held open for as long as a stream listens to these URIs.
Listening = Callable[[list[str]], AbstractAsyncContextManager[None]]


class OpenServer(MCPServer[Any]):
    """An `MCPServer` with three of its internal hooks opened.

    It gives the input schema of one tool without listing all of them (the HTTP transport asks before every call),
    lets a method be answered by a handler of ours, and serves streams that are not the process's own.
    """

    def input_schema_of(self, name: str) -> dict[str, Any] | None:
        """The published input schema of a tool, or None for a tool that does not exist."""
        return super()._tool_input_schema(name)

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        return self.input_schema_of(name)

    def answer_with(self, method: str, params: type[ParamsT], handler: Handler[ParamsT]) -> None:
        """Answer a protocol method with `handler`, in place of the SDK's own if there is one."""
        self._lowlevel_server.add_request_handler(method, params, handler)

    def end_streams(self) -> None:
        """End streams that would otherwise stay open until their client leaves. Called when serving is to end."""

    async def serve_lines(self, source: anyio.AsyncFile[str], sink: anyio.AsyncFile[str]) -> None:
        """Serve one connection of newline-separated messages until `source` ends, inside the server's lifespan."""
        low = self._lowlevel_server
        async with stdio_server(stdin=source, stdout=sink) as (read, write):
            await low.run(read, write, low.create_initialization_options())


class WatchedListenHandler(ListenHandler):
    """Serves `subscriptions/listen` as the SDK does, and holds `listening` open over each stream's URIs.

    The SDK's bus tells publishers nothing about who listens to what, and we poll only what somebody watches.
    """

    def watch_with(self, listening: Listening) -> WatchedListenHandler:
        self._listening = listening
        return self

    async def __call__(
        self, ctx: RequestContext, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        uris = [str(uri) for uri in params.notifications.resource_subscriptions or ()]
        async with self._listening(uris):
            return await super().__call__(ctx, params)


def is_modern(protocol_version: str | None) -> bool:
    """True from 2026-07-28 on: questions travel as results, changes on `subscriptions/listen`."""
    return protocol_version in MODERN_PROTOCOL_VERSIONS


def connection_key(session: ServerSession) -> int:
    """Tells connections apart: a session object is made again for each request, its connection is not."""
    return id(session._connection)


def connection_exit(session: ServerSession) -> AsyncExitStack:
    """What is pushed here is called when the client's connection ends."""
    return session._connection.exit_stack


@contextmanager
def untouched_logging() -> Iterator[None]:
    """Make a server inside this block and the process's logging stays as it is.

    `MCPServer()` configures the root logger (with Rich, when installed) unless the root has a handler: one stands in.
    """
    stand_in = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(stand_in)
    try:
        yield
    finally:
        root.removeHandler(stand_in)
