"""create_evaluator: each kind is created and used; all wrong arguments are reported together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evaltasks.api.evaluator_kinds import CustomCodeConfig
from evaltasks.api.models import HeuristicModel
from evaltasks.tools.create_ai_integration import SPEC as CREATE_AI_INTEGRATION
from evaltasks.tools.create_evaluator import SPEC
from evaltasks.tools.evaluator_configs import variables_in
from tests.support.authoring import tools
from tests.support.custom_code import IMPORTS, custom_code


async def test_every_catalogue_template_creates_an_evaluator_with_its_variables_labels_and_direction() -> None:
    async with tools() as it:
        await it.call(
            CREATE_AI_INTEGRATION, name="judge", provider="custom", base_url="http://127.0.0.1:9/v1", models=["m"]
        )
        listed = (await it.client.evaluators.list_templates()).evaluator_templates
        for one in listed:
            answer = await it.call(
                SPEC, name=one["column_name"], from_template=one["column_name"], ai_integration="judge"
            )
            assert answer.choices == one["classification_choices"]
            assert answer.direction == one["direction"].lower()
            assert answer.variables and all(f"{{{name}}}" in one["template"] for name in answer.variables)
            made = await it.client.evaluators.get(answer.evaluator_id)
            assert made.version.granularity == one["data_granularity"]


@pytest.mark.parametrize("name", [model.removeprefix("heuristic-") for model in HeuristicModel])
async def test_a_catalogue_template_needs_no_other_argument_and_reports_the_judge(name: str) -> None:
    async with tools() as it:
        answer = await it.call(SPEC, name=f"my {name}", from_template=name.title())
        stored = await it.client.evaluators.get(answer.evaluator_id)
    assert stored.version.template_config is not None
    assert stored.version.template_config.llm_config.model_name == f"heuristic-{name}"
    assert "not a language model" in answer.judge
    assert any("not a language model" in note for note in answer.notes or [])
    assert "output" in answer.variables or "context" in answer.variables
    assert answer.evaluation_name == f"my {name}"


async def test_a_custom_template_uses_the_only_model_of_the_integration() -> None:
    async with tools() as it:
        await it.call(
            CREATE_AI_INTEGRATION, name="local", provider="custom", base_url="http://127.0.0.1:1/v1", models=["small"]
        )
        answer = await it.call(
            SPEC, name="tone!", template="Is {output} kind?", choices='{"kind": 1, "rude": 0}', ai_integration="local"
        )
        stored = await it.client.evaluators.get(answer.evaluator_id)
    config = stored.version.template_config
    assert config is not None
    assert (config.template, config.classification_choices) == ("Is {output} kind?", {"kind": 1, "rude": 0})
    assert (config.llm_config.model_name, answer.evaluation_name) == ("small", "tone")
    assert answer.variables == ["output"]


@pytest.mark.parametrize(("models", "shown"), [(2, 2), (10, 10), (11, 10)])
async def test_a_template_without_a_model_is_refused_with_up_to_ten_models(models: int, shown: int) -> None:
    names = [f"model-{number}" for number in range(models)]
    async with tools() as it:
        await it.call(
            CREATE_AI_INTEGRATION, name="local", provider="custom", base_url="http://127.0.0.1:1/v1", models=names
        )
        words = await it.refused(
            SPEC, name="tone", template="Is {output} kind?", choices={"kind": 1, "rude": 0}, ai_integration="local"
        )
    assert "model: is required: the integration 'local' does not have exactly one model" in words
    assert words.rstrip(".").endswith(f"provide one of: {', '.join(names[:shown])}")


async def test_managed_code_evaluators_are_created_for_every_check() -> None:
    calls = {
        "matches_regex": {"pattern": r"\bsorry\b"},
        "json_parseable": {},
        "contains_any_keyword": {"keywords": ["a", "b"]},
        "contains_all_keywords": {"keywords": "a, b"},
        "exact_match": {"expected": "yes"},
    }
    async with tools() as it:
        made = {}
        for managed, arguments in calls.items():
            answer = await it.call(SPEC, name=managed, managed=managed, **arguments)
            made[managed] = answer.variables
        pair = await it.call(SPEC, name="pair", kind="managed-code", managed="EXACT_MATCH")
    assert set(map(tuple, made.values())) == {("output",)}
    assert pair.variables == ["output", "expected"]


async def test_all_errors_of_a_call_are_reported_together_by_kind() -> None:
    async with tools() as it:
        words = await it.refused(
            SPEC, name="x", managed="matches_regex", keywords=["a"], template="{output}", variables=["a", "b"],
            evaluation_name="a/b", colour="red",
        )  # fmt: skip
    assert words.startswith("6 problems with create_evaluator (managed_code)")
    for argument in ("colour", "keywords", "template", "variables", "evaluation_name", "pattern"):
        assert f"{argument}: " in words


async def test_a_call_without_a_kind_is_refused_with_the_arguments_to_provide() -> None:
    async with tools() as it:
        assert "provide from_template, template, managed or code" in await it.refused(SPEC, name="x")


async def test_a_template_without_choices_is_refused() -> None:
    async with tools() as it:
        words = await it.refused(SPEC, name="x", template="Is {output} kind?")
    assert "choices: without choices an answer" in words


async def test_the_heuristic_judge_is_never_assumed_for_a_custom_prompt() -> None:
    async with tools() as it:
        words = await it.refused(SPEC, name="x", template="Is {output} kind?", choices={"yes": 1, "no": 0})
    assert "the heuristic has a rule for some purposes only" in words


async def test_an_unknown_template_is_refused_with_the_nearest_names() -> None:
    async with tools() as it:
        words = await it.refused(SPEC, name="x", from_template="faithfullness")
    assert "did you mean faithfulness" in words


async def test_a_name_in_use_offers_new_version_and_that_call_creates_it() -> None:
    async with tools() as it:
        first = await it.call(SPEC, name="polite", managed="contains_any_keyword", keywords=["please"])
        words = await it.refused(SPEC, name="polite", managed="contains_any_keyword", keywords=["thanks"])
        second = await it.call(
            SPEC, name="polite", managed="contains_any_keyword", keywords=["thanks"], new_version=True
        )
        latest = await it.client.evaluators.get(first.evaluator_id)
    assert first.evaluator_id in words
    assert "new_version=true" in words
    assert (second.evaluator_id, latest.version.id) == (first.evaluator_id, second.evaluator_version_id)
    assert second.evaluator_version_id != first.evaluator_version_id


async def test_a_version_keeps_the_name_of_the_evaluation() -> None:
    async with tools() as it:
        await it.call(SPEC, name="polite", managed="json_parseable", evaluation_name="courtesy")
        second = await it.call(SPEC, name="polite", managed="json_parseable", new_version=True)
        version = await it.client.evaluators.get_version(second.evaluator_version_id)
    assert (version.evaluation_name, second.evaluation_name) == ("courtesy", "courtesy")


async def test_a_version_of_another_type_is_refused() -> None:
    async with tools() as it:
        await it.call(SPEC, name="polite", managed="json_parseable")
        words = await it.refused(SPEC, name="polite", from_template="refusal", new_version=True)
    assert "is of type code" in words


async def test_custom_code_is_validated_by_the_service_and_every_error_is_returned() -> None:
    async with tools() as it:
        words = await it.refused(SPEC, name="x", code="class X(CodeEvaluator):\n    pass")
    assert "imports must import EvaluationResult" in words and "code line 1: the class has no method evaluate" in words


async def test_ax_needs_an_ai_integration() -> None:
    async with tools(as_ax=True) as it:
        words = await it.refused(SPEC, name="x", from_template="faithfulness")
    assert "ai_integration: is required on AX" in words


def test_variables_are_read_from_single_braces() -> None:
    assert variables_in('{input} {attributes.llm.x} {input} {{not}} {"a": 1}') == ["input", "attributes.llm.x"]


READS_ITS_PARAMETERS = """
found = [key for key in self.required_keys if key in output]
return EvaluationResult(label=self.good if len(found) >= int(self.at_least) else "bad", score=len(found))
"""


async def test_static_params_of_custom_code_are_stored_with_their_types() -> None:
    params = [
        {"name": "required_keys", "default_value": ["id", "total"]},
        {"name": "good", "type": "STRING", "default_value": "fine"},
        {"name": "at_least", "default_value": 2},
        {"name": "shape", "type": "regex", "default_value": "^{"},
    ]
    async with tools() as it:
        code = custom_code(READS_ITS_PARAMETERS)
        answer = await it.call(SPEC, name="keys", code=code, imports=IMPORTS, static_params=params)
        assert any("static_params had a number" in note for note in answer.notes or [])
        stored = (await it.client.evaluators.get(answer.evaluator_id)).version.code_config
        same = {"required_keys": ["id", "total"], "good": "fine", "at_least": "2"}
        again = await it.call(SPEC, name="by name", code=code, imports=IMPORTS, static_params=json.dumps(same))
        by_name = (await it.client.evaluators.get(again.evaluator_id)).version.code_config
    assert isinstance(stored, CustomCodeConfig) and isinstance(by_name, CustomCodeConfig)
    assert stored.static_values() == {**same, "shape": "^{"}
    assert [param.type for param in stored.static_params] == ["STRING_ARRAY", "STRING", "STRING", "REGEX"]
    assert by_name.static_values() == same


async def test_all_errors_of_static_params_are_reported_together_each_with_its_path() -> None:
    params = [
        {"name": "a b", "default_value": "x", "colour": "crimson"},
        {"name": "twice", "default_value": [1]},
        {"name": "class", "type": "number", "default_value": True},
        {"name": "twin", "type": "string", "default_value": ["x"]},
        "text",
    ]
    async with tools() as it:
        words = await it.refused(SPEC, name="x", static_params=params, variables=["a", 7], colour="red")
        twins = [{"name": "twin", "default_value": "x"}, {"name": "twin", "default_value": "y"}]
        second = await it.refused(SPEC, name="x", code="class A: ...", static_params=twins)
        both = await it.refused(SPEC, name="x", code="c", static_params={"output": "x"})
        foreign = await it.refused(SPEC, name="x", managed="json_parseable", static_params={"a": "x"})
        nothing = await it.refused(SPEC, name="x", code="c", static_params=[])
    for place in ("[0].colour", "[0].name", "[1].default_value", "[2].name", "[2].default_value", "[2].type",
                  "[3].default_value", "[4]"):  # fmt: skip
        assert f"static_params{place}: " in words
    assert "colour: " in words and "crimson" not in words
    assert "static_params[1].name: is the name of an earlier parameter" in second
    assert "static_params[0].name: is also a variable" in both
    assert "static_params: is only for custom_code" in foreign
    assert "static_params: must be a list" in nothing


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"managed": "exact_match", "variables": ["output", "answer"]}, None),
        ({"managed": "exact_match", "variables": ["output"], "expected": "yes"}, None),
        ({"managed": "exact_match", "variables": ["output"]}, "exact_match takes two variables, or one and expected"),
        ({"managed": "exact_match", "variables": ["output", "answer", "input"]}, "exact_match takes two variables"),
        (
            {"managed": "exact_match", "variables": ["a", "b"], "expected": "yes"},
            "exact_match takes exactly one variable",
        ),
        ({"managed": "json_parseable", "variables": ["a"]}, None),
        ({"managed": "json_parseable", "variables": ["a", "b"]}, "json_parseable takes exactly one variable"),
    ],
)
async def test_a_managed_check_takes_exactly_its_number_of_variables(
    arguments: dict[str, Any], problem: str | None
) -> None:
    async with tools() as it:
        if problem is None:
            assert (await it.call(SPEC, name="check", **arguments)).variables == arguments["variables"]
        else:
            assert f"variables: {problem}" in await it.refused(SPEC, name="check", **arguments)
