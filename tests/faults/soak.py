"""Soak test: two processes work on one store and are killed with SIGKILL repeatedly, at random moments.

    python -m tests.faults.soak --seed 1 --kills 200

A third process, this one, makes random requests (evaluations of spans, traces and experiment runs, experiments with a
chained evaluation, new spans for continuous tasks, cancels, deletes) and serves the judge. In the end no row may be
missing, no recorded row may have been judged again, and no count may differ from its ledger. The requests and the times
of the kills depend on the seed; the rest depends on the machine.

The judge numbers its answers and the number is in the explanation, so every recorded row shows which answer it has: an
answer on two rows, or a call for a row after it was recorded, is found.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.contradictions import contradictions
from tests.support.engines import ENDS, WINDOW, EngineInTest, engine
from tests.support.groups import mapped, put, seed_group_task, span
from tests.support.judges import Answer, JudgeServer, SeenRequest, judge_server, label_for

ROOT = Path(__file__).resolve().parents[2]
IDLE = ExecutorLimits(task_runs_max=0, poll_seconds=0.5, continuous_seconds=0.2)
LEASE_SECONDS = 0.8
IN_FLIGHT = 10
SPANS = 40
_SERIAL = re.compile(r"serial (\d+)")


class NumberedJudge:
    """A judge that numbers its answers, and records the calls with their times."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.prompt_of: dict[int, str] = {}
        self.asked_at: dict[str, list[float]] = {}

    def __call__(self, request: SeenRequest) -> Answer:
        number, prompt, body = next(self._numbers), request.first_prompt, request.body
        self.prompt_of[number] = prompt
        self.asked_at.setdefault(prompt, []).append(time.time())
        if "tools" not in body:
            return Answer.text(f"serial {number}")
        function = body["tools"][0]["function"]
        properties = function["parameters"]["properties"]
        made = {
            name: label_for(prompt, one["enum"]) if "enum" in one else f"serial {number}"
            for name, one in properties.items()
        }
        return Answer.tool_call(json.dumps(made), function["name"])


@dataclass
class Asked:
    """A task that was triggered, and how many rows a task run of it must have."""

    task: str
    rows: int
    is_judged: bool = True
    num_runs: int | None = 1  # None: any number, for a continuous task


