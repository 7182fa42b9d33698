"""MCP clients for tests: connected to the real server, in memory or as a started command.

async with agent(mode, call_wait_seconds_max=1) as it:
    answer = await it.answer("list_tasks", {"limit": 5})     # structured content; fails the test on an error
    words = await it.refusal("get_task", {"task": "nope"})   # the error text; fails the test on a success

`mode` is "legacy" (the initialize handshake, 2025-11-25) or "auto" (2026-07-28).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client as McpClient
from mcp.client.extension import ClientExtension
from mcp.client.stdio import StdioServerParameters
from mcp.client.subscriptions import ResourceUpdated
from mcp.types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitResult,
    ResourceUpdatedNotification,
    TextContent,
    TextResourceContents,
)

from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client
from evaltasks.edge.clock import Clock, SystemClock
from evaltasks.engine.engine import Engine
from evaltasks.face.server import EvaltasksServer, ToolApp, make_server
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolSettings
from evaltasks.tools.spec import ToolSpec
from tests.support.engines import QUICK, EngineInTest
from tests.support.starts import quick_command

MODES = ("legacy", "auto")

# The user's response: "accept", "decline", "cancel", or an answer computed from the question.
Person = str | Callable[[str], ElicitResult]


@dataclass
class Agent:
    """A connected MCP client that records progress, questions and updates."""

    mcp: McpClient
    # None for a server in another process.
    client: Client | None = None
    server: EvaltasksServer | None = None
    seeds: EngineInTest | None = None
    # Every progress notification as (value, total, message), in order.
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)
    # Every question to the user.
    questions: list[str] = field(default_factory=list)
    # URIs of updated resources that the older protocol era was notified of.
    updates: list[str] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def seed(self) -> EngineInTest:
        """The engine behind the server, for seeding through its REST API."""
        assert self.seeds is not None, "this engine was not opened here"
        return self.seeds

    @property
    def backend(self) -> Client:
        """The client behind the tools, for seeding and for reads that bypass the tools."""
        assert self.client is not None, "this server runs in another process"
        return self.client

    async def call(self, tool: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        result = await self.mcp.call_tool(tool, arguments or {}, progress_callback=self._on_progress)
        assert isinstance(result, CallToolResult)
        return result

    async def answer(self, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a tool and return its structured content. Fails the test on an error."""
        result = await self.call(tool, arguments)
        assert not result.is_error, text_of(result)
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def refusal(self, tool: str, arguments: dict[str, Any] | None = None) -> str:
        """Call a tool that must fail, and return the error text."""
        result = await self.call(tool, arguments)
        assert result.is_error, f"expected an error, got {result.structured_content}"
        return text_of(result)

    async def read(self, uri: str) -> Any:
        """Read a resource and parse its JSON."""
        contents = (await self.mcp.read_resource(uri, cache_mode="bypass")).contents
        assert len(contents) == 1
        assert isinstance(contents[0], TextResourceContents)
        assert contents[0].mime_type == "application/json"
        return json.loads(contents[0].text)

    async def updated(self, uri: str, at_most_seconds: float = 10) -> None:
        """Wait until the client of the older protocol era was notified that this resource changed."""
        with anyio.fail_after(at_most_seconds):
            while uri not in self.updates:
                await self._news.wait()
                self._news = anyio.Event()
        self.updates.remove(uri)

    async def _on_progress(self, value: float, total: float | None, message: str | None) -> None:
        self.progress.append((value, total, message))

    def _on_update(self, uri: str) -> None:
        self.updates.append(uri)
        self._news.set()


NextUpdate = Callable[[], Awaitable[None]]


@asynccontextmanager
async def subscribed(it: Agent, mode: str, uri: str) -> AsyncIterator[NextUpdate]:
    """Subscribe to a resource as the protocol era does. Yields a function that waits for the next update."""
    if mode == "legacy":
        await it.mcp.subscribe_resource(uri)
        yield lambda: it.updated(uri)
        await it.mcp.unsubscribe_resource(uri)
        return
    async with it.mcp.listen(resource_subscriptions=[uri]) as stream:
        events = aiter(stream)

        async def next_update() -> None:
            with anyio.fail_after(10):
                assert await anext(events) == ResourceUpdated(uri=uri)

        yield next_update


