"""A workload for crash tests and soak tests: one part for each kind of task run.

A new kind is a function that prepares it, and one line in PARTS.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from tests.support.custom_code import custom_config
from tests.support.engines import ENDS, WINDOW, EngineInTest
from tests.support.groups import mapped, put, seed_group_task, span
from tests.support.judges import JudgeServer

ROWS = 4
Request = Callable[[EngineInTest], Awaitable[None]]


@dataclass(frozen=True)
class Part:
    """A request and its expected result. The request is sent again if there was no response."""

    request: Request
    tasks: Mapping[str, int]  # by task, how many rows its task runs have in the end
    asking: frozenset[str]  # the tasks whose rows call a judge once each


async def trigger_once(it: EngineInTest, task: str, body: Mapping[str, Any]) -> None:
    if not (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]:
        await it.trigger(task, **body)


def _triggered(task: str, body: Mapping[str, Any], rows: int, *, asks: bool, **others: int) -> Part:
    async def request(it: EngineInTest) -> None:
        await trigger_once(it, task, body)

    return Part(request, {task: rows, **others}, frozenset({task} if asks else ()))


async def judged_spans(it: EngineInTest, judge: JudgeServer) -> Part:
    project = await it.seed_project()
    await it.seed_spans(project, ROWS)
    evaluator = await it.seed_template_evaluator(judge.base_url)
    task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
    return _triggered(task, WINDOW, ROWS, asks=True)


async def coded_spans(it: EngineInTest, judge: JudgeServer) -> Part:
    """Seed two evaluators on each span."""
    project = await it.seed_project()
    await it.seed_spans(project, ROWS)
    evaluators = [await it.seed_code_evaluator(evaluation_name=name) for name in ("one", "two")]
    task = await it.seed_task(evaluators, project_id=project)
    return _triggered(task, WINDOW, 2 * ROWS, asks=False)


async def custom_coded_spans(it: EngineInTest, judge: JudgeServer) -> Part:
    project = await it.seed_project()
    await it.seed_spans(project, ROWS)
    code = custom_config().model_dump(mode="json", exclude_none=True)
    version = {"commit_message": "first", "code_config": code}
    body = {"space_id": await it.space_id(), "name": "custom", "type": "CODE", "version": version}
    evaluator = (await it.ask("POST", "/v2/evaluators", body))["id"]
    return _triggered(await it.seed_task([evaluator], project_id=project), WINDOW, ROWS, asks=False)


def judged_groups(granularity: str) -> Callable[[EngineInTest, JudgeServer], Awaitable[Part]]:
    async def prepare(it: EngineInTest, judge: JudgeServer) -> Part:
        project = await it.seed_project()
        spans = [
            span(f"t{nth}", 10 * nth + at, f"out {nth} {at}", session=f"s{nth}", input="question")
            for nth in range(ROWS)
            for at in range(3)
        ]
        await put(it, project, spans)
        evaluator = await it.seed_template_evaluator(
            judge.base_url, template="Is {said} well?", granularity=granularity
        )
        task = await seed_group_task(it, project, [mapped(evaluator, ("said", "attributes.output.value"))])
        return _triggered(task, WINDOW, ROWS, asks=True)

    return prepare


async def judged_experiment_runs(it: EngineInTest, judge: JudgeServer) -> Part:
    dataset = await it.seed_dataset([{"question": f"q{i}"} for i in range(ROWS)])
    experiment = await it.seed_experiment(dataset)
    evaluator = await it.seed_template_evaluator(judge.base_url, template="Is {output} right?")
    task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", dataset_id=dataset, experiment_ids=[experiment])
    return _triggered(task, {}, ROWS, asks=True)


async def generation(it: EngineInTest, judge: JudgeServer) -> dict[str, Any]:
    return {
        "experiment_type": "LLM_GENERATION",
        "ai_integration_id": await it.seed_ai_integration(judge.base_url),
        "messages": [{"role": "USER", "content": "Say {question}"}],
        "input_variable_format": "F_STRING",
    }


async def example_judging(it: EngineInTest, judge: JudgeServer) -> dict[str, Any]:
    return {
        "experiment_type": "TEMPLATE_EVALUATION",
        "ai_integration_id": await it.seed_ai_integration(judge.base_url),
        "template": "Judge {{ question }}",
        "classification_choices": {"good": 1.0, "bad": 0.0},
        "provide_explanation": True,
    }


async def agent_calls(it: EngineInTest, judge: JudgeServer) -> dict[str, Any]:
    config = {"endpoint": judge.base_url.replace("/v1", "/ask"), "output_path": "choices[0].message.content"}
    agent = await it.ask("POST", "/v2/integrations", {"type": "AGENT", "name": "agent", "config": config})
    template = {"question": "{{question}}"}
    return {"experiment_type": "AGENT_CALL", "integration_id": agent["id"], "input_template": template}


def experiment(
    configuration_for: Callable[[EngineInTest, JudgeServer], Awaitable[dict[str, Any]]],
) -> Callable[[EngineInTest, JudgeServer], Awaitable[Part]]:
    """Seed a run_experiment task and a chained evaluation task."""

    async def prepare(it: EngineInTest, judge: JudgeServer) -> Part:
        dataset = await it.seed_dataset([{"question": f"q{i}"} for i in range(ROWS)])
        old = await it.seed_experiment(dataset)
        chained = await it.seed_task([await it.seed_code_evaluator()], dataset_id=dataset, experiment_ids=[old])
        configuration = await configuration_for(it, judge)
        body = {"name": "e", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        trigger = {"experiment_name": "x", "evaluation_task_ids": [chained]}
        return _triggered(task, trigger, ROWS, asks=True, **{chained: ROWS})

    return prepare


async def continuous(it: EngineInTest, judge: JudgeServer) -> Part:
    project = await it.seed_project()
    evaluator = await it.seed_template_evaluator(judge.base_url)
    task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project, is_continuous=True)

    async def request(it: EngineInTest) -> None:
        for first in (0, 10):
            await it.seed_spans(project, ROWS // 2, first=first)  # a span sent again is not a new span

    return Part(request, {task: ROWS}, frozenset({task}))


PARTS: dict[str, Callable[[EngineInTest, JudgeServer], Awaitable[Part]]] = {
    "spans by a judge": judged_spans,
    "spans by code": coded_spans,
    "spans by custom code": custom_coded_spans,
    "traces": judged_groups("TRACE"),
    "sessions": judged_groups("SESSION"),
    "experiment runs": judged_experiment_runs,
    "experiment: generation, chained": experiment(generation),
    "experiment: judging, chained": experiment(example_judging),
    "experiment: agent, chained": experiment(agent_calls),
    "continuous": continuous,
}


async def run_part_to_end(it: EngineInTest, part: Part, at_most_seconds: float = 20) -> dict[str, Any]:
    """Send the request of a part and wait for its results; return everything except ids and times."""
    await part.request(it)
    with anyio.fail_after(at_most_seconds):
        return {str(nth): await _ended(it, task, rows) for nth, (task, rows) in enumerate(part.tasks.items())}


async def _ended(it: EngineInTest, task: str, rows: int) -> dict[str, Any]:
    """Return the results of a task. A continuous task may have made any number of task runs."""
    kept = ("evaluation_name", "outcome", "label", "score", "explanation", "reason")
    while True:
        runs = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        if sum(run["num_selected"] or 0 for run in runs) >= rows and all(run["status"] in ENDS for run in runs):
            break
        await anyio.sleep(0.01)  # a poll, as in every client; the caller sets the timeout
    lines = [line for run in runs for line in await it.rows(run["id"])]
    return {
        "ends": {(run["status"], run["failure_reason"]) for run in runs},
        "counts": {key: sum(run[key] for run in runs) for key in ("num_successes", "num_errors", "num_skipped")},
        "rows": Counter(str([line[key] for key in kept]) for line in lines),
    }


def num_judge_answers(path: Path, part: Part) -> int:
    """Count the judges' answers in a store file that no engine has open."""
    query = """
        SELECT count(*) FROM task_run_rows AS l
        JOIN task_runs AS r ON r.seq = l.task_run_seq JOIN json_each(?) AS asking ON asking.value = r.task_id
        WHERE l.outcome = 'SUCCESS'"""
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute(query, (json.dumps(sorted(part.asking)),)).fetchone()[0]
        return count
