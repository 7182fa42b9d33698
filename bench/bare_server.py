"""The floor for comparisons: a server of the SDK with one tool that does nothing."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("bare", log_level="WARNING")


@server.tool()
async def get_task(task: str) -> dict[str, str]:
    """Do nothing."""
    return {"id": task}


if __name__ == "__main__":
    server.run()
