"""Evaluators, their versions and the template catalogue over the REST side."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.engines import EngineInTest, ManualClock, engine

NOWHERE = "RXZhbHVhdG9yOjE6bm9uZQ=="
REGEX = {"name": "pattern", "type": "REGEX", "default_value": "a+"}
KEYWORDS = {"name": "keywords", "type": "STRING_ARRAY", "default_value": ["a", "b"]}
EXPECTED = {"name": "expected", "type": "STRING", "default_value": "yes"}


def _code(
    managed: str = "MATCHES_REGEX", variables: Any = ("output",), static_params: Any = (REGEX,)
) -> dict[str, Any]:
    return {
        "type": "MANAGED",
        "name": "check",
        "managed_evaluator": managed,
        "variables": list(variables),
        "static_params": list(static_params),
    }


async def _heuristic_id(it: EngineInTest) -> str:
    listed = await it.ask("GET", "/v2/ai-integrations", name="heuristic")
    return str(listed["ai_integrations"][0]["id"])


async def _template(it: EngineInTest, **changes: Any) -> dict[str, Any]:
    return {
        "name": "faithfulness",
        "template": "Is {output} supported by {context}?",
        "include_explanations": True,
        "classification_choices": {"faithful": 1, "unfaithful": 0},
        "llm_config": {
            "ai_integration_id": await _heuristic_id(it),
            "model_name": "heuristic-faithfulness",
            "invocation_parameters": {},
            "provider_parameters": {},
        },
        **changes,
    }


async def _create(
    it: EngineInTest,
    *,
    name: str = "evaluator",
    template: dict[str, Any] | None = None,
    code: dict[str, Any] | None = None,
    status: int = 201,
    **fields: Any,
) -> dict[str, Any]:
    version: dict[str, Any] = {"commit_message": "first"}
    version |= {"template_config": template} if template else {"code_config": code or _code()}
    body = {
        "space_id": await it.space_id(),
        "name": name,
        "type": "TEMPLATE" if template else "CODE",
        "version": version,
        **fields,
    }
    answer: dict[str, Any] = await it.ask("POST", "/v2/evaluators", body, status=status)
    return answer


async def test_a_template_evaluator_is_answered_with_both_spellings_and_a_commit_hash() -> None:
    async with engine() as it:
        template = await _template(it, use_function_calling_if_available=False)
        made = await _create(it, template=template, description="grounded?")
        read = await it.ask("GET", f"/v2/evaluators/{made['id']}")
        version = await it.ask("GET", f"/v2/evaluator-versions/{made['version']['id']}")
        listed = await it.ask("GET", f"/v2/evaluators/{made['id']}/versions")
        config = version["template_config"]
        assert (config["use_function_calling"], config["use_function_calling_if_available"]) == (False, False)
        assert config["direction"] == "MAXIMIZE"
        assert re.fullmatch(r"[0-9a-f]{40}", version["commit_hash"])
        assert (version["type"], version["commit_message"]) == ("TEMPLATE", "first")
        assert read == made
        assert made["version"] == version == listed["evaluator_versions"][0]
        again = await it.ask(
            "POST",
            f"/v2/evaluators/{made['id']}/versions",
            {"commit_message": "as read", "template_config": config},
            status=201,
        )
        assert again["template_config"] == config


async def test_spellings_that_contradict_each_other_are_refused() -> None:
    async with engine() as it:
        flags = {"use_function_calling": True, "use_function_calling_if_available": False}
        problem = await _create(it, template=await _template(it, **flags), status=422)
        assert "must agree" in problem["detail"]


@pytest.mark.parametrize(
    "code",
    [
        _code(),
        _code("JSON_PARSEABLE", static_params=()),
        _code("CONTAINS_ANY_KEYWORD", static_params=(KEYWORDS,)),
        _code("CONTAINS_ALL_KEYWORDS", static_params=(KEYWORDS,)),
        _code("EXACT_MATCH", ("output", "expected"), ()),
        _code("EXACT_MATCH", ("output",), (EXPECTED,)),
        {
            **_code("json_parseable", static_params=()),
            "type": "managed",
            "data_granularity": None,
            "query_filter": None,
        },
    ],
)
async def test_each_managed_evaluator_is_made_with_what_it_needs(code: dict[str, Any]) -> None:
    async with engine() as it:
        made = await _create(it, code=code)
        kept = made["version"]["code_config"]
        assert kept["managed_evaluator"] == code["managed_evaluator"].upper()
        assert kept["variables"] == code["variables"]
        assert [param["default_value"] for param in kept["static_params"]] == [
            param["default_value"] for param in code["static_params"]
        ]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (_code(static_params=()), "pattern"),
        (_code(static_params=({**REGEX, "default_value": "(a"},)), "pattern"),
        (_code(static_params=({**REGEX, "type": "STRING"},)), "REGEX"),
        (_code("CONTAINS_ANY_KEYWORD", static_params=({**KEYWORDS, "default_value": []},)), "keyword"),
        (_code("CONTAINS_ALL_KEYWORDS", static_params=(REGEX,)), "keywords"),
        (_code("EXACT_MATCH", ("output",), ()), "expected"),
        (_code("EXACT_MATCH", ("a", "b", "c"), ()), "variable"),
        (_code("JSON_PARSEABLE"), "pattern"),
        (_code(variables=()), "variable"),
    ],
)
async def test_a_managed_evaluator_that_could_not_judge_is_refused_when_it_is_made(
    code: dict[str, Any], says: str
) -> None:
    async with engine() as it:
        problem = await _create(it, code=code, status=422)
        assert problem["status"] == 422
        assert says in problem["detail"]
        assert (await it.ask("GET", "/v2/evaluators"))["evaluators"] == []


async def test_double_braces_are_refused_together_with_the_corrected_text() -> None:
    async with engine() as it:
        template = await _template(it, template='Is {{output}} right given {{ context }}? {"label": 1}')
        problem = await _create(it, template=template, status=422)
        assert "{output} for {{output}}" in problem["detail"]
        assert problem["corrected_template"] == 'Is {output} right given {context}? {"label": 1}'
        template["template"] = problem["corrected_template"]
        await _create(it, template=template)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"template": "Is it right?"}, "no variable"),
        ({"template": "Is {output right?"}, "character 4"),
        ({"template": "Is {output} right?}"}, "character 19"),
        ({"classification_choices": {"Yes": 1, "yes ": 0}}, "letter case"),
        ({"classification_choices": {}}, "at least one"),
        ({"template": "Is {answer} good?"}, "context"),
    ],
)
async def test_a_template_that_could_not_judge_is_refused_when_it_is_made(changes: dict[str, Any], says: str) -> None:
    async with engine() as it:
        problem = await _create(it, template=await _template(it, **changes), status=422)
        assert says in problem["detail"]


async def test_an_escaped_json_example_in_a_template_is_accepted() -> None:
    async with engine() as it:
        template = 'Given {context}, judge {output}. Answer as {{"label": "…"}} or {"label": "…"}.'
        made = await _create(it, template=await _template(it, template=template))
        assert made["version"]["template_config"]["template"] == template


async def test_the_integration_must_be_there_and_seen_from_the_space() -> None:
    async with engine() as it:
        template = await _template(it)
        template["llm_config"]["ai_integration_id"] = NOWHERE
        missing = await _create(it, template=template, status=404)
        other_space = (await it.ask("POST", "/v2/spaces", {"name": "other"}))["id"]
        body = {
            "name": "scoped",
            "provider": "OPEN_AI",
            "scopings": [{"organization_id": None, "space_id": other_space}],
        }
        template["llm_config"]["ai_integration_id"] = (await it.ask("POST", "/v2/ai-integrations", body))["id"]
        hidden = await _create(it, template=template, status=404, space_id=await _first_space(it))
        await _create(it, template=template, status=201, space_id=other_space)
        assert missing["detail"] == "LLM integration not found or not accessible to this space"
        assert hidden["detail"] == missing["detail"]


async def _first_space(it: EngineInTest) -> str:
    return str((await it.ask("GET", "/evaltasks/v1/info"))["default_space_id"])


async def test_the_heuristic_judge_takes_only_its_own_models() -> None:
    async with engine() as it:
        template = await _template(it)
        template["llm_config"]["model_name"] = "gpt-4o"
        problem = await _create(it, template=template, status=422)
        assert "heuristic-faithfulness" in problem["detail"]
        assert "gpt-4o" not in problem["detail"]


@pytest.mark.parametrize("granularity", ["TRACE", "session"])
async def test_an_evaluator_may_judge_whole_traces_and_sessions(granularity: str) -> None:
    async with engine() as it:
        template = await _create(it, template=await _template(it, data_granularity=granularity), status=201)
        code = await _create(it, name="code", code={**_code(), "data_granularity": granularity}, status=201)
        assert template["version"]["template_config"]["data_granularity"] == granularity.upper()
        assert code["version"]["code_config"]["data_granularity"] == granularity.upper()


async def test_kinds_of_a_later_slice_say_so() -> None:
    async with engine() as it:
        version = {"commit_message": "first", "remote_config": {"integration_id": "x"}}
        assert "REMOTE" in (await _create(it, type="REMOTE", version=version, status=501))["detail"]


async def test_type_and_configuration_must_agree_at_creation_and_for_later_versions() -> None:
    async with engine() as it:
        await _create(it, type="TEMPLATE", status=422)
        made = await _create(it)
        version = {"commit_message": "other", "template_config": await _template(it)}
        problem = await it.ask("POST", f"/v2/evaluators/{made['id']}/versions", version, status=422)
        assert "CODE" in problem["detail"]


async def test_a_new_version_is_the_latest_and_moves_the_evaluator_to_the_front() -> None:
    async with engine(clock=ManualClock()) as it:
        first, second = await _create(it, name="first"), await _create(it, name="second")
        path = f"/v2/evaluators/{first['id']}"
        before = await it.ask("GET", "/v2/evaluators")
        config = {**_code(), "name": "renamed"}
        version = await it.ask("POST", f"{path}/versions", {"commit_message": "2", "code_config": config}, status=201)
        after = await it.ask("GET", "/v2/evaluators")
        latest, pinned = await it.ask("GET", path), await it.ask("GET", path, version_id=first["version"]["id"])
        assert [one["name"] for one in before["evaluators"]] == ["second", "first"]
        assert [one["name"] for one in after["evaluators"]] == ["first", "second"]
        assert latest["version"] == version
        assert pinned["version"] == first["version"]
        assert latest["updated_at"] > first["updated_at"]
        await it.ask("GET", path, status=404, version_id=second["version"]["id"])


async def test_an_update_keeps_what_is_not_given_and_null_clears_the_description() -> None:
    async with engine() as it:
        made = await _create(it, description="what it does")
        await _create(it, name="taken")
        path = f"/v2/evaluators/{made['id']}"
        renamed = await it.ask("PATCH", path, {"name": "new name"}, status=200)
        cleared = await it.ask("PATCH", path, {"description": None}, status=200)
        assert (renamed["name"], renamed["description"]) == ("new name", "what it does")
        assert (cleared["name"], cleared["description"]) == ("new name", None)
        assert (await it.ask("PATCH", path, {"name": "taken"}, status=409))["status"] == 409
        await it.ask("PATCH", path, {}, status=422)
        await it.ask("PATCH", path, {"name": None}, status=422)
        await it.ask("PATCH", path, {"type": "CODE"}, status=400)


async def test_a_name_is_taken_once_in_a_space() -> None:
    async with engine() as it:
        await _create(it, name="same / näme")
        assert (await _create(it, name="same / näme", status=409))["title"] == "Resource conflict"


async def test_an_evaluator_that_tasks_use_is_not_deleted_and_the_tasks_are_named() -> None:
    async with engine() as it:
        evaluator_id, project_id = await it.seed_code_evaluator(), await it.seed_project()
        first = await it.seed_task([evaluator_id], name="nightly", project_id=project_id)
        second = await it.seed_task([evaluator_id], name="weekly", project_id=project_id)
        problem = await it.ask("DELETE", f"/v2/evaluators/{evaluator_id}", status=409)
        assert "'weekly', 'nightly'" in problem["detail"]
        for task_id in (first, second):
            await it.ask("DELETE", f"/v2/tasks/{task_id}", status=204)
        await it.ask("DELETE", f"/v2/evaluators/{evaluator_id}", status=204)
        await it.ask("GET", f"/v2/evaluators/{evaluator_id}", status=404)


async def test_deleting_versions_unpins_tasks_and_spares_the_last_one_of_a_used_evaluator() -> None:
    async with engine() as it:
        made = await _create(it)
        path, first = f"/v2/evaluators/{made['id']}/versions", made["version"]["id"]
        second = (await it.ask("POST", path, {"commit_message": "2", "code_config": _code()}))["id"]
        attachment = {"evaluator_id": made["id"], "evaluator_version_id": first}
        body = {
            "name": "pinned",
            "type": "CODE_EVALUATION",
            "project_id": await it.seed_project(),
            "evaluators": [attachment],
        }
        task = await it.ask("POST", "/v2/tasks", body)
        both = await it.ask("DELETE", path, {"version_ids": [first, second]}, status=409)
        assert "'pinned'" in both["detail"]
        answer = await it.ask("DELETE", path, {"version_ids": [first, NOWHERE, first]}, status=200)
        assert answer == {"completed": True, "deleted_version_ids": [first], "not_deleted_version_ids": [NOWHERE]}
        (unpinned,) = (await it.ask("GET", f"/v2/tasks/{task['id']}"))["evaluators"]
        assert unpinned["evaluator_version_id"] is None
        await it.ask("DELETE", path, {"version_ids": [second]}, status=409)
        await it.ask("DELETE", f"/v2/tasks/{task['id']}", status=204)
        await it.ask("DELETE", path, {"version_ids": [second]}, status=200)
        without = await it.ask("GET", f"/v2/evaluators/{made['id']}", status=404)
        assert "version" in without["detail"]


async def test_versions_of_another_evaluator_are_not_deleted() -> None:
    async with engine() as it:
        one, two = await _create(it, name="one"), await _create(it, name="two")
        foreign = two["version"]["id"]
        answer = await it.ask("DELETE", f"/v2/evaluators/{one['id']}/versions", {"version_ids": [foreign]}, status=200)
        assert (answer["deleted_version_ids"], answer["not_deleted_version_ids"]) == ([], [foreign])
        await it.ask("GET", f"/v2/evaluator-versions/{foreign}", status=200)


async def test_pages_of_one_lose_and_repeat_nothing() -> None:
    async with engine(clock=ManualClock()) as it:
        made = [(await _create(it, name=f"e{i}"))["id"] for i in range(4)]
        for number in range(3):
            body = {"commit_message": str(number), "code_config": _code()}
            await it.ask("POST", f"/v2/evaluators/{made[1]}/versions", body)
        expected = [made[1], made[3], made[2], made[0]]
        assert [one["id"] for one in await _walk(it, "/v2/evaluators", "evaluators")] == expected
        versions = await _walk(it, f"/v2/evaluators/{made[1]}/versions", "evaluator_versions")
        assert [one["commit_message"] for one in versions] == ["2", "1", "0", "first"]


async def _walk(it: EngineInTest, path: str, items: str) -> list[dict[str, Any]]:
    found, cursor = [], None
    for _ in range(50):
        page = await it.ask("GET", path, limit=1, cursor=cursor)
        found += page[items]
        cursor = page["pagination"].get("next_cursor")
        if cursor is None:
            break
    return found


async def test_every_template_of_the_catalogue_makes_an_evaluator_as_it_stands() -> None:
    async with engine() as it:
        templates = (await it.ask("GET", "/v2/evaluator-templates"))["evaluator_templates"]
        assert {"faithfulness", "relevance", "correctness", "refusal"} <= {one["column_name"] for one in templates}
        integration = await it.seed_ai_integration("http://127.0.0.1:9/v1")
        for one in templates:
            assert one["rails"] == list(one["classification_choices"])
            template = await _template(
                it,
                name=one["column_name"],
                template=one["template"],
                classification_choices=one["classification_choices"],
                direction=one["direction"],
                data_granularity=one["data_granularity"],
            )
            template["llm_config"] |= {"ai_integration_id": integration, "model_name": "judge"}
            made = await _create(it, name=one["display_name"], template=template)
            assert made["version"]["template_config"]["classification_choices"] == one["classification_choices"]
            assert all(label in one["template"] for label in one["rails"])
