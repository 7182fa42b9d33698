"""Tools called as the MCP server calls them, with recorded notes, progress and questions.

async with tools_in_test() as it:
    task = await it.seed.seed_task(...)
    answer = await it.call(get_task.SPEC, task=task)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx2

from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools.context import Declined, ToolContext, ToolSettings
from evaltasks.tools.spec import Output, ToolSpec
from tests.support.engines import QUICK, EngineInTest


@dataclass
class RecordedProgress:
    """Progress reports, in order."""

    said: list[tuple[float, float | None, str]] = field(default_factory=list)

    async def report(self, done: float, total: float | None, message: str) -> None:
        self.said.append((done, total, message))


@dataclass
class Person:
    """A user who agrees or refuses, and records the questions."""

    agrees: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, question: str, *, confirm_with: str) -> None:
        self.asked.append((question, confirm_with))
        if not self.agrees:
            raise Declined("the person said no")


@dataclass
class SimulatedTime:
    """Simulated time that passes only in sleeps."""

    start: datetime = datetime(2026, 4, 1, 12, tzinfo=UTC)
    seconds: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def monotonic_seconds(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds


@dataclass
class RealTime:
    """Real time, for running engines."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()


@dataclass
class ToolsInTest:
    """Tools with a client. `context` is the context of the last call."""

    client: Client
    seeds: EngineInTest | None = None
    time: Any = field(default_factory=RealTime)
    settings: ToolSettings = field(default_factory=ToolSettings)
    person: Person = field(default_factory=Person)
    context: ToolContext | None = None

    @property
    def seed(self) -> EngineInTest:
        assert self.seeds is not None
        return self.seeds

    @property
    def notes(self) -> str:
        """The notes of the last call."""
        assert self.context is not None
        return "\n".join(self.context.notes)

    @property
    def progress(self) -> list[tuple[float, float | None, str]]:
        assert self.context is not None
        assert isinstance(self.context.progress, RecordedProgress)
        return self.context.progress.said

    async def call(self, spec: ToolSpec[Any, Any], **arguments: Any) -> Any:
        """Call a tool and return its result. Raises what the tool raises."""
        self.context = ToolContext(self.client, self.settings, RecordedProgress(), self.person, self.time)
        answer = await spec.call(arguments, self.context)
        assert isinstance(answer, Output)
        assert answer.text()
        return answer

    async def issues(self, spec: ToolSpec[Any, Any], **arguments: Any) -> dict[str, str]:
        """Make a call that must be refused, and return its problems by argument ("problem; remedy")."""
        try:
            await self.call(spec, **arguments)
        except ValidationErrors as refused:
            assert all(issue.remedy for issue in refused.issues)
            return {issue.argument: f"{issue.problem}; {issue.remedy}" for issue in refused.issues}
        raise AssertionError("the call was not refused")


@asynccontextmanager
async def tools_in_test(**options: Any) -> AsyncIterator[ToolsInTest]:
    """Yield tools over a real client and an embedded engine; `options` are passed to `Engine.open`."""
    options.setdefault("limits", QUICK)
    options.setdefault("environment", {})
    async with Engine.open(":memory:", **options) as engine, open_app_client(engine.app) as client:
        transport = httpx2.ASGITransport(app=engine.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://engine") as http:
            yield ToolsInTest(client, EngineInTest(engine, http))
