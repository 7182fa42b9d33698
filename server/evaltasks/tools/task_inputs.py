"""The nested arguments of tasks: evaluator attachments, filters of traces and sessions, run configurations.

They are parsed into the wire models. Their published schemas are written by hand, because agents write them differently
(lower case, names instead of ids, an optional format); a test compares the schemas with the models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, PlainValidator, TypeAdapter, ValidationError, ValidationInfo, WithJsonSchema
from pydantic_core import InitErrorDetails

from evaltasks.api.run_configurations import KINDS, RunConfiguration
from evaltasks.api.tasks import TASK_SETTINGS, EvaluatorAttachment, QueryFilters
from evaltasks.insight.run_configurations import parse_run_configuration
from evaltasks.insight.unreadable import as_value_error, problem_and_remedy
from evaltasks.tools.inputs import (
    FilterText,
    Flag,
    Fraction,
    argument_of,
    note,
    read_file_or_json,
    read_json_text,
    read_texts,
)
from evaltasks.tools.schema import compact
from evaltasks.tools.spec import Input

ModelT = TypeVar("ModelT", bound=BaseModel)
Location = tuple[int | str, ...]
ArgumentError = tuple[Location, str, str]

_EVALUATORS_MAX = 100


# --- settings -----------------------------------------------------------------------------------------------------
class TaskSettingsInput(Input):
    """Settings of every type of task, as arguments. All tools that create or update tasks inherit them."""


class EvaluationSettingsInput(TaskSettingsInput):
    """Settings of evaluation tasks, as arguments. The tools that create or update evaluation tasks inherit them."""

    sampling_rate: Fraction | None = Field(
        default=None,
        description="Evaluation on a project: fraction of rows, 0-1. A new task's default: 1. Example: 0.1.",
    )
    is_continuous: Flag | None = Field(
        default=None,
        description="Evaluation on a project: also evaluate new spans as they arrive. A new task's default: false.",
    )
    query_filter: FilterText | None = Field(
        default=None,
        description="Evaluation: filter over rows, for all evaluators; \"\" clears it. Example: span_kind = 'LLM'. "
        "A new task's default: none.",
    )


def settings_of(arguments: Input) -> dict[str, Any]:
    """Return the settings of a task among the arguments of a tool. Those that are missing or null are left out."""
    return {name: value for name in TASK_SETTINGS if (value := getattr(arguments, name, None)) is not None}


# --- nested arguments ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class EvaluatorChanges:
    """Changes of single evaluators of a task. The attachments in `change` hold only the fields to change."""

    add: list[EvaluatorAttachment]
    change: list[EvaluatorAttachment]
    remove: list[str]


def raise_errors(argument: str, errors: list[ArgumentError]) -> None:
    """Raise one ValidationError with all errors, each at its location. Does nothing without errors."""
    if errors:
        raise ValidationError.from_exception_data(
            argument,
            [
                InitErrorDetails(type=as_value_error(problem, remedy), loc=place, input=None)
                for place, problem, remedy in errors
            ],
        )


def _read_model(model: type[ModelT], value: object, place: Location, errors: list[ArgumentError]) -> ModelT | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors += [
            (place + tuple(detail["loc"]), *problem_and_remedy(detail)) for detail in error.errors(include_url=False)
        ]
    return None


def _attachment_object(value: object, info: ValidationInfo) -> object:
    """Return an attachment for an evaluator that is only a name or an id."""
    if isinstance(value, str) and value.strip():
        note(info, "had an evaluator as text; it was read as its name or id.")
        return {"evaluator_id": value.strip()}
    return value


def _attachments(
    value: object, info: ValidationInfo, place: Location, errors: list[ArgumentError], *, keep_null: bool = False
) -> list[EvaluatorAttachment]:
    if isinstance(value, (Mapping, str)):
        note(info, "was a single evaluator and was read as a list of one.")
        value = [value]
    if not isinstance(value, list):
        errors.append((place, "must be a list of evaluators", 'write it as [{"evaluator_id": "<name or id>"}]'))
        return []
    if len(value) > _EVALUATORS_MAX:
        errors.append((place, f"has more than {_EVALUATORS_MAX} evaluators", "attach fewer"))
        return []
    read: list[EvaluatorAttachment] = []
    for index, item in enumerate(value):
        fields = _attachment_object(item, info)
        if isinstance(fields, Mapping) and not keep_null:
            # Null in an evaluator means that the field is absent, as in AX's own example.
            fields = {key: part for key, part in fields.items() if part is not None}
        attachment = _read_model(EvaluatorAttachment, fields, (*place, index), errors)
        if attachment is not None:
            read.append(attachment)
    return read


def _read_evaluators(value: object, info: ValidationInfo) -> list[EvaluatorAttachment]:
    errors: list[ArgumentError] = []
    read = _attachments(read_json_text(value, info), info, (), errors)
    raise_errors(argument_of(info), errors)
    return read


def _read_evaluators_or_changes(value: object, info: ValidationInfo) -> list[EvaluatorAttachment] | EvaluatorChanges:
    value = read_json_text(value, info)
    if not isinstance(value, Mapping) or "evaluator_id" in value:
        return _read_evaluators(value, info)
    errors: list[ArgumentError] = [
        ((str(key),), "must be add, change or remove", "pass a list, or an object with add, change and remove")
        for key in value
        if key not in {"add", "change", "remove"}
    ]
    given = {key: part for key, part in value.items() if part is not None}
    add = _attachments(given.get("add", []), info, ("add",), errors)
    change = _attachments(given.get("change", []), info, ("change",), errors, keep_null=True)
    remove: list[str] = []
    if "remove" in given:
        try:
            remove = TypeAdapter(Annotated[list[str], PlainValidator(read_texts)]).validate_python(
                given["remove"], context=info.context
            )
        except ValidationError as error:
            errors += [
                (("remove", *detail["loc"]), *problem_and_remedy(detail)) for detail in error.errors(include_url=False)
            ]
    if not (given.get("add") or given.get("change") or given.get("remove")) and not errors:
        errors.append(((), "changes nothing", "pass at least one of add, change, remove"))
    raise_errors(argument_of(info), errors)
    return EvaluatorChanges(add, change, remove)


def _read_query_filters(value: object, info: ValidationInfo) -> QueryFilters:
    value = read_json_text(value, info)
    if isinstance(value, list):
        note(info, "was a list and was read as its filters.")
        value = {"filters": value}
    errors: list[ArgumentError] = []
    read = _read_model(QueryFilters, value, (), errors)
    raise_errors(argument_of(info), errors)
    assert read is not None
    return read


def _read_run_configuration(value: object, info: ValidationInfo) -> RunConfiguration:
    value = read_file_or_json(value, info)
    if not isinstance(value, Mapping):
        raise as_value_error("must be an object", "pass the object, or @file.json")
    read = parse_run_configuration(value)
    raise_errors(argument_of(info), read.issues)
    add_note: Callable[[str], None] | None = (info.context or {}).get("note")
    if add_note is not None:
        for text in read.notes:
            add_note(text)
    assert read.configuration is not None
    return read.configuration


# --- published schemas --------------------------------------------------------------------------------------------
_TEXT = {"type": "string"}
_TEXT_TO_TEXT = {"type": "object", "additionalProperties": {"type": "string"}}

ATTACHMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "evaluator_id": {"type": "string", "description": "name or id"},
        "evaluator_version_id": {"type": "string", "description": "pins a version; default: always the latest"},
        "query_filter": {"type": "string", "description": "AND-ed with the task's"},
        "column_mappings": {
            **_TEXT_TO_TEXT,
            "description": 'template variable → column, e.g. {"output": "attributes.output.value"}; '
            "default: the column of the same name",
        },
        "query_mappings": {
            "type": "array",
            "description": "traces and sessions only, instead of column_mappings",
            "items": {
                "type": "object",
                "properties": {
                    "variable_name": _TEXT,
                    "attribute_path": _TEXT,
                    "query_ids": {"type": "array", "items": {"type": "string", "enum": ["A", "B", "C", "D", "E"]}},
                },
                "required": ["variable_name", "attribute_path"],
            },
        },
    },
    "required": ["evaluator_id"],
    "additionalProperties": False,
}
QUERY_FILTERS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "filters": {
            "type": "array",
            "minItems": 1,
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "enum": ["A", "B", "C", "D", "E"]},
                    "filter": _TEXT,
                },
                "required": ["id", "filter"],
            },
        },
        "expression": {"type": "string", "description": "e.g. A AND B; required with two or more filters"},
    },
    "required": ["filters"],
    "additionalProperties": False,
}


def _configuration_fields(by_hand: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of all kinds of run configurations: those written by hand, and the rest from the models."""
    fields = {"experiment_type": {"type": "string", "enum": [tag.lower() for tag in KINDS]}, **by_hand}
    for tag, kind in KINDS.items():
        for name, shown in compact(kind.model_json_schema())["properties"].items():
            description = ": ".join(filter(None, [tag.lower(), shown.get("description")]))
            fields.setdefault(name, {**shown, "description": description})
    return fields


