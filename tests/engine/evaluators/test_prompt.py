"""Rendering prompts: placeholders, braces and values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.run_configurations import InputVariableFormat, LlmGeneration
from evaltasks.engine.evaluators.prompt import (
    MissingVariable,
    render,
    render_messages,
    variables_of,
    variables_of_messages,
)

SINGLE = InputVariableFormat.F_STRING
DOUBLE = InputVariableFormat.MUSTACHE
BRACED_TEXT = st.text(st.sampled_from("{}ab #"), max_size=40)


@pytest.mark.parametrize(
    ("format", "text", "names"),
    [
        (SINGLE, "Is {output} about {input}? {output}", ("output", "input")),
        (SINGLE, "{attributes.output.value} {docs[0].text}", ("attributes.output.value", "docs[0].text")),
        (SINGLE, '{{input}} {"label": 1} {} { spaced } {0}', ()),
        (InputVariableFormat.NONE, "{input}", ("input",)),
        (DOUBLE, "{{ input }} {{{output}}} {single} {{#section}}", ("input", "output")),
    ],
)
def test_variables_of_returns_each_placeholder_once_in_order(
    format: InputVariableFormat, text: str, names: tuple[str, ...]
) -> None:
    assert variables_of(text, format) == names


@pytest.mark.parametrize(
    ("format", "text", "rendered"),
    [
        (SINGLE, "{{{x}}}", "{1}"),
        (SINGLE, '{{"label": "{x}"}}', '{"label": "1"}'),
        (SINGLE, 'Unescaped {"a": {"b": {x}}}', 'Unescaped {"a": {"b": 1}}'),
        (DOUBLE, '{"a": {{x}}} {x} {{{x}}}', '{"a": 1} {x} 1'),
    ],
)
def test_render_keeps_braces_without_a_name(format: InputVariableFormat, text: str, rendered: str) -> None:
    assert render(text, format, {"x": 1}) == rendered


def test_render_writes_lists_and_objects_as_json() -> None:
    values = {"a": ["é", {"b": None}], "c": True, "d": "text"}

    assert render("{a} {c} {d}", SINGLE, values) == '["é", {"b": null}] true text'


def test_render_names_a_placeholder_without_a_value() -> None:
    with pytest.raises(MissingVariable, match="'output' has no value"):
        render("{output}", SINGLE, {})


@given(BRACED_TEXT, BRACED_TEXT)
def test_render_never_expands_braces_in_data(left: str, right: str) -> None:
    values = {"a": left, "b": right}

    assert render("<{a}|{b}>", SINGLE, values) == f"<{left}|{right}>"
    assert render("<{{a}}|{{b}}>", DOUBLE, values) == f"<{left}|{right}>"


@given(BRACED_TEXT)
def test_render_needs_only_the_variables_that_variables_of_returns(text: str) -> None:
    for format in (SINGLE, DOUBLE):
        render(text, format, dict.fromkeys(variables_of(text, format), "{a}{{b}}"))


def test_render_messages_uses_the_variable_format_of_the_configuration() -> None:
    config = LlmGeneration.model_validate(
        {
            "experiment_type": "llm_generation",
            "ai_integration_id": "i",
            "input_variable_format": "mustache",
            "messages": [
                {"role": "SYSTEM", "content": "Answer {briefly}."},
                {"role": "user", "content": "{{question}}"},
                {"role": "assistant", "tool_calls": [{"id": "1"}]},
            ],
        }
    )

    messages = render_messages(config, {"question": "{{question}}?"})

    assert variables_of_messages(config) == ("question",)
    assert [(m.role, m.content) for m in messages] == [
        ("system", "Answer {briefly}."),
        ("user", "{{question}}?"),
        ("assistant", None),
    ]
    assert messages[2].tool_calls == [{"id": "1"}]
