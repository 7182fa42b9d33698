"""The demo's agent: a real MCP client on a real stdio server, that shows each call it makes."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from evaltasks.loading import ProgressBar
from evaltasks.tools.context import ToolFailed


class DemoAgent:
    """Calls tools and prints what it does."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def protocol(self) -> str:
        return self._client.protocol_version

    async def tool_names(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool with a progress line; its structured answer. Raises ToolFailed."""
        bar = ProgressBar()
        try:
            result = await self._client.call_tool(tool, arguments, progress_callback=_reporter(bar))
        finally:
            bar.close()
        if result.is_error:
            raise ToolFailed(f"{tool}: " + " ".join(getattr(part, "text", "") for part in result.content))
        return dict(result.structured_content or {})


def _reporter(bar: ProgressBar) -> Any:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        await bar.report(progress, total, message or "")

    return report


@asynccontextmanager
async def demo_agent(arguments: Sequence[str]) -> AsyncIterator[DemoAgent]:
    """Start `evaltasks serve` with these arguments as a child process and connect to it."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "evaltasks", "serve", *arguments], env=dict(os.environ)
    )
    async with Client(server) as client:
        yield DemoAgent(client)
