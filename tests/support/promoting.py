"""Two services to move tasks between, with every type of task, and a record of the requests they receive.

async with world() as source, place() as target:
    files = (await export_space(source.client, source.space.id)).files
    await applied(files, target)
    assert await tasks_of(source) == await tasks_of(target)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from evaltasks.client.client import Client
from evaltasks.client.resolve import Named
from evaltasks.client.retries import RetryBudget
from evaltasks.client.transport import open_remote_client
from evaltasks.promote.apply import apply_plan, make_plan
from evaltasks.promote.documents import AnyFile
from evaltasks.promote.folder import Bundle
from evaltasks.promote.plan import ContinuousPolicy, Plan
from tests.support.custom_code import IMPORTS, custom_code
from tests.support.engines import EngineInTest, engine
from tests.support.transports import RecordedSleeps

SECRET_HEADER = "sk-proj-Z4tQ9mW2xL7vB1nK8sD3"
KEY = "sk-live-H7rP2wX9cV4bN6mQ1zA5"
DATASET_TASK = {"dataset": "gold", "experiments": ["base"]}


class Watched(httpx2.AsyncBaseTransport):
    """The engine behind a transport that records requests and can interrupt them.

    Attributes:
        writes: The requests that change something, in order.
        reads: The number of the other requests.
        cut_at: The number (from 0) of the write that breaks the connection, together with all later requests.
        after: Whether that write takes effect before the connection breaks.
        rewrite: Returns what another service would answer to a GET request instead.
    """

    def __init__(self, it: EngineInTest) -> None:
        self._inner = httpx2.ASGITransport(app=it.engine.app)
        self.writes: list[str] = []
        self.reads = 0
        self.cut_at: int | None = None
        self.after = False
        self.rewrite: Callable[[str, Any], Any] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._handle(request)
        if self.rewrite is not None and request.method == "GET":
            return httpx2.Response(200, json=self.rewrite(request.url.path, json.loads(await response.aread())))
        return response

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        is_write = request.method != "GET"
        if self.cut_at is not None and len(self.writes) > self.cut_at:
            raise httpx2.ReadError("cut", request=request)
        if not is_write:
            self.reads += 1
            return await self._inner.handle_async_request(request)
        self.writes.append(f"{request.method} {request.url.path}")
        is_cut = self.cut_at == len(self.writes) - 1
        if is_cut and not self.after:
            raise httpx2.ReadError("cut", request=request)
        response = await self._inner.handle_async_request(request)
        if is_cut:
            await response.aread()
            raise httpx2.ReadError("cut", request=request)
        return response


@dataclass
class Place:
    """A service with its client; `it` sends requests without the client."""

    it: EngineInTest
    client: Client
    space: Named
    network: Watched
    ids: dict[str, str] = field(default_factory=dict)


def without_heuristic(path: str, document: Any) -> Any:
    """Rewrite a list of integrations as AX answers it, without the heuristic judge."""
    if path == "/v2/ai-integrations":
        document["ai_integrations"] = [one for one in document["ai_integrations"] if not one["is_heuristic"]]
    return document


@asynccontextmanager
async def place(
    *,
    is_engine: bool = True,
    environment: dict[str, str] | None = None,
    path: str | Path = ":memory:",
    bare: bool = False,
) -> AsyncIterator[Place]:
    """Open a service with the resources that apply does not create: project, dataset, experiments (none if `bare`)."""
    async with engine(path, environment=environment or {}) as it:
        network = Watched(it)
        async with open_remote_client(
            "http://127.0.0.1:9",
            "ak-a-key",
            is_engine=is_engine,
            transport=network,
            retry_budget=RetryBudget(sleep=RecordedSleeps()),
        ) as client:
            made = Place(it, client, Named(await it.space_id(), "default"), network)
            if not bare:
                made.ids["chat"] = await it.seed_project("chat")
                made.ids["gold"] = await it.seed_dataset(name="gold")
                for name in ("base", "tuned"):
                    made.ids[name] = await it.seed_experiment(made.ids["gold"], name=name)
            yield made


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[Place]:
    """Open a place with every kind of evaluator, integration and task."""
    async with place(**options) as made:
        await _integrations(made)
        await _evaluators(made)
        await _tasks(made)
        yield made


async def post(made: Place, name: str, path: str, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await made.it.ask("POST", path, {"name": name, **body})
    made.ids[name] = answer["id"]
    return answer


async def _integrations(made: Place) -> None:
    await post(
        made, "openai", "/v2/ai-integrations", provider="OPEN_AI", api_key_env="OPENAI_API_KEY",
        model_names=["gpt-5", "gpt-5-mini"], headers={"x-team": SECRET_HEADER}, function_calling_enabled=False,
    )  # fmt: skip
    await post(
        made, "local", "/v2/ai-integrations", provider="CUSTOM", base_url="http://127.0.0.1:9/v1",
        scopings=[{"space_id": made.space.id}],
    )  # fmt: skip
    await post(
        made, "bot", "/v2/integrations", type="AGENT", description="Ours",
        config={
            "endpoint": "http://127.0.0.1:9/ask",
            "headers": {"x-trace": SECRET_HEADER}, "headers_env": {"x-k": "BOT_K"},
            "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}, "output_path": "answer.text",
        },
    )  # fmt: skip
    page = await made.it.ask("GET", "/v2/ai-integrations", name="heuristic")
    made.ids["heuristic"] = page["ai_integrations"][0]["id"]


def template(made: Place, text: str, integration: str = "openai", **fields: Any) -> dict[str, Any]:
    return {
        "name": fields.pop("evaluation", "tone"), "template": text, "include_explanations": True,
        "classification_choices": {"yes": 1, "no": 0, "1e5": 0.25},
        "llm_config": {
            "ai_integration_id": made.ids[integration], "model_name": "gpt-5",
            "invocation_parameters": {"temperature": 0, "seed": 7, "tool_config": {"choice": None}},
            "provider_parameters": {"region": "eu"},
        },
        **fields,
    }  # fmt: skip


async def evaluator(made: Place, name: str, config: dict[str, Any], **fields: Any) -> None:
    """Create an evaluator. The id of its version is recorded as `<name>@1`."""
    kind = "TEMPLATE" if "template" in config else "CODE"
    version = {"commit_message": "first", f"{kind.lower()}_config": config}
    answer = await post(made, name, "/v2/evaluators", space_id=made.space.id, type=kind, version=version, **fields)
    made.ids[f"{name}@1"] = answer["version"]["id"]


async def version(made: Place, name: str, number: int, config: dict[str, Any]) -> None:
    kind = "template" if "template" in config else "code"
    body = {"commit_message": f"number {number}", f"{kind}_config": config}
    answer = await made.it.ask("POST", f"/v2/evaluators/{made.ids[name]}/versions", body)
    made.ids[f"{name}@{number}"] = answer["id"]


def pinned(made: Place, which: str) -> dict[str, Any]:
    """Return `Tone@2` as an attachment."""
    return {"evaluator_id": made.ids[which.partition("@")[0]], "evaluator_version_id": made.ids[which]}


def managed(kind: str, evaluation: str, *static: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "type": "MANAGED", "name": evaluation, "managed_evaluator": kind, "variables": ["output"],
        "static_params": list(static), **fields,
    }  # fmt: skip


async def _evaluators(made: Place) -> None:
    long = "Is the tone of this answer kind?\n\n  [Answer]: {output} \n\tSay yes or no: \u2028 ü 🙂\n"
    await evaluator(made, "Tone", template(made, "Kind, {output}?"), description="How kind: it is")
    await version(made, "Tone", 2, template(made, "Kind? {output}"))
    await version(made, "Tone", 3, template(made, long, direction="MINIMIZE", use_function_calling=False))
    await evaluator(
        made, "Relevant",
        template(made, "Does {output} fit {input}?", "local", evaluation="fits", classification_choices=None),
    )  # fmt: skip
    await evaluator(made, "Trace", template(made, "Good?\n{output}", evaluation="t", data_granularity="TRACE"))
    await evaluator(made, "Session", template(made, "{conversation}", evaluation="s", data_granularity="SESSION"))
    words = {"name": "keywords", "type": "STRING_ARRAY", "default_value": ["yes", "null", "1"]}
    pattern = {"name": "pattern", "type": "REGEX", "default_value": "^[a-z]+: \\d$"}
    await evaluator(made, "Pattern", managed("MATCHES_REGEX", "regex", pattern, data_granularity="SPAN"))
    await version(made, "Pattern", 2, managed("MATCHES_REGEX", "regex", {**pattern, "default_value": "#"}))
    await evaluator(made, "Words", managed("CONTAINS_ANY_KEYWORD", "words", words, query_filter="span_kind = 'LLM'"))
    await evaluator(made, "Json", managed("JSON_PARSEABLE", "json"))
    await evaluator(
        made, "Custom",
        {
            "type": "CUSTOM", "name": "check", "variables": ["output"], "imports": IMPORTS,
            "code": custom_code("return EvaluationResult(label=self.mark)"),
            "static_params": [{"name": "mark", "type": "STRING", "default_value": "off"}],
        },
    )  # fmt: skip


async def _tasks(made: Place) -> None:
    chat, gold, ids = made.ids["chat"], made.ids["gold"], made.ids
    await made.it.seed_task(
        [], name="Code monitor", project_id=chat, sampling_rate=0.25, query_filter="span_kind = 'LLM'",
        evaluators=[
            {"evaluator_id": ids["Words"], "column_mappings": {"output": "attributes.output.value"}},
            {**pinned(made, "Pattern@1"), "query_filter": "latency_ms > 5"},
            {"evaluator_id": ids["Json"]},
        ],
    )  # fmt: skip
    await made.it.seed_task([ids["Custom"]], name="Custom", project_id=chat)
    await made.it.seed_task(
        [], "TEMPLATE_EVALUATION", "Tone: live", project_id=chat, is_continuous=True, sampling_rate=1,
        evaluators=[pinned(made, "Tone@2"), {"evaluator_id": ids["Relevant"]}],
    )  # fmt: skip
    await made.it.seed_task(
        [ids["Tone"]], "TEMPLATE_EVALUATION", "tone-live", dataset_id=gold, experiment_ids=[ids["tuned"], ids["base"]]
    )
    await made.it.seed_task([ids["Pattern"]], name="Exps", dataset_id=gold, experiment_ids=[ids["base"]])
    await made.it.seed_task(
        [], "TEMPLATE_EVALUATION", "Traces", project_id=chat,
        query_filters={
            "filters": [{"id": "B", "filter": "span_kind = 'LLM'"}, {"id": "A", "filter": "status_code = 'ERROR'"}],
            "expression": "A AND NOT B",
        },
        evaluators=[{
            "evaluator_id": ids["Trace"],
            "query_mappings": [{"variable_name": "output", "query_ids": ["B"], "attribute_path": "attributes.x"}],
        }],
    )  # fmt: skip
    await made.it.seed_task(
        [ids["Session"]], "TEMPLATE_EVALUATION", "Sessions", project_id=chat,
        query_filters={"filters": [{"id": "C", "filter": "name = 'a'"}]},
    )  # fmt: skip
    await experiment_task(
        made, "Generate", experiment_type="LLM_GENERATION", ai_integration_id=ids["openai"], model_name="gpt-5",
        messages=[
            {"role": "SYSTEM", "content": "You are brief.\n- no lists\n"},
            {"role": "USER", "content": "{{question}}"},
            {"role": "ASSISTANT", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "TOOL", "content": "no", "tool_call_id": "1"},
        ],
        input_variable_format="MUSTACHE", prompt_version_id="UHJvbXB0VmVyc2lvbjoxOmFiY2Q=",
        invocation_parameters={"temperature": 0.5, "stop": ["\n"]},
        tool_config={"tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]},
    )  # fmt: skip
    await experiment_task(
        made, "Judge", experiment_type="TEMPLATE_EVALUATION", ai_integration_id=ids["openai"],
        template="{{question}}?", classification_choices={"a": 1, "b": 0}, provide_explanation=True,
        column_mapping={"question": "question"}, evaluator_version_id=ids["Tone@1"],
    )  # fmt: skip
    await experiment_task(
        made, "Ask", experiment_type="AGENT_CALL", integration_id=ids["bot"],
        input_template={"q": "{{dataset.question}}", "deep": [1, None, {"on": True, "s": "x {{expected}}"}]},
    )  # fmt: skip
    await experiment_task(
        made, "Heuristic", experiment_type="TEMPLATE_EVALUATION", ai_integration_id=ids["heuristic"],
        model_name="heuristic-correctness", template="{{question}} {{expected}} {{output}}",
        classification_choices={"correct": 1, "incorrect": 0},
    )  # fmt: skip


async def experiment_task(made: Place, name: str, **configuration: Any) -> None:
    body = {"name": name, "type": "RUN_EXPERIMENT", "dataset_id": made.ids["gold"], "run_configuration": configuration}
    await made.it.ask("POST", "/v2/tasks", body)


async def planned(
    files: Iterable[AnyFile] | Bundle, target: Place, continuous: ContinuousPolicy = ContinuousPolicy.ALLOWED
) -> Plan:
    bundle = files if isinstance(files, Bundle) else Bundle.from_files(files)
    return await make_plan(bundle, target.client, target.space, continuous)


async def applied(
    files: Iterable[AnyFile] | Bundle, target: Place, continuous: ContinuousPolicy = ContinuousPolicy.ALLOWED
) -> Plan:
    """Apply the files and return the plan. Fails the test if the plan has issues."""
    plan = await planned(files, target, continuous)
    assert not plan.issues, [str(issue) for issue in plan.issues]
    await apply_plan(plan, lambda step: None)
    return plan


_SERVICE_FIELDS = frozenset(
    {"id", "created_at", "updated_at", "last_run_at", "projected_rows_per_day", "prompt_version_id", "space_id",
     "commit_hash", "commit_message", "created_by_user_id"}
)  # fmt: skip


async def tasks_of(made: Place) -> dict[str, dict[str, Any]]:
    """Return the service's answers for its tasks by name, with each id replaced by what it identifies.

    Independent of the code under test: ids are replaced everywhere in the JSON.
    """
    words: dict[str, Any] = {}
    for resource in ("spaces", "projects", "datasets", "experiments", "evaluators", "ai-integrations", "integrations"):
        for item in await _every(made, f"/v2/{resource}", resource.replace("-", "_")):
            words[item["id"]] = f"{resource}: {item['name']}"
            if resource == "evaluators":
                for version_ in await _every(made, f"/v2/evaluators/{item['id']}/versions", "evaluator_versions"):
                    words[version_["id"]] = version_
    tasks = await _every(made, "/v2/tasks", "tasks")
    return {task["name"]: _replaced(task, words) for task in tasks}


async def _every(made: Place, path: str, key: str) -> list[dict[str, Any]]:
    page = await made.it.ask("GET", path, limit=100)
    assert not page["pagination"]["has_more"]
    found: list[dict[str, Any]] = page[key]
    return found


def _replaced(value: Any, words: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, words) for key, part in value.items() if key not in _SERVICE_FIELDS}
    if isinstance(value, list):
        return [_replaced(part, words) for part in value]
    known = words.get(value) if isinstance(value, str) else None
    return _replaced(known, words) if isinstance(known, dict) else known or value


async def evaluators_of(made: Place) -> dict[str, str]:
    """Return the latest version and description of each evaluator, as one text."""
    found = {}
    ids = {one["id"]: one["name"] for one in await _every(made, "/v2/ai-integrations", "ai_integrations")}
    for one in await _every(made, "/v2/evaluators", "evaluators"):
        full = await made.it.ask("GET", f"/v2/evaluators/{one['id']}")
        full["version"].pop("evaluator_id")
        found[one["name"]] = json.dumps(_replaced(full, dict(ids)), sort_keys=True)
    return found
