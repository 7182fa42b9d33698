"""The demo's agent: a real MCP client of a real stdio server, which shows its progress."""

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
    """Calls tools and prints their progress and results."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def protocol(self) -> str:
        return self._client.protocol_version

    async def tool_names(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool with a progress line and return its structured answer.

        Raises:
            ToolFailed: The tool answered with an error.
        """
        bar = ProgressBar()
        try:
            result = await self._client.call_tool(tool, arguments, progress_callback=_reporter(bar))
        finally:
            bar.close()
        if result.is_error:
            raise ToolFailed(f"{tool}: " + " ".join(getattr(part, "text", "") for part in result.content))
        return dict(result.structured_content or {})

    async def finish(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool that waits, wait to the end, show the results of every task run, and return the last answer."""
        answer = await self.call(tool, **arguments)
        while not answer["finished"]:
            answer = await self.call("wait_for_task_run", run_id=answer["task_run"]["run_id"])
        runs = [answer["task_run"], *answer.get("chained_task_runs", [])]
        for run in runs:
            name = f" '{run['task_name']}'" if run.get("task_name") else ""
            say(f"  task run{name} {run['status']}: {run['done']} rows, {run['num_errors']} errors")
            await self._show_scores(run["run_id"])
        return answer

    async def _show_scores(self, run_id: str) -> None:
        results = await self.call("task_run_results", run_id=run_id, rows=0)
        for evaluator in results["evaluators"]:
            labels = ", ".join(f"{_label(item)} {item['rows']}" for item in evaluator["labels"])
            score = evaluator.get("score")
            mean = f"; mean score {score['mean']:.2f}" if score else ""
            if labels or mean:
                say(f"  {evaluator.get('evaluator_name') or evaluator.get('evaluation_name')}: {labels}{mean}")


def _label(item: dict[str, Any]) -> str:
    """Return the evaluator's own label, one that its code made up (fenced as untrusted), or "no label"."""
    return str(item.get("label") or item.get("other_label", {}).get("untrusted") or "no label")


def say(text: str) -> None:
    print(text, flush=True)


def step(number: int, text: str) -> None:
    say(f"\n[{number}] {text}")


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
