"""The private parts of the MCP SDK that are used; each failure names what a new release changed."""

from __future__ import annotations

import inspect
import logging
from contextlib import AsyncExitStack

import pytest
from mcp.server import MCPServer
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.types import EmptyResult, RequestParams

from evaltasks.face.sdk import OpenServer, untouched_logging


def _server() -> OpenServer:
    with untouched_logging():
        return OpenServer("seams")


def test_the_sdk_exposes_its_low_level_server() -> None:
    server = _server()

    async def handler(_: object, __: RequestParams) -> EmptyResult:
        return EmptyResult()

    server.answer_with("evaltasks/probe", RequestParams, handler)

    assert isinstance(server._lowlevel_server, Server)
    entry = server._lowlevel_server.get_request_handler("evaltasks/probe")
    assert entry is not None
    assert entry.handler is handler


@pytest.mark.parametrize(
    "method", ["resources/list", "completion/complete", "subscriptions/listen", "tools/list", "tools/call"]
)
def test_the_sdk_allows_replacing_a_method_handler(method: str) -> None:
    server = _server()
    params = RequestParams

    async def handler(_: object, __: RequestParams) -> EmptyResult:
        return EmptyResult()

    server.answer_with(method, params, handler)

    entry = server._lowlevel_server.get_request_handler(method)
    assert entry is not None
    assert entry.handler is handler


def test_the_sdk_transport_reads_input_schemas_through_the_overridden_method() -> None:
    class Schemas(OpenServer):
        def input_schema_of(self, name: str) -> dict[str, object] | None:
            return {"type": "object", "title": name}

    assert hasattr(MCPServer, "_tool_input_schema")
    server = Schemas("seams")
    published = server._lowlevel_server.get_tool_input_schema
    assert published is not None
    assert published("any") == {"type": "object", "title": "any"}


def test_the_sdk_calls_tools_through_call_tool() -> None:
    assert "self.call_tool(" in inspect.getsource(MCPServer._handle_call_tool)
    assert "self.read_resource(" in inspect.getsource(MCPServer._handle_read_resource)


def test_an_sdk_session_has_its_connection_with_an_exit_stack() -> None:
    parameters = list(inspect.signature(ServerSession.__init__).parameters)
    assert "connection" in parameters
    assert "self._connection = connection" in inspect.getsource(ServerSession.__init__)
    assert Connection.__annotations__["exit_stack"] in (AsyncExitStack, "AsyncExitStack")


def test_the_sdk_stdio_transport_accepts_other_streams() -> None:
    assert list(inspect.signature(stdio_server).parameters) == ["stdin", "stdout"]


def test_an_sdk_listen_handler_gets_context_and_parameters_and_can_be_closed() -> None:
    assert list(inspect.signature(ListenHandler.__call__).parameters) == ["self", "ctx", "params"]
    ListenHandler(InMemorySubscriptionBus()).close()


def test_making_a_server_does_not_configure_logging() -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    try:
        _server()
        assert root.handlers == []
        assert root.level == level
    finally:
        for handler in before:
            root.addHandler(handler)