@dataclass
class Soak:
    it: EngineInTest
    judge: JudgeServer
    random: Random
    projects: list[str] = field(default_factory=list)
    dataset: str = ""
    experiment: str = ""
    streams: dict[str, str] = field(default_factory=dict)  # project by continuous task
    streamed: Counter[str] = field(default_factory=Counter)  # spans sent, by continuous task
    asked: list[Asked] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    experiments: set[str] = field(default_factory=set)  # tasks that run an experiment and a task chained to it
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def prepare(self) -> None:
        for _ in range(3):
            project = await self.it.seed_project()
            await self.it.seed_spans(project, SPANS)
            spans = [
                span(f"g{n}", n + at, f"said {n} {at}", kind="AGENT") for n in range(SPANS // 2) for at in (0, 0.5)
            ]
            await put(self.it, project, spans)
            self.projects.append(project)
        self.dataset = await self.it.seed_dataset([{"question": f"q{i}"} for i in range(SPANS)])
        self.experiment = await self.it.seed_experiment(self.dataset)
        for _ in range(2):
            project = await self.it.seed_project()
            evaluator = await self._evaluator("Is {output} an answer to {input}?")
            task = await self.it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project, is_continuous=True)
            self.streams[task] = project
            self.asked.append(Asked(task, 0, num_runs=None))

    async def _evaluator(self, template: str, **options: str) -> str:
        # No two tasks send the same prompt.
        template = f"Number {next(self._numbers)}. {template}"
        return await self.it.seed_template_evaluator(self.judge.base_url, template=template, **options)

    # --- requests ----------------------------------------------------------------------------------------

    async def evaluate_spans(self) -> None:
        evaluator = await self._evaluator("Is {output} an answer to {input}?")
        task = await self.it.seed_task(
            [evaluator],
            "TEMPLATE_EVALUATION",
            project_id=self.random.choice(self.projects),
            query_filter="span_kind = 'LLM'",
        )
        await self.it.trigger(task, override_evaluations=True, **WINDOW)
        self.asked.append(Asked(task, SPANS))

    async def evaluate_traces(self) -> None:
        evaluator = await self._evaluator("Is {said} well?", granularity="TRACE")
        task = await seed_group_task(
            self.it,
            self.random.choice(self.projects),
            [mapped(evaluator, ("said", "attributes.output.value"))],
            name=f"traces {next(self._numbers)}",
            query_filters={"filters": [{"id": "A", "filter": "span_kind = 'AGENT'"}]},
        )
        await self.it.trigger(task, override_evaluations=True, **WINDOW)
        self.asked.append(Asked(task, SPANS // 2))

    async def evaluate_by_code(self) -> None:
        evaluators = [await self.it.seed_code_evaluator(evaluation_name=name) for name in ("a", "b")]
        task = await self.it.seed_task(
            evaluators, project_id=self.random.choice(self.projects), query_filter="span_kind = 'LLM'"
        )
        await self.it.trigger(task, override_evaluations=True, **WINDOW)
        self.asked.append(Asked(task, 2 * SPANS, is_judged=False))

    async def evaluate_experiment_runs(self) -> None:
        evaluator = await self._evaluator("Is {output} right?")
        task = await self.it.seed_task(
            [evaluator], "TEMPLATE_EVALUATION", dataset_id=self.dataset, experiment_ids=[self.experiment]
        )
        await self.it.trigger(task, override_evaluations=True)
        self.asked.append(Asked(task, SPANS))

    async def run_experiment(self) -> None:
        number = next(self._numbers)
        chained = await self.it.seed_task(
            [await self.it.seed_code_evaluator()], dataset_id=self.dataset, experiment_ids=[self.experiment]
        )
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": await self.it.seed_ai_integration(self.judge.base_url),
            "messages": [{"role": "USER", "content": f"Number {number}. Say {{question}}"}],
            "input_variable_format": "F_STRING",
        }
        body = {"name": f"e{number}", "type": "RUN_EXPERIMENT", "dataset_id": self.dataset}
        task = (await self.it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}))["id"]
        await self.it.trigger(task, experiment_name=f"x{number}", evaluation_task_ids=[chained])
        self.experiments.add(task)
        self.asked += [Asked(task, SPANS), Asked(chained, SPANS, is_judged=False)]

    async def send_spans(self) -> None:
        task = self.random.choice(list(self.streams))
        n = self.random.randint(1, 30)
        await self.it.seed_spans(self.streams[task], n, first=self.streamed[task])
        self.streamed[task] += n

    async def cancel_one(self) -> None:
        unfinished = [run for run in await self._runs() if run["status"] not in ENDS]
        # A chain whose first task run is cancelled has no second; rows that continuous tasks leave out stay out.
        chained = {one.task for one in self.asked if not one.is_judged}
        kept = chained | self.experiments | self.streams.keys()
        plain = [run for run in unfinished if run["task_id"] not in kept]
        if not plain:
            return
        run = self.random.choice(plain)
        # It may have ended in the meantime.
        reply = await self.it.http.post(f"/v2/task-runs/{run['id']}/cancel")
        if reply.status_code == 200:
            self.cancelled.add(run["task_id"])

    async def delete_one(self) -> None:
        plain = (one for one in self.asked if one.is_judged and one.num_runs is not None)
        candidates = [one for one in plain if one.task not in self.experiments]
        if not candidates:
            return
        gone = self.random.choice(candidates)
        await self.it.ask("DELETE", f"/v2/tasks/{gone.task}", status=204)
        self.asked.remove(gone)

    async def ask_for_something(self) -> None:
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self.evaluate_spans),
            (2, self.evaluate_traces),
            (1, self.evaluate_by_code),
            (2, self.evaluate_experiment_runs),
            (2, self.run_experiment),
            (5, self.send_spans),
            (1, self.cancel_one),
            (1, self.delete_one),
        ]
        weights, choices = zip(*actions, strict=True)
        await self.random.choices(choices, weights)[0]()

    async def _runs(self) -> list[dict[str, Any]]:
        return [
            run for one in self.asked for run in (await self.it.ask("GET", f"/v2/tasks/{one.task}/runs"))["task_runs"]
        ]

    # --- the end --------------------------------------------------------------------------------------------------

    async def until_all_is_done(self, at_most_seconds: float) -> None:
        with anyio.fail_after(at_most_seconds):
            while True:
                runs = await self._runs()
                taken = Counter[str]()
                for run in runs:
                    taken[run["task_id"]] += run["num_selected"] or 0
                streams_done = all(taken[task] >= sent for task, sent in self.streamed.items())
                chains_done = len(runs) >= sum(one.num_runs or 0 for one in self.asked)
                if streams_done and chains_done and all(run["status"] in ENDS for run in runs):
                    return
                await anyio.sleep(0.1)

    async def problems(self, judge: NumberedJudge) -> list[str]:
        """Return all violations."""
        found: list[str] = []
        kept: Counter[int] = Counter()
        for one in self.asked:
            runs = (await self.it.ask("GET", f"/v2/tasks/{one.task}/runs"))["task_runs"]
            if one.num_runs is not None and len(runs) != one.num_runs:
                found.append(f"task {one.task} has {len(runs)} task runs")
            rows: list[str] = []
            for run in runs:
                lines = await self.it.rows(run["id"])
                done = [line for line in lines if line["outcome"] == "SUCCESS"]
                found += self._count_problems(run, one, lines)
                rows += [line["row_id"] for line in lines]
                if one.is_judged:
                    kept.update(_serial(line) for line in done)
                    found += [issue for line in done for issue in _asked_again(judge, line)]
            if one.num_runs is None:
                wanted = Counter({f"span-{i:05d}": 1 for i in range(self.streamed[one.task])})
                if Counter(rows) != wanted:
                    found.append(f"the continuous task {one.task} took {len(rows)} of {wanted.total()} spans")
        found += [f"answer {number} is on {n} lines" for number, n in kept.items() if n > 1]
        found += [f"answer {number} was never given" for number in kept if number not in judge.prompt_of]
        return found

    def _count_problems(self, run: dict[str, Any], one: Asked, lines: list[dict[str, Any]]) -> list[str]:
        counted = (run["num_successes"], run["num_errors"], run["num_skipped"])
        outcomes = Counter(line["outcome"] for line in lines)
        found = []
        if counted != (outcomes["SUCCESS"], outcomes["ERROR"], outcomes["SKIPPED"]):
            found.append(f"task run {run['id']} counts {counted}, its ledger {dict(outcomes)}")
        may_end = {"COMPLETED", "CANCELLED"} if one.task in self.cancelled else {"COMPLETED"}
        if run["status"] not in may_end:
            found.append(f"task run {run['id']} is {run['status']}: {run['failure_reason']}")
        if run["status"] == "COMPLETED" and run["num_successes"] != len(lines):
            found.append(f"task run {run['id']} did {run['num_successes']} of {len(lines)}: {dict(outcomes)}")
        if one.num_runs is not None and run["status"] == "COMPLETED" and len(lines) != one.rows:
            found.append(f"task run {run['id']} has {len(lines)} lines instead of {one.rows}")
        return found


