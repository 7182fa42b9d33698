"""Compare 100,000 rows of a managed and of a custom code evaluator with the same function called in this process.

    python -m bench.code_throughput [--rows 100000] [--rounds 3]

It answers two questions. What does the sandbox cost? The code of the custom evaluator runs in a session, in full
batches, and the function runs in this process with the same rows. What does that mean for a whole task run with
everything stored? It compares managed code, custom code in each sandbox, and the function in this process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

import anyio
import httpx2

from evaltasks.api.evaluator_kinds import CustomCodeConfig
from evaltasks.engine.engine import Engine
from evaltasks.engine.evaluators import kinds as evaluator_kinds
from evaltasks.engine.evaluators.custom import CustomCodeEvaluator
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Outcome
from evaltasks.engine.sandbox.contract import read_contract
from evaltasks.engine.sandbox.contract_imports import IMPORT_SENTENCE
from evaltasks.engine.sandbox.limits import SandboxKind
from evaltasks.engine.sandbox.sandbox import Sandbox, open_sandbox
from evaltasks.engine.sandbox.session import Session
from evaltasks.engine.sandbox.worker import SandboxUnavailable

# Parse 500 characters of JSON and look for keys, like the example in AX's documentation.
BODY = """
try:
    parsed = json.loads(output or "")
except ValueError as error:
    return EvaluationResult(label="fail", score=0.0, explanation=f"output is not valid JSON: {error}")
missing = [key for key in ["answer", "confidence"] if key not in parsed]
return EvaluationResult(
    label="fail" if missing else "pass",
    score=float(not missing),
    explanation="all required keys present" if not missing else f"missing keys: {', '.join(missing)}",
)
"""
CODE = "class Keys(CodeEvaluator):\n    def evaluate(self, *, output=None, **kwargs):\n" + indent(BODY.strip(), " " * 8)
CUSTOM = {
    "type": "CUSTOM", "name": "keys", "variables": ["output"], "code": CODE,
    "imports": f"import json\n{IMPORT_SENTENCE}",
}  # fmt: skip
MANAGED = {"type": "MANAGED", "name": "json", "variables": ["output"], "managed_evaluator": "JSON_PARSEABLE"}
OUTPUT = json.dumps({"answer": "x" * 460, "confidence": 1})
ROWS_PER_BATCH = 250
SLICES = 10
WINDOW = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}


class Result:
    def __init__(self, label: str | None = None, score: float | None = None, explanation: str | None = None) -> None:
        if score is None and not label:
            raise ValueError
        self.label, self.score, self.explanation = label, score, explanation


def function_here() -> Callable[..., Result]:
    space: dict[str, Any] = {"EvaluationResult": Result, "CodeEvaluator": object, "json": json}
    exec(CODE, space)
    evaluate: Callable[..., Result] = space["Keys"]().evaluate
    return evaluate


class Unprotected(Evaluator):
    """Replaces the custom evaluator by the function, called in this process."""

    variables = ("output",)

    def __init__(self, config: CustomCodeConfig, sandbox: Sandbox) -> None:  # noqa: ARG002  the signature of CustomCodeEvaluator
        self._evaluate = function_here()

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        result = self._evaluate(**values)
        return Evaluated(result.label, result.score, result.explanation, {"judge": "code"})


def microseconds_here(rows: int) -> float:
    evaluate = function_here()
    batch = [{"output": OUTPUT} for _ in range(ROWS_PER_BATCH)]
    started_at = time.perf_counter()
    for _ in range(rows // ROWS_PER_BATCH):
        [evaluate(**row) for row in batch]
    return (time.perf_counter() - started_at) / rows * 1e6


async def microseconds_in(session: Session, rows: int) -> float:
    batch = [{"output": OUTPUT} for _ in range(ROWS_PER_BATCH)]
    outcomes = await session.evaluate(batch)
    started_at = time.perf_counter()
    for _ in range(rows // ROWS_PER_BATCH):
        outcomes = await session.evaluate(batch)
    seconds = time.perf_counter() - started_at
    assert all(isinstance(outcome, Evaluated) for outcome in outcomes)
    return seconds / rows * 1e6


@contextmanager
def unprotected() -> Iterator[None]:
    evaluator_kinds.CustomCodeEvaluator = Unprotected  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        evaluator_kinds.CustomCodeEvaluator = CustomCodeEvaluator  # type: ignore[misc]


class Bench:
    """An engine on a store that contains the spans."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        reply = await self._http.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json()

    async def fill(self, rows: int) -> str:
        space = (await self.ask("GET", "/v2/spaces"))["spaces"][0]["id"]
        project = (await self.ask("POST", "/v2/projects", {"name": "bench", "space_id": space}))["id"]
        for start in range(0, rows, 1000):
            moment = f"2026-03-01T{start // 5000 % 24:02d}:00:00Z"
            spans = [
                {"name": "a", "trace_id": f"t{n}", "span_id": f"s{n}", "kind": "LLM", "status_code": "OK",
                 "start_time": moment, "end_time": moment, "attributes": {"output.value": OUTPUT}}
                for n in range(start, min(start + 1000, rows))
            ]  # fmt: skip
            await self.ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": spans})
        return str(project)

    async def rows_a_second(self, project: str, code: Mapping[str, Any], rows: int) -> float:
        name = f"{code['name']} {time.monotonic_ns()}"
        space = (await self.ask("GET", "/v2/spaces"))["spaces"][0]["id"]
        version = {"commit_message": "bench", "code_config": code}
        body = {"space_id": space, "name": name, "type": "CODE", "version": version}
        evaluator = (await self.ask("POST", "/v2/evaluators", body))["id"]
        body = {"name": name, "type": "CODE_EVALUATION", "project_id": project,
                "evaluators": [{"evaluator_id": evaluator}]}  # fmt: skip
        task = (await self.ask("POST", "/v2/tasks", body))["id"]
        options = {**WINDOW, "max_spans": rows, "override_evaluations": True}
        started_at = time.perf_counter()
        run = await self.ask("POST", f"/v2/tasks/{task}/trigger", options)
        while run["status"] in {"PENDING", "RUNNING"}:
            await anyio.sleep(0.05)
            run = await self.ask("GET", f"/v2/task-runs/{run['id']}")
        assert run["num_successes"] == rows, run
        return rows / (time.perf_counter() - started_at)


