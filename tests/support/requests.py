"""One valid request for every operation, with one resource of every kind.

Tests of invalid requests change one value of these: a refusal is then due to that value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.engines import EngineInTest

WINDOW = {"start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-02T00:00:00Z"}
# A closed port, so that calls of the engine fail at once.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Sent:
    """The request of one operation; `path` and `query` are values by name."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None


def address(template: str, path: dict[str, str], query: dict[str, str]) -> str:
    """Return the path with its encoded values, and the query."""
    found = template
    for name, value in path.items():
        found = found.replace("{" + name + "}", quote(value, safe="", errors="surrogateescape"))
    return f"{found}?{urlencode(query, errors='surrogateescape')}" if query else found


async def one_request_each(it: EngineInTest) -> dict[str, Sent]:
    """Seed the resources and return the requests by operation name."""
    space = await it.space_id()
    project = await it.seed_project()
    await it.seed_spans(project, 3)
    dataset = await it.seed_dataset()
    examples = await it.example_ids(dataset)
    version = (await it.ask("GET", f"/v2/datasets/{dataset}"))["versions"][0]["id"]
    experiment = await it.seed_experiment(dataset)
    runs = await it.ask("GET", f"/v2/experiments/{experiment}/runs")
    run_ids = [row["id"] for row in runs["experiment_runs"]]
    judge = await it.seed_ai_integration(NOWHERE)
    evaluator = await it.seed_code_evaluator()
    evaluator_version = (await it.ask("GET", f"/v2/evaluators/{evaluator}"))["version"]["id"]
    agent_body = {"name": "agent", "type": "AGENT", "config": {"endpoint": f"{NOWHERE}/a", "output_path": "x.y"}}
    agent = (await it.ask("POST", "/v2/integrations", agent_body))["id"]
    remark_body = {
        "name": "remark", "space_id": space, "annotation_config_type": "CATEGORICAL",
        "values": [{"label": "good", "score": 1.0}],
    }  # fmt: skip
    remark = (await it.ask("POST", "/v2/annotation-configs", remark_body))["id"]
    task = await it.seed_task([evaluator], project_id=project)
    window = {"data_start_time": WINDOW["start_time"], "data_end_time": WINDOW["end_time"]}
    task_run = (await it.finish(task, **window))["id"]

    page = {"limit": "2"}
    in_space = {**page, "space_id": space, "name": "a"}
    remarks = [{"name": "remark", "label": "good", "score": 1.0, "text": "so"}]
    llm = {
        "ai_integration_id": judge, "model_name": "judge",
        "invocation_parameters": {"temperature": 0.5, "max_tokens": 5, "stop": ["."], "seed": 1},
        "provider_parameters": {"a": 1},
    }  # fmt: skip
    template_version = {
        "commit_message": "first",
        "template_config": {
            "name": "correct", "template": "Is {output} right?", "include_explanations": True,
            "use_function_calling": True, "classification_choices": {"yes": 1.0, "no": 0.0},
            "direction": "MAXIMIZE", "data_granularity": "SPAN", "llm_config": llm,
        },
    }  # fmt: skip
    code_version = {
        "commit_message": "next",
        "code_config": {
            "type": "MANAGED", "name": "is_answer", "managed_evaluator": "MATCHES_REGEX", "variables": ["output"],
            "static_params": [{"name": "pattern", "type": "REGEX", "default_value": "answer"}],
            "query_filter": "status_code = 'OK'",
        },
    }  # fmt: skip
    generation = {
        "experiment_type": "LLM_GENERATION", "ai_integration_id": judge, "model_name": "judge",
        "messages": [{"role": "USER", "content": "{{question}}"}], "input_variable_format": "MUSTACHE",
        "invocation_parameters": {"temperature": 0.5}, "provider_parameters": {"a": 1}, "tool_config": {"tools": []},
    }  # fmt: skip
    span = {
        "name": "call", "trace_id": "t1", "span_id": "s1", "parent_id": "s0", "kind": "LLM",
        "start_time": WINDOW["start_time"], "end_time": WINDOW["end_time"], "status_code": "OK", "status_message": "m",
        "attributes": {"input.value": "hi", "session.id": "one", "llm": {"token_count": {"total": 7}}},
        "events": [{"name": "e", "timestamp": WINDOW["start_time"], "attributes": {"a": 1}}],
    }  # fmt: skip
    attached = {
        "evaluator_id": evaluator, "evaluator_version_id": evaluator_version, "query_filter": "status_code = 'OK'",
        "column_mappings": {"output": "attributes.output.value"},
    }  # fmt: skip
    task_path, run_path, dataset_path = {"task_id": task}, {"run_id": task_run}, {"dataset_id": dataset}
    experiment_path, evaluator_path = {"experiment_id": experiment}, {"evaluator_id": evaluator}
    judge_path, agent_path = {"integration_id": judge}, {"integration_id": agent}
    remark_path = {"annotation_config_id": remark}
    listed_spans = {
        "project_id": project, **WINDOW, "filter": "attributes.input.value != 'x'",
        "included_columns": ["attributes.input.value"], "truncate_string_length": 5,
    }  # fmt: skip
    return {
        "list_tasks": Sent(query={**in_space, "project_id": project, "type": "CODE_EVALUATION"}),
        "create_task": Sent(
            body={
                "name": "made", "type": "CODE_EVALUATION", "evaluators": [attached], "project_id": project,
                "sampling_rate": 0.5, "is_continuous": True, "query_filter": "latency_ms > 1",
            }
        ),
        "get_task": Sent(task_path),
        "update_task": Sent(task_path, body={"name": "renamed", "sampling_rate": 1, "evaluators": [attached]}),
        "delete_task": Sent(task_path),
        "trigger_task_run": Sent(
            task_path,
            body={**window, "max_spans": 2, "override_evaluations": True},
        ),
        "list_task_runs": Sent(task_path, {**page, "status": "COMPLETED"}),
        "get_task_run": Sent(run_path),
        "cancel_task_run": Sent({"run_id": (await it.trigger(task, **window))["id"]}),
        "list_task_run_rows": Sent(run_path, {**page, "outcome": "SUCCESS", "evaluator_id": evaluator}),
        "list_spaces": Sent(query={**page, "name": "d", "org_id": "o"}),
        "get_space": Sent({"space_id": space}),
        "create_space": Sent(body={"name": "made", "description": "d", "is_private": True}),
        "update_space": Sent(
            {"space_id": space},
            body={
                "name": "renamed", "description": "d", "is_private": True, "gradient_start_color": "#fff",
                "default_llm_integration": {"integration_id": judge, "model_name": "judge"},
            },
        ),
        "delete_space": Sent({"space_id": (await it.ask("POST", "/v2/spaces", {"name": "spare"}))["id"]}),
        "list_projects": Sent(query={**in_space, "project_type": "APPLICATION"}),
        "get_project": Sent({"project_id": project}),
        "create_project": Sent(body={"name": "made", "space_id": space}),
        "rename_project": Sent({"project_id": project}, body={"name": "renamed"}),
        "delete_project": Sent({"project_id": project}),
        "list_spans": Sent(query=page, body=listed_spans),
        "annotate_spans": Sent(
            body={
                "project_id": project, "annotations": [{"record_id": "span-00001", "values": remarks}], **WINDOW,
                "granularity": "SPAN",
            }
        ),
        "delete_spans": Sent(body={"project_id": project, "span_ids": ["span-00002"], **WINDOW}),
        "ingest_spans": Sent({"project_id": project}, body={"spans": [span]}),
        "list_traces": Sent(query=page, body={"project_id": project, **WINDOW, "filter": "name = 'llm call'"}),
        "list_datasets": Sent(query=in_space),
        "create_dataset": Sent(
            body={"name": "made", "space_id": space, "examples": [{"a": 1, "b": {"c": [1.5, None]}, "d": "x"}]}
        ),
        "get_dataset": Sent(dataset_path),
        "rename_dataset": Sent(dataset_path, body={"name": "renamed"}),
        "delete_dataset": Sent(dataset_path),
        "list_examples": Sent(dataset_path, {**page, "dataset_version_id": version}),
        "search_examples": Sent(
            dataset_path, body={"limit": 2, "filter": "question = 'q1'", "dataset_version_id": version}
        ),
        "append_examples": Sent(
            dataset_path, {"dataset_version_id": version}, {"examples": [{"question": "new", "n": 1}]}
        ),
        "update_examples": Sent(
            dataset_path, {"dataset_version_id": version},
            {"examples": [{"id": examples[0], "question": "changed"}], "new_version": "v2"},
        ),
        "delete_examples": Sent(dataset_path, body={"dataset_version_id": version, "example_ids": [examples[0]]}),
        "annotate_examples": Sent(dataset_path, body={"annotations": [{"record_id": examples[0], "values": remarks}]}),
        "list_experiments": Sent(query={**page, "dataset_id": dataset, "name": "e"}),
        "create_experiment": Sent(
            body={
                "name": "made", "dataset_id": dataset,
                "experiment_runs": [{"example_id": examples[0], "output": "o", "eval.x.score": 1.0, "m": {"n": 1}}],
            }
        ),
        "get_experiment": Sent(experiment_path),
        "delete_experiment": Sent(experiment_path),
        "list_experiment_runs": Sent(experiment_path, page),
        "search_experiment_runs": Sent(experiment_path, body={"limit": 2, "filter": "output = 'out 1'"}),
        "append_experiment_runs": Sent(
            experiment_path, body={"experiment_runs": [{"example_id": examples[0], "output": "o", "error": "e"}]}
        ),
        "annotate_experiment_runs": Sent(
            experiment_path, body={"annotations": [{"record_id": run_ids[0], "values": remarks}]}
        ),
        "list_evaluators": Sent(query=in_space),
        "create_evaluator": Sent(
            body={
                "space_id": space, "name": "made", "type": "TEMPLATE", "description": "d", "version": template_version,
            }
        ),
        "get_evaluator": Sent(evaluator_path, {"version_id": evaluator_version}),
        "update_evaluator": Sent(evaluator_path, body={"name": "renamed", "description": "d"}),
        "delete_evaluator": Sent({"evaluator_id": await it.seed_code_evaluator()}),
        "list_evaluator_versions": Sent(evaluator_path, page),
        "create_evaluator_version": Sent(evaluator_path, body=code_version),
        "delete_evaluator_versions": Sent(evaluator_path, body={"version_ids": [evaluator_version]}),
        "get_evaluator_version": Sent({"version_id": evaluator_version}),
        "list_evaluator_templates": Sent(),
        "list_ai_integrations": Sent(query=in_space),
        "create_ai_integration": Sent(
            body={
                "name": "made", "provider": "CUSTOM", "base_url": NOWHERE, "model_names": ["m"],
                "headers": {"x-a": "b"}, "api_key_env": "SOME_KEY", "function_calling_enabled": True,
                "auth_type": "DEFAULT",
                "scopings": [{"organization_id": "o"}],
            }
        ),
        "get_ai_integration": Sent(judge_path),
        "update_ai_integration": Sent(judge_path, body={"name": "renamed", "model_names": ["m"], "base_url": NOWHERE}),
        "delete_ai_integration": Sent(judge_path),
        "list_integrations": Sent(query={**in_space, "type": "AGENT"}),
        "create_integration": Sent(
            body={
                "name": "made", "type": "AGENT", "description": "d",
                "config": {
                    "endpoint": NOWHERE, "api_key_env": "SOME_KEY", "headers_env": {"x-a": "SOME_KEY"},
                    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}, "output_path": "x.y",
                },
            }
        ),
        "get_integration": Sent(agent_path),
        "update_integration": Sent(
            agent_path, body={"type": "AGENT", "name": "renamed", "config": {"output_path": "z"}}
        ),
        "delete_integration": Sent(agent_path),
        "list_annotation_configs": Sent(query=in_space),
        "create_annotation_config": Sent(
            body={
                "name": "made", "space_id": space, "annotation_config_type": "CONTINUOUS", "minimum_score": 0,
                "maximum_score": 1.5, "optimization_direction": "MAXIMIZE",
            }
        ),
        "get_annotation_config": Sent(remark_path),
        "update_annotation_config": Sent(
            remark_path,
            body={"annotation_config_type": "CATEGORICAL", "name": "renamed", "values": [{"label": "x", "score": 1}]},
        ),
        "delete_annotation_config": Sent(remark_path),
        "get_engine_info": Sent(),
        # Additional requests: other forms of the same bodies.
        "create_task, an experiment": Sent(
            body={"name": "made", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": generation}
        ),
        "create_task, an agent": Sent(
            body={
                "name": "made", "type": "RUN_EXPERIMENT", "dataset_id": dataset,
                "run_configuration": {
                    "experiment_type": "AGENT_CALL", "integration_id": agent,
                    "input_template": {"q": "{{question}}", "deep": [{"x": "{{expected}}"}]},
                },
            }
        ),
        "create_task, a judged experiment": Sent(
            body={
                "name": "made", "type": "RUN_EXPERIMENT", "dataset_id": dataset,
                "run_configuration": {
                    "experiment_type": "TEMPLATE_EVALUATION", "ai_integration_id": judge, "model_name": "judge",
                    "template": "{{question}}", "classification_choices": {"yes": 1.0, "no": 0.0},
                    "column_mapping": {"question": "question"},
                },
            }
        ),
        "create_evaluator, of code": Sent(
            body={"space_id": space, "name": "made", "type": "CODE", "version": code_version}
        ),
    }  # fmt: skip
