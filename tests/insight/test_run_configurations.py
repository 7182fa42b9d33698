from __future__ import annotations

from typing import Any

import pytest

from evaltasks.api.run_configurations import AgentCall, InputVariableFormat, LlmGeneration, TemplateEvaluation
from evaltasks.insight.run_configurations import parse_run_configuration

SEED = {
    "experiment_type": "llm_generation",
    "ai_integration_id": "...",
    "model_name": "gpt-4o",
    "messages": [{"role": "user", "content": "{{input}}"}],
}


def problems_of(value: dict[str, Any]) -> dict[str, str]:
    read = parse_run_configuration(value)
    assert read.configuration is None
    return {".".join(map(str, place)): f"{problem}; {remedy}" for place, problem, remedy in read.issues}


def test_run_configuration_without_a_format_is_read_with_a_note() -> None:
    read = parse_run_configuration(SEED)
    assert isinstance(read.configuration, LlmGeneration)
    assert read.configuration.input_variable_format is InputVariableFormat.MUSTACHE
    assert read.notes == ["input_variable_format is missing; mustache is used (from the placeholders)."]


@pytest.mark.parametrize(
    ("content", "inferred"),
    [
        ("{{ input }}", InputVariableFormat.MUSTACHE),
        ("say {input}", InputVariableFormat.F_STRING),
        ('answer as {"a": 1}', InputVariableFormat.MUSTACHE),
        ("no placeholder", InputVariableFormat.MUSTACHE),
    ],
)
def test_run_configuration_infers_the_format_from_the_placeholders(content: str, inferred: InputVariableFormat) -> None:
    read = parse_run_configuration({**SEED, "messages": [{"role": "user", "content": content}]})
    assert isinstance(read.configuration, LlmGeneration)
    assert read.configuration.input_variable_format is inferred


def test_run_configuration_with_both_kinds_of_braces_is_rejected_as_ambiguous() -> None:
    messages = [{"role": "user", "content": "{{a}}"}, {"role": "user", "content": "{b}"}]
    assert list(problems_of({**SEED, "messages": messages})) == ["input_variable_format"]


def test_run_configuration_sends_format_none_as_f_string_with_a_note() -> None:
    read = parse_run_configuration({**SEED, "input_variable_format": "none"})
    assert isinstance(read.configuration, LlmGeneration)
    assert read.configuration.input_variable_format is InputVariableFormat.F_STRING
    assert "deprecated" in read.notes[0]


def test_run_configuration_issues_name_the_kind_they_were_validated_as() -> None:
    issues = problems_of(
        {**SEED, "template": "x", "mesages": [], "messages": [{"role": "robot", "content": "x", "colour": "red"}]}
    )
    assert issues == {
        "template": "is not a field of llm_generation; remove it (it belongs to template_evaluation)",
        "mesages": "is not a field of llm_generation; did you mean messages?",
        "messages.0.role": "is not one of the allowed values (validated as llm_generation); "
        "use one of: user, assistant, system, tool",
        "messages.0.colour": "is not a field of this object; remove it or correct its spelling",
    }


def test_run_configuration_of_a_misspelt_kind_is_validated_as_the_nearest_kind() -> None:
    issues = problems_of({"experiment_type": "llm_generations", "ai_integration_id": "a", "messages": []})
    assert set(issues) == {"experiment_type", "messages"}
    assert "llm_generation" in issues["experiment_type"]


def test_run_configuration_infers_a_missing_kind_from_its_fields() -> None:
    template = parse_run_configuration({"ai_integration_id": "a", "template": "judge {{x}}"})
    agent = parse_run_configuration({"integration_id": "a", "input_template": {"q": "{{x}}"}})
    assert isinstance(template.configuration, TemplateEvaluation)
    assert isinstance(agent.configuration, AgentCall)
    assert "template_evaluation" in template.notes[0]


def test_run_configuration_without_an_inferable_kind_is_rejected() -> None:
    assert set(problems_of({})) == {"experiment_type"}


def test_run_configuration_treats_null_as_missing() -> None:
    assert parse_run_configuration({**SEED, "tool_config": None, "model_name": None}).issues == []
