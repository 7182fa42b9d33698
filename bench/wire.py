"""A minimal MCP client (lines of JSON-RPC over a pipe), so that benchmarks measure the server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

BARE_SERVER = [sys.executable, "-m", "bench.bare_server"]


def evaltasks_server(store: str) -> list[str]:
    return [sys.executable, "-m", "evaltasks", "serve", "--store", store]


class Pipe:
    """A stdio MCP server as a child process; the client uses protocol version 2025-11-25."""

    def __init__(self, command: Sequence[str]) -> None:
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._number = 0

    def __enter__(self) -> Self:
        self.ask(
            "initialize",
            protocolVersion="2025-11-25",
            capabilities={},
            clientInfo={"name": "bench", "version": "0"},
        )
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one request and return the result; notifications in between are ignored. Raises RuntimeError."""
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self.process.stdout is not None
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = self.ask("tools/call", name=tool, arguments=arguments)
        if result.get("isError"):
            raise RuntimeError(result["content"])
        return dict(result.get("structuredContent") or {})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