@asynccontextmanager
async def bench(store: str, sandbox: SandboxKind = SandboxKind.MONTY) -> AsyncIterator[Bench]:
    async with (
        Engine.open(store, environment={}, sandbox=sandbox) as engine,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=engine.app), base_url="http://engine", timeout=600
        ) as http,
    ):
        yield Bench(http)


async def compare_sandboxes(kinds: list[SandboxKind], rows: int, rounds: int) -> None:
    """Measure the sandboxes alone, alternating in slices, so that other load affects all in the same way."""
    program = read_contract(CustomCodeConfig.model_validate(CUSTOM)).program
    ratios: dict[SandboxKind, list[float]] = {kind: [] for kind in kinds}
    async with AsyncExitStack() as opened:
        sessions = {}
        for kind in kinds:
            sandbox = await opened.enter_async_context(open_sandbox(kind))
            sessions[kind] = await sandbox.session(program)
            opened.push_async_callback(sessions[kind].close)
        for _ in range(rounds):
            here, there = 0.0, dict.fromkeys(kinds, 0.0)
            for _ in range(SLICES):
                here += microseconds_here(rows // SLICES) / SLICES
                for kind in kinds:
                    there[kind] += await microseconds_in(sessions[kind], rows // SLICES) / SLICES
            parts = [f"in this process {here:.1f} us a row"]
            for kind in kinds:
                ratios[kind].append(there[kind] / here)
                parts.append(f"{kind} {there[kind]:.1f} (ratio {there[kind] / here:.1f})")
            print(", ".join(parts))
    for kind in kinds:
        print(f"the sandbox alone, {kind}: median ratio {statistics.median(ratios[kind]):.2f}")


async def compare_task_runs(kinds: list[SandboxKind], rows: int, rounds: int) -> None:
    """Measure whole task runs."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "bench.sqlite")
        async with bench(store) as it:
            project = await it.fill(rows)
        for _ in range(rounds):
            async with bench(store) as it:
                managed = await it.rows_a_second(project, MANAGED, rows)
                with unprotected():
                    here = await it.rows_a_second(project, CUSTOM, rows)
            speeds = {"managed": managed}
            for kind in kinds:
                async with bench(store, kind) as it:
                    speeds[f"custom in {kind}"] = await it.rows_a_second(project, CUSTOM, rows)
            parts = [f"function in this process {here:.0f} rows/s"]
            parts += [f"{name} {speed:.0f} (takes {here / speed:.2f} times as long)" for name, speed in speeds.items()]
            print("a whole task run: " + ", ".join(parts))


async def available() -> list[SandboxKind]:
    """Return the sandboxes that run here."""
    kinds = []
    for kind in SandboxKind:
        try:
            async with open_sandbox(kind):
                kinds.append(kind)
        except SandboxUnavailable as missing:
            print(missing)
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kinds = anyio.run(available)
    anyio.run(compare_sandboxes, kinds, options.rows, options.rounds)
    anyio.run(compare_task_runs, kinds, options.rows, options.rounds)
    print(f"peak resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