def _serial(line: dict[str, Any]) -> int:
    match = _SERIAL.search(line["explanation"] or "")
    return int(match[1]) if match else 0


def _asked_again(judge: NumberedJudge, line: dict[str, Any]) -> list[str]:
    recorded_at = datetime.fromisoformat(line["recorded_at"]).timestamp()
    prompt = judge.prompt_of.get(_serial(line), "")
    later = [at - recorded_at for at in judge.asked_at.get(prompt, ()) if at > recorded_at + 0.001]
    return [f"'{prompt[:40]}' was judged again {later[0]:.3f} s after it was recorded"] if later else []


class Nursery:
    """Engines as processes of their own, forked from one that has everything imported."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._to, self._from = process.stdin, BufferedByteReceiveStream(process.stdout)
        self._turn = anyio.Lock()
        self._open: dict[int, anyio.Event] = {}

    @classmethod
    @asynccontextmanager
    async def on(cls, path: Path) -> AsyncIterator[Nursery]:
        """Yield; all engines are killed at the end of the block."""
        command = [sys.executable, "-m", "tests.support.engine_process", str(path), "--nursery"]
        command += ["--lease-seconds", str(LEASE_SECONDS), "--in-flight", str(IN_FLIGHT)]
        async with await anyio.open_process(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=None) as process:
            nursery = cls(process)
            with anyio.fail_after(60):
                assert await nursery._line() == ["ready"]
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(nursery._listen)
                    yield nursery
                    group.cancel_scope.cancel()
            finally:
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()

    async def _line(self) -> list[str]:
        return (await self._from.receive_until(b"\n", 1000)).decode().split()

    async def _listen(self) -> None:
        while True:
            word, pid = await self._line()
            if word == "born":
                self._open[int(pid)] = anyio.Event()
                self._born.set_result(int(pid))
            else:
                self._open[int(pid)].set()

    async def bear(self) -> int:
        """Start an engine and return its process id while it opens the store."""
        async with self._turn:
            self._born: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            await self._to.send(b"\n")
            with anyio.fail_after(60):
                return await self._born

    async def until_open(self, pid: int) -> None:
        with anyio.fail_after(60):
            await self._open[pid].wait()


async def _be_killed(nursery: Nursery, random: Random, left: list[int]) -> None:
    """Kill an engine and start a new one."""
    while left[0] > 0:
        left[0] -= 1
        pid = await nursery.bear()
        if random.random() < 0.1:
            await anyio.sleep(random.uniform(0, 0.1))  # while it opens, or just after
        else:
            await nursery.until_open(pid)
            await anyio.sleep(random.uniform(0, 0.8))
        os.kill(pid, signal.SIGKILL)


async def soak(path: Path, seed: int, kills: int, at_most_seconds: float) -> tuple[list[str], str]:
    """Return the violations and a summary of the run."""
    judge, began = NumberedJudge(), time.monotonic()
    async with (
        judge_server(latency_seconds=0.005, script=judge) as server,
        engine(path, limits=IDLE) as it,
        Nursery.on(path) as nursery,
    ):
        at = Soak(it, server, Random(seed))
        await at.prepare()
        left = [kills]
        with anyio.fail_after(at_most_seconds):
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    while True:
                        await at.ask_for_something()
                        await anyio.sleep(at.random.uniform(0, 0.3))

                async def kill_both() -> None:
                    async with anyio.create_task_group() as killers:
                        for nth in range(2):
                            killers.start_soon(_be_killed, nursery, Random(f"{seed}/{nth}"), left)
                    group.cancel_scope.cancel()

                group.start_soon(ask)
                group.start_soon(kill_both)
            for _ in range(2):
                await nursery.bear()
            await at.until_all_is_done(at_most_seconds)
        found = [*await at.problems(judge), *contradictions(path)]
        runs = await at._runs()
    on_record = sum(run["num_successes"] for run in runs)
    said = (
        f"seed {seed}: {kills} kills in {time.monotonic() - began:.0f} s; {len(runs)} task runs, {on_record} lines on "
        f"record, {len(judge.prompt_of)} calls of judges for {len(judge.asked_at)} prompts, {len(found)} problems"
    )
    return found, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-most-seconds", type=float, default=3600)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        found, said = anyio.run(soak, path, given.seed, given.kills, given.at_most_seconds)
    sys.stdout.write("\n".join([*found[:50], said, ""]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
