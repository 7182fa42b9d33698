"""The contestants of `judge_throughput`, one to a process: `python -m bench.judging <side> --base-url … --rows …`.

Each judges the same rows on the same judge and prints one line of JSON: rows judged, seconds, CPU and memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2

from bench.watchdog import watchdog
from evaltasks.app import open_client
from evaltasks.edge.clock import SystemClock
from evaltasks.loading import NonInteractiveConfirm
from evaltasks.settings import Settings
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolContext, ToolSettings

QUESTION = "What did the committee decide about the harbour, and when will the work begin? " * 2
ANSWER = "It decided to rebuild the northern quay and to begin in spring, once the money is there. " * 3
_WARMING_ROWS = 5
TEMPLATE = "Question: {question}\nAnswer: {answer}\nIs the answer polite? Say polite or rude."


@dataclass(frozen=True)
class Measured:
    rows: int
    seconds: float
    cpu_ms_per_row: float
    resident_mb: float
    longest_block_ms: float | None = None
    longest_block: str | None = None
    refused: int = 0

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


@dataclass(frozen=True)
class Given:
    base_url: str
    rows: int
    in_flight: int


def measure(side: str, base_url: str, rows: int, in_flight: int) -> Measured:
    """Run a side in a process of its own. Raises RuntimeError with the end of what it wrote when it fails."""
    arguments = ["--base-url", base_url, "--rows", str(rows), "--in-flight", str(in_flight)]
    command = [sys.executable, "-m", "bench.judging", side, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"{side} failed: {done.stderr.strip().splitlines()[-1:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


class _Stopwatch:
    """Wall and CPU time of a block."""

    def __enter__(self) -> _Stopwatch:
        self._cpu, self._began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._began, time.process_time() - self._cpu

    def measured(self, rows: int, **more: Any) -> Measured:
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Measured(rows, self.seconds, self.cpu * 1000 / rows, resident, **more)


async def bare_loop(given: Given) -> Measured:
    """The simplest loop there is: the very request the engine sends, the answer parsed and thrown away.

    A refused call sleeps in its place for as long as it is told to, which is what simple loops do.
    """
    schema = {
        "type": "object", "additionalProperties": False, "required": ["explanation", "label"],
        "properties": {"explanation": {"type": "string"}, "label": {"type": "string", "enum": ["polite", "rude"]}},
    }  # fmt: skip
    content = TEMPLATE.format(question=QUESTION, answer=ANSWER)
    body = json.dumps(
        {
            "model": "judge", "max_tokens": 1024, "messages": [{"role": "user", "content": content}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "v", "strict": True, "schema": schema}},
        }
    ).encode()  # fmt: skip
    left, refused = given.rows, 0
    limits = httpx2.Limits(max_connections=given.in_flight, max_keepalive_connections=given.in_flight)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def worker() -> None:
            nonlocal left, refused
            while left > 0:
                left -= 1
                while True:
                    headers = {"content-type": "application/json"}
                    reply = await client.post(f"{given.base_url}/chat/completions", content=body, headers=headers)
                    json.loads(reply.content)
                    if reply.status_code == 200:
                        break
                    refused += 1
                    await anyio.sleep(float(reply.headers["retry-after"]))

        with _Stopwatch() as watch:
            async with anyio.create_task_group() as workers:
                for _ in range(given.in_flight):
                    workers.start_soon(worker)
    return watch.measured(given.rows, refused=refused)


class _Quiet:
    async def report(self, done: float, total: float | None, message: str) -> None:
        pass


async def engine(given: Given) -> Measured:
    """A whole task run through the tools, from trigger to its end, everything stored in a file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(store=str(Path(folder) / "bench.sqlite"), in_flight=given.in_flight)
        async with open_client(settings, {}) as client:

            async def tool(name: str, /, **arguments: Any) -> dict[str, Any]:
                spec = next(spec for spec in TOOLS if spec.name == name)
                tools = ToolSettings(call_wait_seconds_max=600)
                answer = await spec.call(
                    arguments, ToolContext(client, tools, _Quiet(), NonInteractiveConfirm(), SystemClock())
                )
                shown: dict[str, Any] = answer.model_dump(mode="json")
                return shown

            moment = "2026-01-01T00:00:%02dZ"
            attributes = {"question": QUESTION, "answer": ANSWER}
            for start in range(0, given.rows, 1000):
                numbers = range(start, min(start + 1000, given.rows))
                rows = [{"name": "a", "start_time": moment % (n % 60), "attributes": attributes} for n in numbers]
                await tool("import_spans", project="bench", rows=rows)
            await tool("create_ai_integration", name="judge", provider="custom", base_url=given.base_url)
            await tool(
                "create_evaluator", name="tone", kind="template", template=TEMPLATE,
                choices={"polite": 1, "rude": 0}, ai_integration="judge", model="judge",
            )  # fmt: skip
            await tool(
                "create_evaluation_task", name="tone", task_type="template_evaluation", project="bench",
                evaluators=[{"evaluator_id": "tone"}],
            )  # fmt: skip
            window = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-01T00:02:00Z"}
            trigger = partial(tool, "trigger_task_run", task="tone", wait=True, timeout=600, **window)
            # What a process does once (certificates, the price list: some 0.3 s) is the start's, not the rows'.
            await trigger(max_spans=_WARMING_ROWS)
            with _Stopwatch() as watch:
                answer = await trigger(max_spans=given.rows, override_evaluations=True)
            run = await client.task_runs.get(answer["task_run"]["run_id"])
            assert (str(run.status).lower(), run.num_successes) == ("completed", given.rows), run
            # The wait polls; the task run itself says when it began and ended.
            assert run.run_started_at is not None and run.run_finished_at is not None
            watch.seconds = min(watch.seconds, (run.run_finished_at - run.run_started_at).total_seconds())
            return watch.measured(given.rows)


