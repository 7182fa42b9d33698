"""Engines for tests: opened, called over raw HTTP, and seeded only through the REST API.

async with engine() as it:
    project = await it.seed_project()
    await it.seed_spans(project, 5)
    evaluator = await it.seed_code_evaluator()
    task = await it.seed_task([evaluator], project_id=project)
    task_run = await it.finish(task, data_start_time="2026-01-01T00:00:00Z", data_end_time=...)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2

from evaltasks.engine.engine import Engine
from evaltasks.engine.runs.executor import ExecutorLimits

# Seeded spans start here, one second apart; a window of a day holds all of them.
SPANS_START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}
ENDS = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

# Tests wait for outcomes, not for time: changes of another process are seen at once.
QUICK = ExecutorLimits(poll_seconds=0.02, retry_seconds=0.01, continuous_seconds=0.0)


class ManualClock:
    """A clock that only the test advances; sleeping tasks wake when their time is reached."""

    def __init__(self, now: datetime = datetime(2026, 4, 1, 12, tzinfo=UTC)) -> None:
        self._start = now
        self._seconds = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._lay_down = anyio.Event()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock without letting time pass."""
        self._start += timedelta(seconds=seconds)

    def monotonic_seconds(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        due = self._seconds + seconds
        event = anyio.Event()
        entry = (due, event)
        self._sleepers.append(entry)
        self._lay_down.set()
        try:
            await event.wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    async def until_sleeping(self, sleepers: int) -> None:
        """Wait until that many tasks sleep, so that they have finished what the last turn woke them for."""
        while len(self._sleepers) < sleepers:
            self._lay_down = anyio.Event()
            await self._lay_down.wait()

    async def turn(self, seconds: float) -> None:
        """Advance the time and wake the tasks whose sleep is over."""
        self._seconds += seconds
        for entry in [entry for entry in self._sleepers if entry[0] <= self._seconds]:
            self._sleepers.remove(entry)
            entry[1].set()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()


@dataclass
class EngineInTest:
    """An open engine with an HTTP client. Every `seed_…` returns the id of the new resource."""

    engine: Engine
    http: httpx2.AsyncClient
    _count: int = field(default=0)

    def _name(self, resource: str) -> str:
        self._count += 1
        return f"{resource}-{self._count}"

    async def ask(self, method: str, path: str, body: object = None, *, status: int | None = None, **query: Any) -> Any:
        """Send one request and return the parsed response (None if empty). Asserts `status`, or any 2xx without it."""
        params = {key: value for key, value in query.items() if value is not None}
        reply = await self.http.request(method, path, json=body, params=params or None)
        if status is None:
            assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        else:
            assert reply.status_code == status, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    async def space_id(self) -> str:
        spaces = await self.ask("GET", "/v2/spaces")
        return str(spaces["spaces"][0]["id"])

    async def seed_project(self, name: str | None = None) -> str:
        body = {"name": name or self._name("project"), "space_id": await self.space_id()}
        return str((await self.ask("POST", "/v2/projects", body))["id"])

    async def seed_spans(
        self,
        project_id: str,
        n: int,
        *,
        first: int = 0,
        attributes: Mapping[str, object] | None = None,
        output: str = "answer {i}",
        kind: str = "LLM",
    ) -> list[str]:
        """Seed `n` spans with ids `span-<i>`, one per second; `{i}` in `output` is the number."""
        ids = [f"span-{i:05d}" for i in range(first, first + n)]
        for start in range(0, n, 500):
            spans = [
                {
                    "name": "llm call",
                    "trace_id": f"trace-{i:05d}",
                    "span_id": f"span-{i:05d}",
                    "kind": kind,
                    "start_time": (SPANS_START + timedelta(seconds=i)).isoformat(),
                    "end_time": (SPANS_START + timedelta(seconds=i + 1)).isoformat(),
                    "status_code": "OK",
                    "attributes": {
                        "input.value": f"question {i}",
                        "output.value": output.replace("{i}", str(i)),
                        **(attributes or {}),
                    },
                }
                for i in range(first + start, first + min(start + 500, n))
            ]
            await self.ask("POST", f"/evaltasks/v1/projects/{project_id}/spans", {"spans": spans})
        return ids

    async def seed_dataset(
        self, examples: Sequence[Mapping[str, object]] | None = None, name: str | None = None
    ) -> str:
        rows = examples or [{"question": f"q{i}", "expected": f"a{i}"} for i in range(3)]
        body = {"name": name or self._name("dataset"), "space_id": await self.space_id(), "examples": rows}
        return str((await self.ask("POST", "/v2/datasets", body))["id"])

    async def example_ids(self, dataset_id: str) -> list[str]:
        page = await self.ask("GET", f"/v2/datasets/{dataset_id}/examples", limit=500)
        return [row["id"] for row in page["examples"]]

    async def seed_experiment(
        self, dataset_id: str, outputs: Sequence[str] | None = None, name: str | None = None
    ) -> str:
        """Seed one experiment run for each example, in order; `outputs` default to `out 0`, `out 1`, …"""
        ids = await self.example_ids(dataset_id)
        texts = outputs or [f"out {i}" for i in range(len(ids))]
        rows = [{"example_id": id_, "output": text} for id_, text in zip(ids, texts, strict=False)]
        body = {"name": name or self._name("experiment"), "dataset_id": dataset_id, "experiment_runs": rows}
        return str((await self.ask("POST", "/v2/experiments", body))["id"])

    async def seed_code_evaluator(
        self,
        name: str | None = None,
        *,
        evaluation_name: str = "is_answer",
        managed: str = "MATCHES_REGEX",
        variables: Sequence[str] = ("output",),
        static_params: Sequence[Mapping[str, object]] = (
            {"name": "pattern", "type": "REGEX", "default_value": "answer"},
        ),
        granularity: str | None = None,
    ) -> str:
        code = {
            "type": "MANAGED",
            "name": evaluation_name,
            "managed_evaluator": managed,
            "variables": list(variables),
            "static_params": list(static_params),
            "data_granularity": granularity,
        }
        return await self._seed_evaluator(name, "CODE", {"commit_message": "first", "code_config": code})

    async def seed_template_evaluator(
        self,
        base_url: str | None = None,
        name: str | None = None,
        *,
        integration_id: str | None = None,
        evaluation_name: str = "correct",
        template: str = "Is {output} an answer to {input}?",
        choices: Mapping[str, float] | None = None,
        model_name: str = "judge",
        granularity: str = "SPAN",
    ) -> str:
        """Seed a template evaluator.

        Its judge is `integration_id`, or a new one at the OpenAI-compatible server `base_url`, without a key.
        """
        if integration_id is None:
            assert base_url is not None
            integration_id = await self.seed_ai_integration(base_url, [model_name])
        template_config = {
            "name": evaluation_name,
            "template": template,
            "include_explanations": True,
            "classification_choices": dict(choices or {"yes": 1.0, "no": 0.0}),
            "data_granularity": granularity,
            "llm_config": {"ai_integration_id": integration_id, "model_name": model_name},
        }
        return await self._seed_evaluator(
            name, "TEMPLATE", {"commit_message": "first", "template_config": template_config}
        )

    async def seed_ai_integration(self, base_url: str, model_names: Sequence[str] = ("judge",)) -> str:
        body = {
            "name": self._name("integration"),
            "provider": "CUSTOM",
            "base_url": base_url,
            "model_names": list(model_names),
        }
        return str((await self.ask("POST", "/v2/ai-integrations", body))["id"])

    async def _seed_evaluator(self, name: str | None, type_: str, version: Mapping[str, object]) -> str:
        body = {
            "space_id": await self.space_id(),
            "name": name or self._name("evaluator"),
            "type": type_,
            "version": version,
        }
        return str((await self.ask("POST", "/v2/evaluators", body))["id"])

    async def seed_task(
        self,
        evaluator_ids: Sequence[str],
        type_: str = "CODE_EVALUATION",
        name: str | None = None,
        **fields: object,
    ) -> str:
        """Seed an evaluation task; `fields` (project_id, query_filter, …) are sent in the body."""
        body = {
            "name": name or self._name("task"),
            "type": type_,
            "evaluators": [{"evaluator_id": id_} for id_ in evaluator_ids],
            **fields,
        }
        return str((await self.ask("POST", "/v2/tasks", body))["id"])

    async def trigger(self, task_id: str, **body: object) -> dict[str, Any]:
        answer: dict[str, Any] = await self.ask("POST", f"/v2/tasks/{task_id}/trigger", body)
        return answer

    async def task_run(self, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self.ask("GET", f"/v2/task-runs/{run_id}")
        return answer

    async def ended(self, run_id: str, at_most_seconds: float = 20) -> dict[str, Any]:
        """Return the task run once it has ended."""
        with anyio.fail_after(at_most_seconds):
            while True:
                task_run = await self.task_run(run_id)
                if task_run["status"] in ENDS:
                    return task_run
                await anyio.sleep(0.005)  # a poll, as in every client; the timeout is above

    async def idle(self, at_most_seconds: float = 20) -> None:
        """Wait until the executor is idle."""
        with anyio.fail_after(at_most_seconds):
            while True:
                if not self.engine.executor.active_task_run_ids:
                    return
                await anyio.sleep(0.005)

    async def finish(self, task_id: str, **body: object) -> dict[str, Any]:
        """Trigger a task and wait until the task run has ended."""
        return await self.ended((await self.trigger(task_id, **body))["id"])

    async def rows(self, run_id: str, **query: object) -> list[dict[str, Any]]:
        """Return all ledger rows of a task run, from every page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(1000):
            page = await self.ask(
                "GET", f"/evaltasks/v1/task-runs/{run_id}/rows", **{"limit": 500, "cursor": cursor, **query}
            )
            found += page["task_run_rows"]
            cursor = page["pagination"].get("next_cursor")
            if cursor is None:
                break
        return found


@asynccontextmanager
async def engine(path: str | Path = ":memory:", **options: Any) -> AsyncIterator[EngineInTest]:
    """Yield an open engine; `options` are passed to `Engine.open` (clock, environment, limits, on_commit, …)."""
    options.setdefault("limits", QUICK)
    options.setdefault("environment", {})
    async with Engine.open(path, **options) as opened:
        transport = httpx2.ASGITransport(app=opened.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://engine") as http:
            yield EngineInTest(opened, http)
