"""Request bodies that AX accepts, and their shared parts; `ax_shapes` lists them by operation."""

from __future__ import annotations

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
VERSION_BODIES: dict[str, Record] = {
    "TEMPLATE": record({"commit_message*": _MESSAGE_OF_COMMIT, "template_config*": _TEMPLATE}),
    "CODE": record({"commit_message*": _MESSAGE_OF_COMMIT, "code_config*": _CODE_CONFIG}),
    "REMOTE": record({"commit_message*": _MESSAGE_OF_COMMIT, "remote_config*": record({"integration_id*": ID})}),
}
CREATE_EVALUATOR = Tagged(
    "type",
    {
        kind: record({"space_id*": ID, "name*": NAME, "type*": text(), "description": text(), "version*": version})
        for kind, version in VERSION_BODIES.items()
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
