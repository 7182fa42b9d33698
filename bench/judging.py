"""The sides that `judge_throughput` compares, one per process: `python -m bench.judging <side> --base-url … --rows …`.

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
from evaltasks.face.confirm import NonInteractiveConfirm
from evaltasks.face.progress import SilentProgress
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
class Options:
    base_url: str
    rows: int
    in_flight: int


def measure(side: str, base_url: str, rows: int, in_flight: int) -> Measured:
    """Run a side in its own process. Raises RuntimeError with the last line of its error output if it fails."""
    arguments = ["--base-url", base_url, "--rows", str(rows), "--in-flight", str(in_flight)]
    command = [sys.executable, "-m", "bench.judging", side, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"{side} failed: {done.stderr.strip().splitlines()[-1:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


class _Stopwatch:
    """Measures elapsed and CPU time of a block."""

    def __enter__(self) -> _Stopwatch:
        self._cpu, self._started_at = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._started_at, time.process_time() - self._cpu

    def measured(self, rows: int, **more: Any) -> Measured:
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Measured(rows, self.seconds, self.cpu * 1000 / rows, resident, **more)


async def bare_loop(options: Options) -> Measured:
    """The simplest possible loop: it sends the engine's request, and parses and discards the answer.

    After a 429 a worker sleeps for `Retry-After` and keeps its place, as simple loops do.
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
    left, refused = options.rows, 0
    limits = httpx2.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def worker() -> None:
            nonlocal left, refused
            while left > 0:
                left -= 1
                while True:
                    headers = {"content-type": "application/json"}
                    reply = await client.post(f"{options.base_url}/chat/completions", content=body, headers=headers)
                    json.loads(reply.content)
                    if reply.status_code == 200:
                        break
                    refused += 1
                    await anyio.sleep(float(reply.headers["retry-after"]))

        with _Stopwatch() as watch:
            async with anyio.create_task_group() as workers:
                for _ in range(options.in_flight):
                    workers.start_soon(worker)
    return watch.measured(options.rows, refused=refused)


async def engine(options: Options) -> Measured:
    """Execute a whole task run through the tools, from the trigger to its end, with everything stored in a file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(store=str(Path(folder) / "bench.sqlite"), in_flight=options.in_flight)
        async with open_client(settings, {}) as client:

            async def tool(name: str, /, **arguments: Any) -> dict[str, Any]:
                spec = next(spec for spec in TOOLS if spec.name == name)
                tools = ToolSettings(call_wait_seconds_max=600)
                answer = await spec.call(
                    arguments, ToolContext(client, tools, SilentProgress(), NonInteractiveConfirm(), SystemClock())
                )
                shown: dict[str, Any] = answer.model_dump(mode="json")
                return shown

            moment = "2026-01-01T00:00:%02dZ"
            attributes = {"question": QUESTION, "answer": ANSWER}
            for start in range(0, options.rows, 1000):
                numbers = range(start, min(start + 1000, options.rows))
                rows = [{"name": "a", "start_time": moment % (n % 60), "attributes": attributes} for n in numbers]
                await tool("import_spans", project="bench", rows=rows)
            await tool("create_ai_integration", name="judge", provider="custom", base_url=options.base_url)
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
            # What a process does once (certificates, the price list: about 0.3 s) does not belong to the rows.
            await trigger(max_spans=_WARMING_ROWS)
            with _Stopwatch() as watch:
                answer = await trigger(max_spans=options.rows, override_evaluations=True)
            run = await client.task_runs.get(answer["task_run"]["run_id"])
            assert (str(run.status).lower(), run.num_successes) == ("completed", options.rows), run
            # Waiting polls; the times of the task run are exact.
            assert run.run_started_at is not None and run.run_finished_at is not None
            watch.seconds = min(watch.seconds, (run.run_finished_at - run.run_started_at).total_seconds())
            return watch.measured(options.rows)


async def watched(options: Options) -> Measured:
    """Like `engine`, including the import of the spans, with every callback of the event loop timed."""
    with watchdog() as dog:
        measured = await engine(options)
    return replace(measured, longest_block_ms=dog.longest_ms, longest_block=dog.what)


async def ragas(options: Options) -> Measured:
    from openai import AsyncOpenAI  # noqa: PLC0415  only when installed beside it
    from ragas.llms import llm_factory  # noqa: PLC0415
    from ragas.metrics import DiscreteMetric  # noqa: PLC0415

    client = AsyncOpenAI(base_url=options.base_url, api_key="none")
    metric = DiscreteMetric(name="tone", prompt=TEMPLATE, allowed_values=["polite", "rude"])
    judge = llm_factory("judge", client=client)
    places = anyio.Semaphore(options.in_flight)

    async def one() -> None:
        async with places:
            await metric.ascore(llm=judge, question=QUESTION, answer=ANSWER)

    with _Stopwatch() as watch:
        async with anyio.create_task_group() as tasks:
            for _ in range(options.rows):
                tasks.start_soon(one)
    return watch.measured(options.rows)


async def phoenix(options: Options) -> Measured:
    import pandas  # noqa: PLC0415  only when installed beside it
    from phoenix.evals import LLM, ClassificationEvaluator, async_evaluate_dataframe  # noqa: PLC0415

    judge = LLM(provider="openai", model="judge", base_url=options.base_url, api_key="none")
    evaluator = ClassificationEvaluator(
        name="tone", llm=judge, prompt_template=TEMPLATE, choices={"polite": 1.0, "rude": 0.0}
    )
    frame = pandas.DataFrame([{"question": QUESTION, "answer": ANSWER}] * options.rows)
    with _Stopwatch() as watch:
        await async_evaluate_dataframe(dataframe=frame, evaluators=[evaluator], concurrency=options.in_flight)
    return watch.measured(options.rows)


SIDES: dict[str, Callable[[Options], Awaitable[Measured]]] = {
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
    options = parser.parse_args()
    # As the command does after its imports: the garbage collector does not scan permanent objects again.
    gc.collect()
    gc.freeze()
    print(
        json.dumps(asdict(anyio.run(SIDES[options.side], Options(options.base_url, options.rows, options.in_flight))))
    )


if __name__ == "__main__":
    main()