def text_of(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def accept(_: str) -> ElicitResult:
    return ElicitResult(action="accept", content={"confirm": True})


_PEOPLE: dict[str, Callable[[str], ElicitResult]] = {
    "accept": accept,
    "decline": lambda _: ElicitResult(action="decline"),
    "cancel": lambda _: ElicitResult(action="cancel"),
}


@asynccontextmanager
async def agent(
    mode: str = "auto",
    *,
    store: str | Path = ":memory:",
    tools: Sequence[ToolSpec[Any, Any]] = TOOLS,
    person: Person | None = None,
    time: Clock | None = None,
    watch_seconds: float = 0.02,
    environment: dict[str, str] | None = None,
    engine_options: dict[str, Any] | None = None,
    extensions: Sequence[ClientExtension] = (),
    **settings: Any,
) -> AsyncIterator[Agent]:
    """Yield an in-memory client of the real server over an embedded engine.

    `settings` are fields of ToolSettings. `person` answers questions; without one the client cannot be asked.
    """
    options = {"environment": environment or {}, "limits": QUICK, **(engine_options or {})}
    async with (
        Engine.open(store, **options) as engine,
        open_app_client(engine.app, default_space=settings.get("default_space")) as client,
        agent_of(
            client,
            mode,
            settings=ToolSettings(**{"environment": environment or {}, **settings}),
            tools=tools,
            person=person,
            time=time,
            watch_seconds=watch_seconds,
            extensions=extensions,
        ) as it,
    ):
        transport = httpx2.ASGITransport(app=engine.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://engine") as http:
            it.seeds = EngineInTest(engine, http)
            yield it


@asynccontextmanager
async def agent_of(
    client: Client,
    mode: str = "auto",
    *,
    settings: ToolSettings | None = None,
    tools: Sequence[ToolSpec[Any, Any]] = TOOLS,
    person: Person | None = None,
    time: Clock | None = None,
    watch_seconds: float = 0.02,
    extensions: Sequence[ClientExtension] = (),
) -> AsyncIterator[Agent]:
    """Yield an in-memory client of the real server over a client of any backend."""
    app = ToolApp(
        client=client,
        settings=settings or ToolSettings(),
        tools=tools,
        time=time or SystemClock(),
        watch_seconds=watch_seconds,
    )
    server = make_server(app)
    async with connected(server, mode, person=person, extensions=extensions) as it:
        it.client, it.server = client, server
        yield it


@asynccontextmanager
async def stdio_agent(
    mode: str,
    store: str | Path,
    *arguments: str,
    person: Person | None = None,
    environment: dict[str, str] | None = None,
    extensions: Sequence[ClientExtension] = (),
    start: Callable[..., list[str]] = quick_command,
) -> AsyncIterator[Agent]:
    """Yield a client of the command `evaltasks serve` in a separate process. `start` returns its command line."""
    command = start("serve", "--store", str(store), *arguments)
    parameters = StdioServerParameters(
        command=command[0],
        args=command[1:],
        env={"PATH": os.environ.get("PATH", ""), **(environment or {})},
    )
    async with connected(parameters, mode, person=person, extensions=extensions) as it:
        yield it


@asynccontextmanager
async def connected(
    target: Any, mode: str, *, person: Person | None = None, extensions: Sequence[ClientExtension] = ()
) -> AsyncIterator[Agent]:
    """Yield an agent on any target of the SDK's client: a server object, a command, a URL or a transport."""
    found: list[Agent] = []

    async def on_question(_: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        found[0].questions.append(params.message)
        return (_PEOPLE[person] if isinstance(person, str) else person or accept)(params.message)

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            found[0]._on_update(str(message.params.uri))

    options: dict[str, Any] = {} if person is None else {"elicitation_callback": on_question}
    async with McpClient(target, mode=mode, message_handler=on_message, extensions=extensions, **options) as mcp:
        found.append(Agent(mcp))
        yield found[0]