async def watched(given: Given) -> Measured:
    """As `engine`, the import of the spans included, with every callback of the event loop timed."""
    with watchdog() as dog:
        measured = await engine(given)
    return replace(measured, longest_block_ms=dog.longest_ms, longest_block=dog.what)


async def ragas(given: Given) -> Measured:
    from openai import AsyncOpenAI  # noqa: PLC0415  only when installed beside it
    from ragas.llms import llm_factory  # noqa: PLC0415
    from ragas.metrics import DiscreteMetric  # noqa: PLC0415

    client = AsyncOpenAI(base_url=given.base_url, api_key="none")
    metric = DiscreteMetric(name="tone", prompt=TEMPLATE, allowed_values=["polite", "rude"])
    judge = llm_factory("judge", client=client)
    places = anyio.Semaphore(given.in_flight)

    async def one() -> None:
        async with places:
            await metric.ascore(llm=judge, question=QUESTION, answer=ANSWER)

    with _Stopwatch() as watch:
        async with anyio.create_task_group() as tasks:
            for _ in range(given.rows):
                tasks.start_soon(one)
    return watch.measured(given.rows)


async def phoenix(given: Given) -> Measured:
    import pandas  # noqa: PLC0415  only when installed beside it
    from phoenix.evals import LLM, ClassificationEvaluator, async_evaluate_dataframe  # noqa: PLC0415

    judge = LLM(provider="openai", model="judge", base_url=given.base_url, api_key="none")
    evaluator = ClassificationEvaluator(
        name="tone", llm=judge, prompt_template=TEMPLATE, choices={"polite": 1.0, "rude": 0.0}
    )
    frame = pandas.DataFrame([{"question": QUESTION, "answer": ANSWER}] * given.rows)
    with _Stopwatch() as watch:
        await async_evaluate_dataframe(dataframe=frame, evaluators=[evaluator], concurrency=given.in_flight)
    return watch.measured(given.rows)


SIDES: dict[str, Callable[[Given], Awaitable[Measured]]] = {
    "bare": bare_loop,
    "engine": engine,
    "watched": watched,
    "ragas": ragas,
    "phoenix": phoenix,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    given = parser.parse_args()
    # As the command does once everything is imported: what lives for ever is not looked through again and again.
    gc.collect()
    gc.freeze()
    print(json.dumps(asdict(anyio.run(SIDES[given.side], Given(given.base_url, given.rows, given.in_flight)))))


if __name__ == "__main__":
    main()
