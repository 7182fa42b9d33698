"""The requests that AX accepts, by operation: section 3 of the wire reference as data, checked against the models of
the published Python client (8.61.0). `tests/contract/test_shapes.py` holds our client to it.

A shape is the path, the names and values of the query, and the body. AX refuses what is not named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.ax_bodies import (
    ANNOTATIONS,
    COLUMNS,
    CREATE_AI_INTEGRATION,
    CREATE_ANNOTATION_CONFIG,
    CREATE_EVALUATOR,
    CREATE_INTEGRATION,
    CREATE_TASK,
    EXAMPLES,
    EXPERIMENT_RUNS,
    GRANULARITY,
    ID,
    LIST,
    NAME,
    PAGE,
    ROW_PAGE,
    TRIGGER_TASK_RUN,
    UPDATE_AI_INTEGRATION,
    UPDATE_ANNOTATION_CONFIG,
    UPDATE_INTEGRATION,
    UPDATE_TASK,
    VERSION_BODIES,
)
from tests.support.ax_rules import (
    FLAG,
    MOMENT,
    Rule,
    Tagged,
    count,
    listed,
    record,
    text,
    word,
)


@dataclass(frozen=True)
class Shape:
    method: str
    path: str
    query: Mapping[str, Rule] = field(default_factory=dict)
    body: Rule | None = None

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\{\w+\}", "[^/]+", self.path)
        return method == self.method and re.fullmatch(pattern, path) is not None

    def issues(self, query: Mapping[str, str], body: Any) -> Iterator[str]:
        """Return everything that a strict service would refuse. `body` is None for a request without one."""
        for name, value in query.items():
            rule = self.query.get(name)
            if rule is None:
                yield f"query.{name} is not known"
            else:
                yield from rule.issues(int(value) if value.isdigit() else value, f"query.{name}")
        if self.body is None:
            if body is not None:
                yield "a body was sent and none is taken"
        elif body is None:
            yield "a body is missing"
        else:
            yield from self.body.issues(body, "body")


_WINDOW: dict[str, Rule] = {"start_time": MOMENT, "end_time": MOMENT}
_VERSION_QUERY: dict[str, Rule] = {"dataset_version_id": ID}
_RENAME = record({"name*": text(least=1)})
_ANNOTATE = record({"annotations*": ANNOTATIONS})

SHAPES: dict[str, Shape] = {
    "list_tasks": Shape("GET", "/v2/tasks", {
        **LIST, "project_id": ID, "dataset_id": ID,
        "type": word("TEMPLATE_EVALUATION", "CODE_EVALUATION", "RUN_EXPERIMENT"),
    }),
    "create_task": Shape("POST", "/v2/tasks", body=CREATE_TASK),
    "get_task": Shape("GET", "/v2/tasks/{task_id}"),
    "update_task": Shape("PATCH", "/v2/tasks/{task_id}", body=UPDATE_TASK),
    "delete_task": Shape("DELETE", "/v2/tasks/{task_id}"),
    "trigger_task_run": Shape("POST", "/v2/tasks/{task_id}/trigger", body=TRIGGER_TASK_RUN),
    "list_task_runs": Shape("GET", "/v2/tasks/{task_id}/runs", {
        "status": word("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"), **PAGE,
    }),
    "get_task_run": Shape("GET", "/v2/task-runs/{run_id}"),
    "cancel_task_run": Shape("POST", "/v2/task-runs/{run_id}/cancel"),
    "list_spaces": Shape("GET", "/v2/spaces", {"org_id": ID, "name": text(255), **PAGE}),
    "get_space": Shape("GET", "/v2/spaces/{space_id}"),
    "create_space": Shape("POST", "/v2/spaces", body=record({
        "name*": NAME, "organization_id*": ID, "description": text(1000), "is_private": FLAG,
    })),
    "update_space": Shape("PATCH", "/v2/spaces/{space_id}", body=record({
        "name": NAME, "description?": text(1000, 1), "is_private": FLAG,
        "default_llm_integration?": record({"integration_id*": ID, "model_name*": text()}),
        "ml_models_enabled": FLAG, "gradient_start_color": text(), "gradient_end_color": text(),
        "default_agent_runtime?": record({"integration_id*": ID}),
    }, least=1)),
    "delete_space": Shape("DELETE", "/v2/spaces/{space_id}"),
    "list_projects": Shape("GET", "/v2/projects", {
        **LIST, "project_type": word("APPLICATION", "HARNESS", "EXPERIMENT"),
    }),
    "get_project": Shape("GET", "/v2/projects/{project_id}"),
    "create_project": Shape("POST", "/v2/projects", body=record({"name*": text(least=1), "space_id*": ID})),
    "rename_project": Shape("PATCH", "/v2/projects/{project_id}", body=_RENAME),
    "delete_project": Shape("DELETE", "/v2/projects/{project_id}"),
    "list_spans": Shape("POST", "/v2/spans", ROW_PAGE, record({
        "project_id*": ID, **_WINDOW, "filter": text(least=1), "included_columns": COLUMNS, "excluded_columns": COLUMNS,
        "truncate_string_length": count(),
    })),
    "annotate_spans": Shape("POST", "/v2/spans/annotate", body=record({
        "project_id*": ID, **_WINDOW, "granularity": GRANULARITY, "annotations*": ANNOTATIONS,
    })),
    "delete_spans": Shape("DELETE", "/v2/spans", body=record({
        "project_id*": ID, "span_ids*": listed(ID, 1, 5000), **_WINDOW,
    })),
    "list_traces": Shape("POST", "/v2/traces", {"limit": count(50), "cursor": ID}, record({
        "project_id*": ID, **_WINDOW, "filter": text(least=1),
    })),
    "list_datasets": Shape("GET", "/v2/datasets", LIST),
    "create_dataset": Shape("POST", "/v2/datasets", body=record({
        "name*": text(least=1), "space_id*": ID, "examples*": EXAMPLES,
    })),
    "get_dataset": Shape("GET", "/v2/datasets/{dataset_id}"),
    "rename_dataset": Shape("PATCH", "/v2/datasets/{dataset_id}", body=_RENAME),
    "delete_dataset": Shape("DELETE", "/v2/datasets/{dataset_id}"),
    "list_examples": Shape("GET", "/v2/datasets/{dataset_id}/examples", {**_VERSION_QUERY, **ROW_PAGE}),
    "search_examples": Shape("POST", "/v2/datasets/{dataset_id}/examples/search", body=record({
        "filter": text(least=1), **ROW_PAGE, **_VERSION_QUERY,
    })),
    "append_examples": Shape("POST", "/v2/datasets/{dataset_id}/examples", _VERSION_QUERY, record({
        "examples*": EXAMPLES,
    })),
    "update_examples": Shape("PATCH", "/v2/datasets/{dataset_id}/examples", _VERSION_QUERY, record({
        "examples*": listed(record({"id*": ID}, open_=True, refused="created_at updated_at", least=1), 1, 1000),
        "new_version": text(255),
    })),
    "delete_examples": Shape("DELETE", "/v2/datasets/{dataset_id}/examples", body=record({
        "dataset_version_id*": ID, "example_ids*": listed(ID, 1, 1000),
    })),
    "annotate_examples": Shape("POST", "/v2/datasets/{dataset_id}/examples/annotate", body=_ANNOTATE),
    "list_experiments": Shape("GET", "/v2/experiments", {"dataset_id": ID, "space_id": ID, "name": text(255), **PAGE}),
    "create_experiment": Shape("POST", "/v2/experiments", body=record({
        "name*": text(255, 1, r'[^"\\]*'), "dataset_id": ID, "space_id": ID, "experiment_runs*": EXPERIMENT_RUNS,
    })),
    "get_experiment": Shape("GET", "/v2/experiments/{experiment_id}"),
    "delete_experiment": Shape("DELETE", "/v2/experiments/{experiment_id}"),
    "list_experiment_runs": Shape("GET", "/v2/experiments/{experiment_id}/runs", ROW_PAGE),
    "search_experiment_runs": Shape("POST", "/v2/experiments/{experiment_id}/runs/search", body=record({
        "filter": text(least=1), **ROW_PAGE,
    })),
    "append_experiment_runs": Shape("POST", "/v2/experiments/{experiment_id}/runs", body=record({
        "experiment_runs*": EXPERIMENT_RUNS,
    })),
    "annotate_experiment_runs": Shape("POST", "/v2/experiments/{experiment_id}/runs/annotate", body=_ANNOTATE),
    "list_evaluators": Shape("GET", "/v2/evaluators", LIST),
    "create_evaluator": Shape("POST", "/v2/evaluators", body=CREATE_EVALUATOR),
    "get_evaluator": Shape("GET", "/v2/evaluators/{evaluator_id}", {"version_id": ID}),
    "update_evaluator": Shape("PATCH", "/v2/evaluators/{evaluator_id}", body=record({
        "name": NAME, "description?": text(1000),
    }, least=1)),
    "delete_evaluator": Shape("DELETE", "/v2/evaluators/{evaluator_id}"),
    "list_evaluator_versions": Shape("GET", "/v2/evaluators/{evaluator_id}/versions", PAGE),
    "create_evaluator_version": Shape(
        "POST", "/v2/evaluators/{evaluator_id}/versions", body=Tagged("", VERSION_BODIES)
    ),
    "delete_evaluator_versions": Shape("DELETE", "/v2/evaluators/{evaluator_id}/versions", body=record({
        "version_ids*": listed(ID, 1, 100),
    })),
    "get_evaluator_version": Shape("GET", "/v2/evaluator-versions/{version_id}"),
    "list_evaluator_templates": Shape("GET", "/v2/evaluator-templates"),
    "list_ai_integrations": Shape("GET", "/v2/ai-integrations", LIST),
    "create_ai_integration": Shape("POST", "/v2/ai-integrations", body=CREATE_AI_INTEGRATION),
    "get_ai_integration": Shape("GET", "/v2/ai-integrations/{integration_id}"),
    "update_ai_integration": Shape("PATCH", "/v2/ai-integrations/{integration_id}", body=UPDATE_AI_INTEGRATION),
    "delete_ai_integration": Shape("DELETE", "/v2/ai-integrations/{integration_id}"),
    "list_integrations": Shape("GET", "/v2/integrations", {**LIST, "type": word("LLM", "AGENT", "EVALUATOR")}),
    "create_integration": Shape("POST", "/v2/integrations", body=CREATE_INTEGRATION),
    "get_integration": Shape("GET", "/v2/integrations/{integration_id}"),
    "update_integration": Shape("PATCH", "/v2/integrations/{integration_id}", body=UPDATE_INTEGRATION),
    "delete_integration": Shape("DELETE", "/v2/integrations/{integration_id}"),
    "list_annotation_configs": Shape("GET", "/v2/annotation-configs", LIST),
    "create_annotation_config": Shape("POST", "/v2/annotation-configs", body=CREATE_ANNOTATION_CONFIG),
    "get_annotation_config": Shape("GET", "/v2/annotation-configs/{annotation_config_id}"),
    "update_annotation_config": Shape(
        "PATCH", "/v2/annotation-configs/{annotation_config_id}", body=UPDATE_ANNOTATION_CONFIG
    ),
    "delete_annotation_config": Shape("DELETE", "/v2/annotation-configs/{annotation_config_id}"),
}  # fmt: skip

# Members of our models that AX does not know. They are sent only to an engine, and each is optional.
OURS_ALONE: dict[str, frozenset[str]] = {
    "create_ai_integration": frozenset({"body.api_key_env"}),
    "update_ai_integration": frozenset({"body.api_key_env"}),
    "create_integration": frozenset({"body.config.api_key_env", "body.config.headers_env", "body.config.output_path"}),
    "update_integration": frozenset({"body.config.api_key_env", "body.config.headers_env", "body.config.output_path"}),
}


def operation_of(method: str, path: str) -> str | None:
    """Return the operation of a request. Literal path segments take precedence over placeholders."""
    found = [name for name, shape in SHAPES.items() if shape.matches(method, path)]
    return min(found, key=lambda name: SHAPES[name].path.count("{"), default=None)


def problems_of(operation: str, query: Mapping[str, str], body: Any) -> list[str]:
    return list(SHAPES[operation].issues(query, body))
