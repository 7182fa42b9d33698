"""Logging: little, to stderr, and never a secret. stdout belongs to the protocol."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def configure_logs(environment: Mapping[str, str]) -> None:
    """Send logs of this process to stderr; `EVALTASKS_LOG_LEVEL` sets how much (default WARNING).

    Must run before an MCP server is made, because the SDK otherwise configures the root logger itself. The HTTP
    libraries stay at WARNING whatever is asked: their INFO lines would fill a host's stderr pipe.
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
