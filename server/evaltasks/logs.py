"""Logging to stderr, without secrets; stdout is reserved for the protocol."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def configure_logs(environment: Mapping[str, str]) -> None:
    """Log to stderr, at the level in `EVALTASKS_LOG_LEVEL` (default WARNING).

    It must run before an MCP server is made, because otherwise the SDK configures the root logger. The HTTP libraries
    always log at WARNING: their INFO lines would fill the stderr pipe of a host.
    """
    level = environment.get("EVALTASKS_LOG_LEVEL", "WARNING").upper()
    logging.basicConfig(
        level=level if level in _LEVELS else "WARNING",
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    for noisy in ("httpx2", "httpcore2", "uvicorn", "uvicorn.access", "mcp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
