"""Rows judged per second, everything stored, against a bare `httpx2` loop on the same judge, in one run.

    python -m bench.judge_throughput [--rows 2000] [--latency-ms 50] [--in-flight 20 50 100] [--rounds 3]

The judge is an OpenAI-compatible server in a process of its own; the loop sends the very request the engine sends,
with as many workers as the engine keeps calls in flight, and throws the answers away.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2

from evaltasks.app import open_client
from evaltasks.engine.clock import SystemClock
from evaltasks.loading import NobodyToAsk
from evaltasks.settings import Settings
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolContext, ToolSettings

QUESTION = "What did the committee decide about the harbour, and when will the work begin? " * 2
ANSWER = "It decided to rebuild the northern quay and to begin in spring, once the money is there. " * 3
TEMPLATE = "Question: {question}\nAnswer: {answer}\nIs the answer polite? Say polite or rude."


@contextmanager
def judge(latency_ms: int) -> Iterator[str]:
    """The address of a judge that answers after `latency_ms`."""
    command = [sys.executable, "-m", "tests.support.judges", "--port", "0", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


async def bare_loop(base_url: str, rows: int, in_flight: int) -> float:
    """Rows a second of the simplest loop there is."""
    body = json.dumps(
        {
            "model": "judge", "max_tokens": 1024,
            "messages": [{"role": "user", "content": TEMPLATE.format(question=QUESTION, answer=ANSWER)}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "verdict", "strict": True,
                    "schema": {
                        "type": "object", "additionalProperties": False, "required": ["explanation", "label"],
                        "properties": {
                            "explanation": {"type": "string"},
                            "label": {"type": "string", "enum": ["polite", "rude"]},
                        },
                    },
                },
            },
        }
    ).encode()  # fmt: skip
    left = rows
    limits = httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                reply = await client.post(
                    f"{base_url}/chat/completions", content=body, headers={"content-type": "application/json"}
                )
                json.loads(reply.content)

        began = time.perf_counter()
        async with anyio.create_task_group() as workers:
            for _ in range(in_flight):
                workers.start_soon(worker)
        return rows / (time.perf_counter() - began)


class _Quiet:
    async def report(self, done: float, total: float | None, message: str) -> None:
        pass


async def engine_loop(base_url: str, rows: int, in_flight: int, store: str) -> tuple[float, float]:
    """(rows a second of a whole task run from trigger to its end, CPU milliseconds a row)."""
    settings = Settings(store=store, in_flight=in_flight)
    async with open_client(settings, {}) as client:
        context = lambda: ToolContext(  # noqa: E731
            client, ToolSettings(patience_seconds=600), _Quiet(), NobodyToAsk(), SystemClock()
        )

        async def tool(name: str, /, **arguments: Any) -> dict[str, Any]:
            spec = next(spec for spec in TOOLS if spec.name == name)
            answer = await spec.call(arguments, context())
            shown: dict[str, Any] = answer.model_dump(mode="json")
            return shown

        moment = "2026-01-01T00:00:%02dZ"
        for start in range(0, rows, 1000):
            chunk = [
                {"name": "a", "start_time": moment % (n % 60), "attributes": {"question": QUESTION, "answer": ANSWER}}
                for n in range(start, min(start + 1000, rows))
            ]
            await tool("import_spans", project="bench", rows=chunk)
        await tool("create_ai_integration", name="judge", provider="custom", base_url=base_url)
        await tool(
            "create_evaluator", name="tone", kind="template", template=TEMPLATE, choices={"polite": 1, "rude": 0},
            ai_integration="judge", model="judge",
        )  # fmt: skip
        await tool(
            "create_evaluation_task", name="tone", task_type="template_evaluation", project="bench",
            evaluators=[{"evaluator_id": "tone"}],
        )  # fmt: skip
        window = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-01T00:02:00Z"}
        cpu, began = time.process_time(), time.perf_counter()
        answer = await tool("trigger_task_run", task="tone", wait=True, poll_interval=1, timeout=600, **window)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        run = answer["task_run"]
        assert run["status"] == "completed", run
        # The wait polls; the run itself says when it began and ended.
        fetched = await client.task_runs.get(run["run_id"])
        assert fetched.num_successes == rows, fetched
        assert fetched.run_started_at is not None and fetched.run_finished_at is not None
        seconds = min(seconds, (fetched.run_finished_at - fetched.run_started_at).total_seconds())
        return rows / seconds, cpu * 1000 / rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with judge(given.latency_ms) as base_url, tempfile.TemporaryDirectory() as folder:
        for in_flight in given.in_flight:
            ratios = []
            for number in range(given.rounds):
                floor = anyio.run(bare_loop, base_url, given.rows, in_flight)
                store = str(Path(folder) / f"{in_flight}-{number}.sqlite")
                mine, cpu = anyio.run(engine_loop, base_url, given.rows, in_flight, store)
                ratios.append(mine / floor)
                print(
                    f"{in_flight:>3} in flight: bare loop {floor:.0f} rows/s, engine {mine:.0f} rows/s, "
                    f"ratio {mine / floor:.2f}, {cpu:.2f} ms CPU a row"
                )
            print(f"{in_flight:>3} in flight: median ratio {statistics.median(ratios):.2f}")
    print(f"peak resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
