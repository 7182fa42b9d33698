"""Published schemas: flat, described, without null branches, and not narrower than what is accepted."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from evaltasks.api.run_configurations import AgentCall, LlmGeneration, Message, TemplateEvaluation
from evaltasks.api.tasks import EvaluatorAttachment, QueryFilters
from evaltasks.tools.catalog import BY_NAME, TOOLS
from evaltasks.tools.schema import compact, input_schema, output_schema
from evaltasks.tools.task_inputs import ATTACHMENT_SCHEMA, QUERY_FILTERS_SCHEMA, RUN_CONFIGURATION_SCHEMA

# agent-surface.md 1.1; the contract of the mission.
ARGUMENTS = {
    "list_tasks": "space, project, dataset, name, task_type, limit, cursor",
    "create_task": "name*, task_type*, evaluators, run_configuration, project, dataset, space, experiment_ids, "
    "sampling_rate, is_continuous, query_filter, query_filters",
    "create_evaluation_task": "name*, task_type*, evaluators*, project, dataset, space, experiment_ids, "
    "sampling_rate, is_continuous, query_filter, query_filters",
    "create_run_experiment_task": "name*, dataset*, run_configuration*, space",
    "get_task": "task*, space",
    "update_task": "task*, space, name, sampling_rate, is_continuous, query_filter, query_filters, evaluators, "
    "run_configuration",
    "delete_task": "task*, space, force, confirm",
    "trigger_task_run": "task*, space, data_start_time, data_end_time, max_spans, override_evaluations, "
    "experiment_ids, example_ids, evaluation_task_ids, experiment_name, dataset_version_id, max_examples, "
    "query_filter, tracing_metadata, wait, poll_interval, timeout",
    "list_task_runs": "task*, space, status, limit, cursor",
    "get_task_run": "run_id*",
    "cancel_task_run": "run_id*, force, confirm",
    "wait_for_task_run": "run_id*, poll_interval, timeout",
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_are_those_of_the_contract(name: str) -> None:
    schema = input_schema(BY_NAME[name])
    words = [f"{argument}{'*' if argument in schema.get('required', []) else ''}" for argument in schema["properties"]]
    assert ", ".join(words) == ARGUMENTS[name]


def parts(node: Any) -> list[dict[str, Any]]:
    """Return every schema inside a schema."""
    if isinstance(node, list):
        return [part for item in node for part in parts(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(part for value in node.values() for part in parts(value))]


@pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.name)
def test_a_schema_is_flat_closed_and_described(spec: Any) -> None:
    schema = input_schema(spec)
    assert set(schema) <= {"type", "properties", "required", "additionalProperties"}
    assert schema["additionalProperties"] is False
    for argument, shown in schema["properties"].items():
        assert len(shown["description"]) > 10, argument
    for part in parts(schema):
        assert "$ref" not in part
        assert part.get("type") != "null"
        assert not {"ge", "le", "gt"} & part.keys()
        if part.get("type") == "array":
            assert "items" in part
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator.check_schema(output_schema(spec))
    assert output_schema(spec)["type"] == "object"


@pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.name)
def test_a_tools_example_is_valid_under_its_own_schema(spec: Any) -> None:
    jsonschema.validate(spec.example, input_schema(spec), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.name)
def test_a_description_starts_with_an_imperative_and_is_short(spec: Any) -> None:
    verb = spec.description.split()[0]
    assert verb in {
        "Cancel", "Create", "Delete", "Find", "Get", "Import", "List", "Read", "Register", "Run", "Store", "Update",
        "Wait",
    }  # fmt: skip
    assert len(spec.description) < 1200


def test_handwritten_schemas_have_the_fields_of_their_models() -> None:
    assert set(ATTACHMENT_SCHEMA["properties"]) == set(EvaluatorAttachment.model_fields)
    assert set(QUERY_FILTERS_SCHEMA["properties"]) == set(QueryFilters.model_fields)
    kinds = set(LlmGeneration.model_fields) | set(TemplateEvaluation.model_fields) | set(AgentCall.model_fields)
    assert set(RUN_CONFIGURATION_SCHEMA["properties"]) == kinds
    message = RUN_CONFIGURATION_SCHEMA["properties"]["messages"]["items"]
    assert set(message["properties"]) == set(Message.model_fields)


def _chain(length: int) -> dict[str, Any]:
    """Return a schema whose reference leads over `length` references to a text."""
    links = {f"n{number}": {"$ref": f"#/$defs/n{number + 1}"} for number in range(1, length)}
    return {"$ref": "#/$defs/n1", "$defs": {**links, f"n{length}": {"type": "string"}}}


def test_compact_inlines_twelve_levels_and_refuses_deeper_and_recursive_schemas() -> None:
    assert compact(_chain(12)) == {"type": "string"}
    recursive = {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}}
    for schema in (_chain(13), recursive):
        with pytest.raises(RecursionError, match="nests too deeply"):
            compact(schema)


@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        pytest.param(spec, argument, id=f"{spec.name}-{argument}")
        for spec in TOOLS
        for argument, shown in input_schema(spec)["properties"].items()
        if re.search(r"\d+-\d+[.,]", shown["description"]) and shown["type"] != "array"
    ],
)
def test_the_range_in_a_description_is_the_range_that_is_accepted(spec: Any, argument: str) -> None:
    shown = input_schema(spec)["properties"][argument]
    lowest, highest = re.findall(r"(\d+)-(\d+)[.,]", shown["description"])[0]
    assert (shown["minimum"], shown["maximum"]) == (int(lowest), int(highest))


@pytest.mark.parametrize(
    "spec", [spec for spec in TOOLS if spec.name.startswith("create_")], ids=lambda spec: spec.name
)
def test_a_new_name_has_at_most_255_characters(spec: Any) -> None:
    assert input_schema(spec)["properties"]["name"]["maxLength"] == 255


@pytest.mark.parametrize(
    ("tool", "argument", "value"),
    [
        ("create_evaluation_task", "evaluators", [{"evaluator_id": "tone"}]),
        ("create_evaluation_task", "query_filters", {"filters": [{"id": "A", "filter": "x = 1"}]}),
        ("create_run_experiment_task", "run_configuration", {"experiment_type": "llm_generation"}),
        ("update_task", "evaluators", {"remove": ["tone"]}),
        ("create_evaluator", "static_params", [{"name": "limit", "default_value": "3"}]),
    ],
)
def test_the_schema_of_an_object_argument_refuses_unknown_fields(tool: str, argument: str, value: Any) -> None:
    schema = input_schema(BY_NAME[tool])["properties"][argument]
    jsonschema.validate(value, schema)
    (value[0] if isinstance(value, list) else value)["unknown"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)
