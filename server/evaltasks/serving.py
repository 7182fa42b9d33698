"""Serving of MCP over stdio. Everything that needs a web server is in `ports.py`, so that this starts quickly."""

from __future__ import annotations

from collections.abc import Mapping

from evaltasks.app import open_server
from evaltasks.face.stdio import serve_stdio
from evaltasks.settings import Settings


async def serve_on_stdio(settings: Settings, environment: Mapping[str, str]) -> int:
    """Serve until the client disconnects or a signal arrives; return the exit code."""
    async with open_server(settings, environment) as server:
        return await serve_stdio(server)