RUN_CONFIGURATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": _configuration_fields(
        {
            "ai_integration_id": {"type": "string", "description": "name or id (not for agent_call)"},
            "model_name": {"type": "string", "description": "default: the integration's"},
            "messages": {
                "type": "array",
                "description": "llm_generation: at least one",
                "items": {
                    "type": "object",
                    "properties": {
                        "role": {"type": "string", "enum": ["user", "assistant", "system", "tool"]},
                        "content": {"type": "string", "description": "with {{column}} placeholders"},
                        "tool_call_id": _TEXT,
                        "tool_calls": {"type": "array", "items": {"type": "object"}},
                    },
                    "required": ["role"],
                },
            },
            "input_variable_format": {
                "type": "string",
                "enum": ["mustache", "f_string"],
                "description": "llm_generation: {{x}} or {x}; default: read from the messages",
            },
            "template": {"type": "string", "description": "template_evaluation: the prompt, with {{column}}"},
            "classification_choices": {
                "type": "object",
                "additionalProperties": {"type": "number"},
                "description": "template_evaluation: label → score",
            },
            "provide_explanation": {"type": "boolean", "description": "template_evaluation; default false"},
            "column_mapping": {**_TEXT_TO_TEXT, "description": "template_evaluation: variable → column"},
            "evaluator_version_id": {"type": "string", "description": "template_evaluation"},
            "invocation_parameters": {"type": "object", "description": 'e.g. {"temperature": 0}'},
            "provider_parameters": {"type": "object"},
            "tool_config": {"type": "object", "description": "llm_generation"},
            "prompt_version_id": {"type": "string", "description": "llm_generation"},
            "integration_id": {"type": "string", "description": "agent_call: agent integration (name or id)"},
            "input_template": {"type": "object", "description": "agent_call: its request, with {{column}}"},
        }
    ),
    "required": ["experiment_type"],
    "additionalProperties": False,
}
# Every schema uses tokens in every conversation. The tools for one task type have the complete schemas; the tools for
# all types have brief ones that refer to them.
_ATTACHMENTS_SCHEMA = {"type": "array", "items": ATTACHMENT_SCHEMA}
_ATTACHMENTS_BRIEF = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"evaluator_id": _TEXT},
        "required": ["evaluator_id"],
        "description": "evaluator_id (name or id), and optionally evaluator_version_id, query_filter, column_mappings "
        "or query_mappings, as in create_evaluation_task",
    },
}
_CHANGES_SCHEMA = {
    "type": "object",
    "properties": {
        "add": {"type": "array", "items": {"type": "object"}},
        "change": {
            "type": "array",
            "items": {"type": "object"},
            "description": "evaluator_id and only the fields to change; null clears one",
        },
        "remove": {"type": "array", "items": _TEXT, "description": "names or ids"},
    },
    "additionalProperties": False,
}
_FILE_SCHEMA = {"type": "string", "pattern": "^@", "description": "@file.json"}

