"""What AX takes, operation by operation: section 3 of the wire reference as data, and checked against the models inside
the published Python client (8.61.0). `tests/contract/test_shapes.py` holds our client to it.

A shape is the path, the names and values of the query, and the body. AX refuses what is not named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.ax_rules import (
    FLAG,
    MOMENT,
    OBJECT,
    Anything,
    Mapped,
    Record,
    Rule,
    Tagged,
    count,
    listed,
    number,
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

    def faults(self, query: Mapping[str, str], body: Any) -> Iterator[str]:
        """Everything a strict service would refuse. `body` is None when none was sent."""
        for name, value in query.items():
            rule = self.query.get(name)
            if rule is None:
                yield f"query.{name} is not known"
            else:
                yield from rule.faults(int(value) if value.isdigit() else value, f"query.{name}")
        if self.body is None:
            if body is not None:
                yield "a body was sent and none is taken"
        elif body is None:
            yield "a body is missing"
        else:
            yield from self.body.faults(body, "body")


# --- parts --------------------------------------------------------------------------------------------------------
ID = text(least=1)
NAME = text(255, 1)
IDS = listed(ID)
COLUMN_NAME = text(255, 1, r"[a-zA-Z0-9_\s\-&()]+")
SYSTEM_COLUMNS = "id created_at updated_at"

PAGE: dict[str, Rule] = {"limit": count(100), "cursor": ID}
ROW_PAGE: dict[str, Rule] = {"limit": count(500), "cursor": ID}
LIST: dict[str, Rule] = {"space_id": ID, "space_name": text(255), "name": text(255), **PAGE}

CHOICES = Mapped(number())
GRANULARITY = word("SPAN", "TRACE", "SESSION")
DIRECTION = word("MAXIMIZE", "MINIMIZE", "NONE")

TOOL_CONFIG = record({"tools": listed(OBJECT), "tool_choice": Anything()})
INVOCATION_PARAMETERS = record(
    {
        "temperature": number(), "max_tokens": count(), "max_completion_tokens": count(), "top_p": number(),
        "top_k": count(), "frequency_penalty": number(), "presence_penalty": number(), "stop": listed(text()),
        "response_format": record({
            "type": word("TEXT", "JSON_OBJECT", "JSON_SCHEMA"),
            "json_schema": record(
                {"name": text(), "description": text(), "schema": OBJECT, "strict": FLAG}
            ),
        }),
        "tool_config": TOOL_CONFIG, "thinking_level": text(), "thinking_budget": count(), "reasoning_effort": text(),
        "verbosity": text(), "service_tier": text(),
    }
)  # fmt: skip
PROVIDER_PARAMETERS = record(
    {
        "azure_params": record({
            "azure_deployment_name": text(), "azure_openai_endpoint": text(), "azure_openai_version": text(),
        }),
        "anthropic_headers": record({"anthropic_beta": listed(text())}), "anthropic_version": text(),
        "bedrock_options": record({"use_converse_endpoint": FLAG}), "region": text(),
    }
)  # fmt: skip

# --- tasks --------------------------------------------------------------------------------------------------------
QUERY_ID = word("A", "B", "C", "D", "E")
QUERY_FILTERS = record(
    {
        "filters*": listed(record({"id*": QUERY_ID, "filter*": text(2000, 1)}), 1, 5),
        "expression": text(512),
    }
)
SPAN_EVALUATOR = record(
    {"evaluator_id*": ID, "evaluator_version_id?": ID, "query_filter": text(), "column_mappings": Mapped(text())}
)
TRACE_EVALUATOR = record(
    {
        "evaluator_id*": ID,
        "evaluator_version_id?": ID,
        "query_mappings*": listed(
            record({"variable_name*": text(256), "query_ids*": listed(QUERY_ID, 0, 5), "attribute_path*": text(1024)}),
            1, 50,
        ),
    }
)  # fmt: skip
EVALUATORS = listed(Tagged("", {"span": SPAN_EVALUATOR, "trace or session": TRACE_EVALUATOR}), 1)
MESSAGE = record(
    {
        "role*": word("USER", "ASSISTANT", "SYSTEM", "TOOL"),
        "content?": text(),
        "tool_call_id": text(),
        "tool_calls": listed(
            record({
                "id": text(), "type*": word("FUNCTION"), "function*": record({"name*": text(), "arguments*": text()}),
            })
        ),
    }
)  # fmt: skip
RUN_CONFIGURATION = Tagged(
    "experiment_type",
    {
        "LLM_GENERATION": record({
            "experiment_type*": text(), "ai_integration_id*": ID, "model_name": text(), "messages*": listed(MESSAGE, 1),
            "input_variable_format*": word("F_STRING", "MUSTACHE", "NONE"),
            "invocation_parameters": INVOCATION_PARAMETERS, "provider_parameters": OBJECT, "tool_config": TOOL_CONFIG,
            "prompt_version_id": ID,
        }),
        "TEMPLATE_EVALUATION": record({
            "experiment_type*": text(), "ai_integration_id*": ID, "model_name": text(), "template*": text(least=1),
            "provide_explanation*": FLAG, "classification_choices": CHOICES, "column_mapping": Mapped(text()),
            "evaluator_version_id": ID, "invocation_parameters": INVOCATION_PARAMETERS, "provider_parameters": OBJECT,
        }),
        "AGENT_CALL": record({"experiment_type*": text(), "integration_id*": ID, "input_template*": OBJECT}),
    },
)  # fmt: skip
_EVALUATION_TASK = record(
    {
        "name*": text(least=1), "type*": text(), "project_id": ID, "dataset_id": ID, "experiment_ids": IDS,
        "sampling_rate": number(0, 1), "is_continuous": FLAG, "query_filter": text(), "query_filters": QUERY_FILTERS,
        "evaluators*": EVALUATORS,
    }
)  # fmt: skip
CREATE_TASK = Tagged(
    "type",
    {
        "TEMPLATE_EVALUATION": _EVALUATION_TASK,
        "CODE_EVALUATION": _EVALUATION_TASK,
        "RUN_EXPERIMENT": record(
            {"name*": text(least=1), "type*": text(), "dataset_id*": ID, "run_configuration*": RUN_CONFIGURATION}
        ),
    },
)
UPDATE_TASK = Tagged(
    "",
    {
        "evaluation": record({
            "name": text(least=1), "sampling_rate": number(0, 1), "is_continuous": FLAG, "query_filter?": text(),
            "query_filters?": QUERY_FILTERS, "evaluators": EVALUATORS,
        }, least=1),
        "run_experiment": record({"name": text(least=1), "run_configuration": RUN_CONFIGURATION}, least=1),
    },
)  # fmt: skip
TRIGGER_TASK_RUN = Tagged(
    "",
    {
        "evaluation": record({
            "data_start_time": MOMENT, "data_end_time": MOMENT, "max_spans": count(), "override_evaluations": FLAG,
            "experiment_ids": IDS,
        }),
        "run_experiment": record({
            "experiment_name*": text(255, 1, r'[^"\\]*'), "dataset_version_id": ID, "example_ids": IDS,
            "max_examples": count(), "query_filter": text(), "tracing_metadata": Mapped(text()),
            "evaluation_task_ids": IDS,
        }),
    },
)  # fmt: skip

# --- rows ---------------------------------------------------------------------------------------------------------
EXAMPLES = listed(record({}, open_=True, refused=SYSTEM_COLUMNS, least=1), 1, 1000)
EXPERIMENT_RUNS = listed(record({"example_id": ID, "output*": text()}, open_=True, refused="id"), 1, 1000)
ANNOTATIONS = listed(
    record({
        "record_id*": ID,
        "values*": listed(record({"name*": NAME, "score": number(), "label": text(), "text": text()}), 1),
    }),
    1, 1000,
)  # fmt: skip
COLUMNS = listed(text(least=1), 1, 1000)

# --- evaluators and integrations ----------------------------------------------------------------------------------
_TEMPLATE = record(
    {
        "name*": COLUMN_NAME, "template*": text(least=1), "include_explanations*": FLAG, "use_function_calling*": FLAG,
        "use_structured_output": FLAG, "classification_choices?": CHOICES, "direction": DIRECTION,
        "data_granularity": GRANULARITY,
        "llm_config*": record({
            "ai_integration_id*": ID, "model_name*": text(least=1), "invocation_parameters*": INVOCATION_PARAMETERS,
            "provider_parameters*": PROVIDER_PARAMETERS,
        }),
    }
)  # fmt: skip
_CODE: dict[str, Rule] = {
    "type*": text(), "name*": COLUMN_NAME, "variables*": listed(text(least=1)),
    "static_params": listed(record({
        "name*": text(), "type*": word("STRING", "STRING_ARRAY", "REGEX"), "default_value*": Anything(),
    })),
    "data_granularity?": GRANULARITY, "query_filter?": text(),
}  # fmt: skip
_CHECK = word("MATCHES_REGEX", "JSON_PARSEABLE", "CONTAINS_ANY_KEYWORD", "CONTAINS_ALL_KEYWORDS", "EXACT_MATCH")
_CODE_CONFIG = Tagged(
    "type",
    {
        "MANAGED": record({**_CODE, "managed_evaluator*": _CHECK}),
        "CUSTOM": record({**_CODE, "code*": text(least=1), "imports?": text()}),
    },
)
_MESSAGE_OF_COMMIT = text(1000, 1)
_VERSIONS: dict[str, Record] = {
    "TEMPLATE": record({"commit_message*": _MESSAGE_OF_COMMIT, "template_config*": _TEMPLATE}),
    "CODE": record({"commit_message*": _MESSAGE_OF_COMMIT, "code_config*": _CODE_CONFIG}),
    "REMOTE": record({"commit_message*": _MESSAGE_OF_COMMIT, "remote_config*": record({"integration_id*": ID})}),
}
CREATE_EVALUATOR = Tagged(
    "type",
    {
        kind: record({"space_id*": ID, "name*": NAME, "type*": text(), "description": text(), "version*": version})
        for kind, version in _VERSIONS.items()
    },
)
_PROVIDER = word(
    "OPEN_AI", "AZURE_OPEN_AI", "AWS_BEDROCK", "VERTEX_AI", "ANTHROPIC", "CUSTOM", "NVIDIA_NIM", "GEMINI", "LITELLM",
    "FIREWORKS", "TOGETHER_AI",
)  # fmt: skip
SCOPINGS = listed(record({"organization_id?": ID, "space_id?": ID}))
_AI_INTEGRATION: dict[str, Rule] = {
    "model_names": listed(text()), "enable_default_models": FLAG, "function_calling_enabled": FLAG,
    "auth_type": word("DEFAULT", "PROXY_WITH_HEADERS", "BEARER_TOKEN", "OAUTH2_CLIENT_CREDENTIALS"),
    "scopings": SCOPINGS,
}  # fmt: skip
_METADATA = Tagged(
    "kind",
    {
        "AWS": record({"kind*": text(), "role_arn*": text(), "external_id?": text()}),
        "GCP": record({"kind*": text(), "project_id*": text(), "location*": text(), "project_access_label*": text()}),
    },
)
CREATE_AI_INTEGRATION = record(
    {
        **_AI_INTEGRATION, "name*": NAME, "provider*": _PROVIDER, "api_key": text(), "base_url": text(),
        "headers": Mapped(text()), "provider_metadata": _METADATA,
    }
)  # fmt: skip
UPDATE_AI_INTEGRATION = record(
    {
        **_AI_INTEGRATION, "name": NAME, "provider": _PROVIDER, "api_key?": text(), "base_url?": text(),
        "headers?": Mapped(text()), "provider_metadata?": _METADATA,
    },
    least=1,
)  # fmt: skip
_PRESETS = listed(OBJECT)
CREATE_INTEGRATION = record(
    {
        "type*": word("AGENT"), "name*": NAME, "description": text(1000), "scopings": SCOPINGS,
        "config*": record({
            "endpoint*": text(2048), "headers": Mapped(text()), "input_schema*": OBJECT, "request_presets": _PRESETS,
        }),
    }
)  # fmt: skip
UPDATE_INTEGRATION = record(
    {
        "type*": word("AGENT"), "name": NAME, "description?": text(1000), "scopings": SCOPINGS,
        "config": record({
            "endpoint": text(2048), "headers?": Mapped(text()), "input_schema": OBJECT, "request_presets": _PRESETS,
        }),
    },
    least=2,
)  # fmt: skip
_VALUES = listed(record({"label*": text(least=1), "score": number()}), 1)
_DIRECTED: dict[str, Rule] = {"optimization_direction": DIRECTION}
CREATE_ANNOTATION_CONFIG = Tagged(
    "annotation_config_type",
    {
        kind: record({"annotation_config_type*": text(), "name*": NAME, "space_id*": ID, **own})
        for kind, own in {
            "CATEGORICAL": {"values*": _VALUES, **_DIRECTED},
            "CONTINUOUS": {"minimum_score*": number(), "maximum_score*": number(), **_DIRECTED},
            "FREEFORM": {},
        }.items()
    },
)
UPDATE_ANNOTATION_CONFIG = Tagged(
    "annotation_config_type",
    {
        kind: record({"annotation_config_type*": text(), "name": NAME, **own}, least=2)
        for kind, own in {
            "CATEGORICAL": {"values": _VALUES, **_DIRECTED},
            "CONTINUOUS": {"minimum_score": number(), "maximum_score": number(), **_DIRECTED},
            "FREEFORM": {},
        }.items()
    },
)

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
        "POST", "/v2/evaluators/{evaluator_id}/versions", body=Tagged("", _VERSIONS)
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

# Members of our own models that AX does not know: an engine alone is sent them, and each is optional.
OURS_ALONE: dict[str, frozenset[str]] = {
    "create_ai_integration": frozenset({"body.api_key_env"}),
    "update_ai_integration": frozenset({"body.api_key_env"}),
    "create_integration": frozenset({"body.config.api_key_env", "body.config.headers_env", "body.config.output_path"}),
    "update_integration": frozenset({"body.config.api_key_env", "body.config.headers_env", "body.config.output_path"}),
}


def operation_of(method: str, path: str) -> str | None:
    """The operation a request asks for; literal segments go before placeholders."""
    found = [name for name, shape in SHAPES.items() if shape.matches(method, path)]
    return min(found, key=lambda name: SHAPES[name].path.count("{"), default=None)


def faults_of(operation: str, query: Mapping[str, str], body: Any) -> list[str]:
    return list(SHAPES[operation].faults(query, body))
