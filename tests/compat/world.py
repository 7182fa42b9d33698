"""The world of the rows: an engine on a port, judges behind it, and one resource of every kind.

Each client changes and deletes its own resources (`…_for_ax`, `…_for_arize`, `…_for_npm`), so that order does not
matter.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2

from tests.compat.rows import CLIENTS, KEY
from tests.support.judges import JudgeServer, judge_server

_MANAGED = {
    "type": "MANAGED", "name": "is_answer", "managed_evaluator": "MATCHES_REGEX", "variables": ["output"],
    "static_params": [{"name": "pattern", "type": "REGEX", "default_value": "answer"}],
}  # fmt: skip


_UNDER_WAY = frozenset({"PENDING", "RUNNING"})


@asynccontextmanager
async def opened(python: str, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run an engine with a new store in `folder` and seed the world."""
    async with (
        judge_server() as judge,
        judge_server() as held_judge,
        _engine(python, folder) as address,
        httpx2.AsyncClient(base_url=address, timeout=30, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        held_judge.hold()
        world = await _Seeding(http).world(judge, held_judge)
        yield {**world, "address": address, "authority": address.removeprefix("http://"), "folder": str(folder)}
        held_judge.release()


@asynccontextmanager
async def _engine(python: str, folder: Path) -> AsyncIterator[str]:
    command = [python, "-m", "evaltasks", "engine", "--port", "0", "--store", str(folder / "store.db")]
    environment = {**os.environ, "HOME": str(folder), "EVALTASKS_ENGINE_KEY": KEY}
    async with await anyio.open_process(command, stderr=None, env=environment) as engine:
        assert engine.stdout is not None
        try:
            with anyio.fail_after(60):
                address = (await engine.stdout.receive()).decode().strip()
            yield address
        finally:
            engine.terminate()


def seen_by(client: str, world: dict[str, str]) -> dict[str, str]:
    """Return the world with the resources of this client under short names."""
    own = {name.removesuffix(f"_for_{client}"): id_ for name, id_ in world.items() if name.endswith(f"_for_{client}")}
    return {**{name: id_ for name, id_ in world.items() if "_for_" not in name}, **own, "client": client}


class _Seeding:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        reply = await self._http.request(method, path, json=body)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    async def _make(self, path: str, **body: object) -> str:
        return str((await self._ask("POST", path, body))["id"])

    async def world(self, judge: JudgeServer, held_judge: JudgeServer) -> dict[str, str]:
        organization = (await self._ask("GET", "/v2/organizations"))["organizations"][0]["id"]
        space = await self._make("/v2/spaces", name="compat")
        await self._make("/v2/spaces", name="Compat annex")
        self.space = space
        project = await self._make("/v2/projects", name="chat", space_id=space)
        await self._make("/v2/projects", name="chat two", space_id=space)
        await self._spans(project)
        dataset, examples = await self._dataset("gold")
        other_dataset, other_examples = await self._dataset("silver")
        experiment = await self._experiment("baseline", dataset, examples)
        await self._experiment("baseline", other_dataset, other_examples)
        runs = (await self._ask("GET", f"/v2/experiments/{experiment}/runs"))["experiment_runs"]
        integration = await self._integration("local", judge.base_url)
        held_integration = await self._integration("held", held_judge.base_url)
        code = await self._evaluator("matches", "CODE", code_config=_MANAGED)
        template = await self._evaluator("correct", "TEMPLATE", template_config=_template(integration))
        held = await self._evaluator("held", "TEMPLATE", template_config=_template(held_integration))
        version = (await self._ask("GET", f"/v2/evaluators/{template}"))["version"]["id"]
        await self._make(
            "/v2/annotation-configs", name="tone", space_id=space, annotation_config_type="CATEGORICAL",
            values=[{"label": "good", "score": 1}, {"label": "bad", "score": 0}],
        )  # fmt: skip
        start = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
        end = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        world = {
            "organization_id": organization, "space_id": space, "space": "compat", "project_id": project,
            "dataset_id": dataset, "experiment_id": experiment, "example_id": examples[0],
            "experiment_run_id": runs[0]["id"], "ai_integration_id": integration, "evaluator_id": code,
            "template_evaluator_id": template, "evaluator_version_id": version, "start": start, "end": end,
            "dataset_version_id": (await self._ask("GET", f"/v2/datasets/{dataset}"))["versions"][0]["id"],
        }  # fmt: skip
        project_task = await self._task("on spans", "CODE_EVALUATION", code, project_id=project)
        world["task_id"] = project_task
        world["dataset_task_id"] = await self._task(
            "on experiments", "TEMPLATE_EVALUATION", template, dataset_id=dataset, experiment_ids=[experiment]
        )
        world["run_experiment_task_id"] = await self._make(
            "/v2/tasks", name="summaries", type="RUN_EXPERIMENT", dataset_id=dataset,
            run_configuration={
                "experiment_type": "LLM_GENERATION", "ai_integration_id": integration, "model_name": "judge",
                "messages": [{"role": "USER", "content": "{{question}}"}], "input_variable_format": "MUSTACHE",
            },
        )  # fmt: skip
        world["held_task_id"] = await self._task("waits", "TEMPLATE_EVALUATION", held, project_id=project)
        window = {"data_start_time": start, "data_end_time": end}
        world["task_run_id"] = await self._make(f"/v2/tasks/{project_task}/trigger", **window)
        world["held_task_run_id"] = await self._make(
            f"/v2/tasks/{world['held_task_id']}/trigger", **window, max_spans=1
        )
        for client in CLIENTS:
            world |= await self._own(client, world, code, integration)
        await self._until_over(world["task_run_id"])
        return world

    async def _own(self, client: str, world: dict[str, str], code: str, integration: str) -> dict[str, str]:
        """Seed what the rows of this client may change (`mine`) and delete (`spare`)."""
        made: dict[str, str] = {}
        window = {"data_start_time": world["start"], "data_end_time": world["end"], "max_spans": 1}
        for use in ("mine", "spare"):
            name = f"{use} for {client}"
            dataset, examples = await self._dataset(name)
            made |= {
                f"{use}_space_id": await self._make("/v2/spaces", name=name),
                f"{use}_project_id": await self._make("/v2/projects", name=name, space_id=self.space),
                f"{use}_dataset_id": dataset,
                f"{use}_example_id": examples[0],
                f"{use}_dataset_version_id": (await self._ask("GET", f"/v2/datasets/{dataset}"))["versions"][0]["id"],
                f"{use}_experiment_id": await self._experiment(name, world["dataset_id"], [world["example_id"]]),
                f"{use}_evaluator_id": await self._evaluator(name, "CODE", code_config=_MANAGED),
                f"{use}_ai_integration_id": await self._integration(name, "http://127.0.0.1:9/v1"),
                f"{use}_annotation_config_id": await self._make(
                    "/v2/annotation-configs", name=name, space_id=self.space, annotation_config_type="FREEFORM"
                ),
                f"{use}_task_id": await self._task(name, "CODE_EVALUATION", code, project_id=world["project_id"]),
            }
        made["spare_dataset_2_id"], _ = await self._dataset(f"also spare for {client}")
        made["mine_experiment_task_id"] = await self._make(
            "/v2/tasks", name=f"summaries of {client}", type="RUN_EXPERIMENT", dataset_id=world["dataset_id"],
            run_configuration={
                "experiment_type": "LLM_GENERATION", "ai_integration_id": integration, "model_name": "judge",
                "messages": [{"role": "USER", "content": "{{question}}"}], "input_variable_format": "MUSTACHE",
            },
        )  # fmt: skip
        for name in ("spare_task_run_id", "spare_task_run_2_id"):
            made[name] = await self._make(f"/v2/tasks/{world['held_task_id']}/trigger", **window)
        return {f"{name}_for_{client}": value for name, value in made.items()}

    async def _spans(self, project: str) -> None:
        now = datetime.now(UTC)
        spans = [
            {
                "trace_id": f"trace-{i // 2}", "span_id": f"span-{i}", "parent_id": f"span-{i - 1}" if i % 2 else None,
                "name": "llm call", "kind": "LLM", "status_code": "OK",
                "start_time": (now - timedelta(hours=1, seconds=-i)).isoformat(),
                "end_time": (now - timedelta(hours=1, seconds=-i - 1)).isoformat(),
                "attributes": {"input.value": f"question {i}", "output.value": f"answer {i}", "session.id": "talk"},
            }
            for i in range(8)
        ]  # fmt: skip
        spare = [{**spans[0], "trace_id": f"spare-{client}", "span_id": f"spare-{client}"} for client in CLIENTS]
        await self._ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": spans + spare})

    async def _dataset(self, name: str) -> tuple[str, list[str]]:
        rows = [{"question": f"q{i}", "expected": f"a{i}"} for i in range(3)]
        dataset = await self._make("/v2/datasets", name=name, space_id=self.space, examples=rows)
        page = await self._ask("GET", f"/v2/datasets/{dataset}/examples")
        return dataset, [example["id"] for example in page["examples"]]

    async def _experiment(self, name: str, dataset: str, examples: list[str]) -> str:
        runs = [{"example_id": id_, "output": f"answer {i}"} for i, id_ in enumerate(examples)]
        return await self._make("/v2/experiments", name=name, dataset_id=dataset, experiment_runs=runs)

    async def _integration(self, name: str, base_url: str) -> str:
        return await self._make(
            "/v2/ai-integrations", name=name, provider="CUSTOM", base_url=base_url, model_names=["judge"]
        )

    async def _evaluator(self, name: str, type_: str, **config: object) -> str:
        version = {"commit_message": "first", **config}
        return await self._make("/v2/evaluators", name=name, space_id=self.space, type=type_, version=version)

    async def _task(self, name: str, type_: str, evaluator: str, **fields: object) -> str:
        attached: dict[str, Any] = {"evaluator_id": evaluator}
        if "project_id" in fields:
            attached["column_mappings"] = {"output": "attributes.output.value", "input": "attributes.input.value"}
        else:
            attached["column_mappings"] = {"input": "question"}
        return await self._make("/v2/tasks", name=name, type=type_, evaluators=[attached], **fields)

    async def _until_over(self, task_run_id: str) -> None:
        with anyio.fail_after(60):
            while (await self._ask("GET", f"/v2/task-runs/{task_run_id}"))["status"] in _UNDER_WAY:  # noqa: ASYNC110
                await anyio.sleep(0.1)


def _template(integration: str) -> dict[str, object]:
    return {
        "name": "correct", "template": "Is {output} an answer to {input}?", "include_explanations": True,
        "use_function_calling": True, "classification_choices": {"yes": 1, "no": 0},
        "llm_config": {
            "ai_integration_id": integration, "model_name": "judge", "invocation_parameters": {},
            "provider_parameters": {},
        },
    }  # fmt: skip