Evaluators = Annotated[list[EvaluatorAttachment], PlainValidator(_read_evaluators), WithJsonSchema(_ATTACHMENTS_SCHEMA)]
BriefEvaluators = Annotated[
    list[EvaluatorAttachment], PlainValidator(_read_evaluators), WithJsonSchema(_ATTACHMENTS_BRIEF)
]
EvaluatorsOrChanges = Annotated[
    list[EvaluatorAttachment] | EvaluatorChanges,
    PlainValidator(_read_evaluators_or_changes),
    WithJsonSchema({"anyOf": [_ATTACHMENTS_BRIEF, _CHANGES_SCHEMA]}),
]
QueryFiltersArgument = Annotated[
    QueryFilters, PlainValidator(_read_query_filters), WithJsonSchema(QUERY_FILTERS_SCHEMA)
]
BriefQueryFilters = Annotated[
    QueryFilters,
    PlainValidator(_read_query_filters),
    WithJsonSchema({"type": "object", "properties": {"filters": {"type": "array", "items": {"type": "object"}}}}),
]
RunConfigurationArgument = Annotated[
    RunConfiguration,
    PlainValidator(_read_run_configuration),
    WithJsonSchema({"anyOf": [RUN_CONFIGURATION_SCHEMA, _FILE_SCHEMA]}),
]
BriefRunConfiguration = Annotated[
    RunConfiguration,
    PlainValidator(_read_run_configuration),
    WithJsonSchema({"anyOf": [{"type": "object"}, _FILE_SCHEMA]}),
]
