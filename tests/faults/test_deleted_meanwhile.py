"""Deleting anything that a task run uses ends it without a crash, and no row refers to what was deleted."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.engines import QUICK, WINDOW, EngineInTest, engine
from tests.support.judges import JudgeServer, judge_server

ROWS = 50
# Rows are read in small batches, so most of them are not in memory yet when something is deleted.
LIMITS = replace(QUICK, rows_per_fetch=5)


@dataclass
class Scene:
    """A task run with as many judge calls under way as allowed, and more pending rows."""

    it: EngineInTest
    judge: JudgeServer
    task_run: str
    paths: dict[str, str]  # what can be deleted


def orphans(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as connection:
        found = list(connection.execute("PRAGMA foreign_key_check"))
        for kind, table in (("span", "spans"), ("experiment_run", "experiment_runs")):
            found += connection.execute(
                f"SELECT * FROM evaluations WHERE row_kind = '{kind}' AND row_seq NOT IN (SELECT seq FROM {table})"
            )
        found += connection.execute("SELECT * FROM task_runs WHERE task_id NOT IN (SELECT id FROM tasks)")
        return found


@asynccontextmanager
async def spans_task(path: Path) -> AsyncIterator[Scene]:
    async with judge_server() as judge, engine(path, limits=LIMITS) as it:
        project = await it.seed_project()
        await it.seed_spans(project, ROWS)
        evaluator = await it.seed_template_evaluator(judge.base_url)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        judge.hold()
        task_run = await it.trigger(task, **WINDOW)
        await _until_under_way(judge)
        paths = {"task": f"/v2/tasks/{task}", "project": f"/v2/projects/{project}"}
        yield Scene(it, judge, task_run["id"], {**paths, "versions": f"/v2/evaluators/{evaluator}/versions"})


@asynccontextmanager
async def dataset_task(path: Path) -> AsyncIterator[Scene]:
    async with judge_server() as judge, engine(path, limits=LIMITS) as it:
        dataset = await it.seed_dataset([{"input": f"q{i}"} for i in range(ROWS)])
        experiment = await it.seed_experiment(dataset)
        evaluator = await it.seed_template_evaluator(judge.base_url, template="Is {output} right?")
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", dataset_id=dataset, experiment_ids=[experiment])
        judge.hold()
        task_run = await it.trigger(task)
        await _until_under_way(judge)
        paths = {"task": f"/v2/tasks/{task}", "dataset": f"/v2/datasets/{dataset}"}
        yield Scene(it, judge, task_run["id"], {**paths, "experiment": f"/v2/experiments/{experiment}"})


@asynccontextmanager
async def experiment_task(path: Path) -> AsyncIterator[Scene]:
    async with judge_server() as judge, engine(path, limits=LIMITS) as it:
        dataset = await it.seed_dataset([{"question": f"q{i}"} for i in range(ROWS)])
        configuration = {
            "experiment_type": "LLM_GENERATION",
            "ai_integration_id": await it.seed_ai_integration(judge.base_url),
            "messages": [{"role": "USER", "content": "Say {question}"}],
            "input_variable_format": "F_STRING",
        }
        chained = await it.seed_task(
            [await it.seed_code_evaluator()], dataset_id=dataset, experiment_ids=[await it.seed_experiment(dataset)]
        )
        body = {"name": "e", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        judge.hold()
        task_run = await it.trigger(task, experiment_name="x", evaluation_task_ids=[chained])
        await _until_under_way(judge)
        experiment = (await it.task_run(task_run["id"]))["experiment_id"]
        paths = {"task": f"/v2/tasks/{task}", "dataset": f"/v2/datasets/{dataset}"}
        paths |= {"experiment": f"/v2/experiments/{experiment}", "chained": f"/v2/tasks/{chained}"}
        yield Scene(it, judge, task_run["id"], paths)


async def _until_under_way(judge: JudgeServer) -> None:
    with anyio.fail_after(10):
        await judge.wait_for_requests(QUICK.in_flight_max)


async def after_deleting(scene: Scene, resource: str) -> dict[str, Any]:
    """Delete the resource and return the ended task run."""
    await scene.it.ask("DELETE", scene.paths[resource], status=204)
    scene.judge.release()
    return await scene.it.ended(scene.task_run)


async def delete_version_in_use(scene: Scene) -> None:
    """Delete the version after adding another, because the only version of a used evaluator cannot be deleted."""
    path = scene.paths["versions"]
    (version,) = (await scene.it.ask("GET", path))["evaluator_versions"]
    asked = ("name", "template", "include_explanations", "classification_choices")
    config = {key: version["template_config"][key] for key in asked}
    llm = version["template_config"]["llm_config"]
    config["llm_config"] = {key: llm[key] for key in ("ai_integration_id", "model_name")}
    await scene.it.ask("POST", path, {"commit_message": "second", "template_config": config})
    await scene.it.ask("DELETE", path, {"version_ids": [version["id"]]}, status=200)


@pytest.fixture(autouse=True)
def nothing_crashes(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("scene", "resource"),
    [
        (spans_task, "task"),
        (spans_task, "project"),
        (dataset_task, "task"),
        (dataset_task, "dataset"),
        (experiment_task, "task"),
        (experiment_task, "dataset"),
    ],
)
async def test_deleting_a_task_or_its_subject_deletes_its_task_runs(tmp_path: Path, scene: Any, resource: str) -> None:
    path = tmp_path / "store.db"
    async with scene(path) as at:
        await at.it.ask("DELETE", at.paths[resource], status=204)
        await at.it.idle()  # although no call has been answered yet
        await at.it.ask("GET", f"/v2/task-runs/{at.task_run}", status=404)
        assert len(at.judge.requests) == QUICK.in_flight_max
        at.judge.release()
        another = await at.it.seed_project()
        await at.it.seed_spans(another, 2)
        task = await at.it.seed_task([await at.it.seed_code_evaluator(evaluation_name="z")], project_id=another)
        assert (await at.it.finish(task, **WINDOW))["num_successes"] == 2
    assert orphans(path) == []


async def test_rows_of_a_deleted_experiment_are_errors_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with dataset_task(path) as at:
        done = await after_deleting(at, "experiment")
        reasons = {row["reason"] for row in await at.it.rows(at.task_run, outcome="error")}
    assert done["status"] in ("COMPLETED", "FAILED")
    assert done["num_successes"] + done["num_errors"] == done["num_selected"] == ROWS
    assert reasons == {"the experiment run was deleted before it was evaluated"}
    assert orphans(path) == []


async def test_deleting_the_experiment_fails_its_task_run_and_triggers_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    async with experiment_task(path) as at:
        done = await after_deleting(at, "experiment")
        chained = await at.it.ask("GET", f"{at.paths['chained']}/runs")
    assert done["status"] == "FAILED"
    assert done["failure_reason"].startswith("The experiment was deleted while its experiment runs were being made.")
    assert chained["task_runs"] == []
    assert len(at.judge.requests) < ROWS
    assert orphans(path) == []


async def test_deleted_chained_task_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with experiment_task(path) as at:
        done = await after_deleting(at, "chained")
    assert (done["status"], done["num_successes"]) == ("COMPLETED", ROWS)
    assert orphans(path) == []


async def test_deleted_version_still_judges_the_rows_selected_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with spans_task(path) as at:
        await delete_version_in_use(at)
        at.judge.release()
        done = await at.it.ended(at.task_run)
    assert (done["status"], done["num_successes"]) == ("COMPLETED", ROWS)
    assert orphans(path) == []


async def test_version_deleted_before_a_restart_fails_the_task_run_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with spans_task(path) as at:
        await delete_version_in_use(at)
    async with engine(path) as it:
        done = await it.ended(at.task_run)
    assert done["status"] == "FAILED"
    assert done["failure_reason"].startswith("An evaluator version of this task run was deleted while it was running.")
    assert orphans(path) == []
