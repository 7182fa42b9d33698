"""A process that dies at any commit, before or after it, costs nothing but the calls then under way.

The workload is run once undisturbed to count its commits. Then for each commit, the engine is killed right before and
right after it, the same file is opened again, and the end must equal the undisturbed end.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.judges import JudgeServer, judge_server

# Small batches and few places, so that a task run takes many commits. A dead owner's lease is over at once.
LIMITS = ExecutorLimits(in_flight_max=2, rows_per_fetch=3, poll_seconds=0.01, lease_seconds=0.0)
IDLE = ExecutorLimits(task_runs_max=0)
SPANS = 8
Moment = Literal["before", "after"]


class Dead(BaseException):
    """The process is gone; whatever still tries to commit gets this."""


class Killer:
    """Dies at the given commit, counted from the moment it is armed; from then on nothing is committed."""

    def __init__(self, at: int | None, moment: Moment) -> None:
        self._at = at
        self._moment = moment
        self.commits = 0
        self.is_armed = False
        self.died = anyio.Event()
        self._is_dead = False

    def __call__(self, moment: Moment) -> None:
        if self._is_dead:
            raise Dead
        if not self.is_armed:
            return
        self.commits += moment == "before"
        if self.commits == self._at and moment == self._moment:
            self._is_dead = True
            anyio.from_thread.run_sync(self.died.set)
            raise Dead


@dataclass(frozen=True)
class Tasks:
    """An evaluation task over spans, and a run_experiment task that sets off an evaluation task."""

    spans: str
    experiment: str
    chained: str

    @property
    def all(self) -> tuple[str, ...]:
        return self.spans, self.experiment, self.chained


async def prepare(path: Path, judge: JudgeServer) -> Tasks:
    async with engine(path, limits=LIMITS) as it:
        project = await it.seed_project()
        await it.seed_spans(project, SPANS)
        template = await it.seed_template_evaluator(judge.base_url)
        spans_task = await it.seed_task([template], "TEMPLATE_EVALUATION", project_id=project)
        dataset = await it.seed_dataset([{"question": f"q{i}"} for i in range(4)])
        chained = await it.seed_task(
            [await it.seed_code_evaluator()],
            dataset_id=dataset,
            experiment_ids=[await it.seed_experiment(dataset)],
        )
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": await it.seed_ai_integration(judge.base_url),
            "messages": [{"role": "USER", "content": "Say {question}"}],
            "input_variable_format": "F_STRING",
        }
        body = {"name": "e", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        made = await it.ask("POST", "/v2/tasks", body)
        return Tasks(spans_task, made["id"], chained)


async def work_to_the_end(it: EngineInTest, tasks: Tasks) -> Any:
    """What a client does that got no answer: look, and trigger what is not there. Then everything that came of it,
    without ids and times."""
    await _trigger_once(it, tasks.spans, WINDOW)
    await _trigger_once(it, tasks.experiment, {"experiment_name": "x", "evaluation_task_ids": [tasks.chained]})
    task_runs = []
    for task in tasks.all:
        (task_run,) = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        task_runs.append(await it.ended(task_run["id"]))
    kept = ("evaluation_name", "outcome", "label", "score", "explanation", "reason")
    rows = [sorted(str([row[key] for key in kept]) for row in await it.rows(one["id"])) for one in task_runs]
    counts = [
        {key: one[key] for key in one if key.startswith("num_") or key in ("status", "failure_reason")}
        for one in task_runs
    ]
    page = await it.ask("GET", f"/v2/experiments/{task_runs[1]['experiment_id']}/runs", limit=500)
    outputs = sorted(str([run["output"], run.get("eval.is_answer.label")]) for run in page["experiment_runs"])
    named = [one["name"] for one in (await it.ask("GET", "/v2/experiments"))["experiments"]]
    return counts, rows, outputs, sorted(named)


async def _trigger_once(it: EngineInTest, task: str, body: dict[str, Any]) -> None:
    if not (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]:
        await it.trigger(task, **body)


async def killed(path: Path, tasks: Tasks, killer: Killer) -> None:
    """Work until the killer strikes; or to the end, because commits gather differently each time."""

    async def work(it: EngineInTest, group: anyio.abc.TaskGroup) -> None:
        await work_to_the_end(it, tasks)
        group.cancel_scope.cancel()

    try:
        with anyio.fail_after(20):
            async with engine(path, limits=LIMITS, on_commit=killer) as it, anyio.create_task_group() as group:
                killer.is_armed = True
                group.start_soon(work, it, group)
                await killer.died.wait()
                group.cancel_scope.cancel()
    except Dead:
        pass
    except BaseExceptionGroup as deaths:
        others = deaths.split(Dead)[1]
        if others is not None:
            raise others from None


async def prompts_on_record(path: Path, task: str) -> set[str]:
    """The prompts of the rows that have their outcome."""
    async with engine(path, limits=IDLE) as it:
        task_runs = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        rows = [row for one in task_runs for row in await it.rows(one["id"], outcome="success")]
    numbers = [int(row["row_id"].removeprefix("span-")) for row in rows]
    return {f"Is answer {n} an answer to question {n}?" for n in numbers}


@pytest.mark.promise("record.at_once", "select.resumed", "survive.finished", "survive.recorded")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_any_commit_the_end_is_the_same_and_no_recorded_row_is_judged_again(
    tmp_path: Path, moment: Moment
) -> None:
    seed = tmp_path / "seed.db"
    async with judge_server() as judge:
        tasks = await prepare(seed, judge)
        shutil.copy(seed, tmp_path / "undisturbed.db")
        counter = Killer(None, "before")
        async with engine(tmp_path / "undisturbed.db", limits=LIMITS, on_commit=counter) as it:
            counter.is_armed = True
            expected = await work_to_the_end(it, tasks)
        assert counter.commits > SPANS / 2
        for at in range(1, counter.commits + 1):
            path = tmp_path / f"{at}.db"
            shutil.copy(seed, path)
            await killed(path, tasks, Killer(at, moment))
            on_record = await prompts_on_record(path, tasks.spans)
            asked = dict(judge.num_by_prompt)
            async with engine(path, limits=LIMITS) as it:
                assert await work_to_the_end(it, tasks) == expected, f"killed {moment} commit {at}"
            again = {prompt for prompt, n in judge.num_by_prompt.items() if n > asked.get(prompt, 0)}
            assert not on_record & again, f"killed {moment} commit {at}"
