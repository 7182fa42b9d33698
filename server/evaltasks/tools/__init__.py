"""The tools of the MCP server: one file is one tool, and `catalog.py` lists them."""
