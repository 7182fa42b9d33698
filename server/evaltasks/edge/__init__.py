"""Code shared by client, engine and MCP server."""
