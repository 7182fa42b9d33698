"""AI integrations over the REST side: keys by name only, headers never read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.engines import EngineInTest, ManualClock, engine

NOWHERE = "TGxtSW50ZWdyYXRpb246MTpub25l"
SECRET = "sk-live-0123456789abcdef0123456789abcdef"
PATH = "/v2/ai-integrations"


async def _create(it: EngineInTest, status: int = 201, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await it.ask(
        "POST", PATH, {"name": "mine", "provider": "OPEN_AI", **fields}, status=status
    )
    return answer


async def test_an_integration_says_whether_its_variable_is_set_now_and_never_the_key() -> None:
    environment = {"MY_KEY": SECRET}
    async with engine(environment=environment) as it:
        made = await _create(it, api_key_env="MY_KEY", model_names=["gpt-4o-mini"])
        text = (await it.http.get(f"{PATH}/{made['id']}")).text
        del environment["MY_KEY"]
        after = await it.ask("GET", f"{PATH}/{made['id']}")
        assert (made["has_api_key"], made["api_key_env"], made["provider"]) == (True, "MY_KEY", "OPEN_AI")
        assert (made["auth_type"], made["enable_default_models"], made["scopings"]) == ("DEFAULT", False, [])
        assert after["has_api_key"] is False
        assert SECRET not in text


async def test_a_key_is_refused_without_being_echoed_and_nothing_is_stored() -> None:
    async with engine() as it:
        reply = await it.http.post(PATH, json={"name": "mine", "provider": "OPEN_AI", "api_key": SECRET})
        made = await _create(it, api_key=None)
        changed = await it.http.patch(f"{PATH}/{made['id']}", json={"api_key": SECRET})
        for refused in (reply, changed):
            assert refused.status_code == refused.json()["status"] == 422
            assert "api_key_env" in refused.json()["detail"]
            assert SECRET not in refused.text


async def test_header_values_are_never_read_back_and_a_mask_keeps_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with engine(path) as it:
        headers = {"Authorization": f"Bearer {SECRET}", "X-Team": "blue"}
        made = await _create(it, headers=headers)
        assert made["headers"] == {"Authorization": "***", "X-Team": "***"}
        one = f"{PATH}/{made['id']}"
        changed = await it.ask("PATCH", one, {"headers": {**made["headers"], "X-Team": "red"}}, status=200)
        assert changed["headers"] == {"Authorization": "***", "X-Team": "***"}
        await it.ask("PATCH", one, {"headers": {"X-New": "***"}}, status=422)
        assert SECRET not in (await it.http.get(PATH)).text
    stored = path.read_bytes()
    assert SECRET.encode() in stored
    assert b'"X-Team":"red"' in stored


async def test_the_heuristic_judge_is_built_in_and_stays() -> None:
    async with engine() as it:
        (builtin,) = (await it.ask("GET", PATH))["ai_integrations"]
        # A published client refuses the whole list for a provider it does not know, so none of ours is on the wire.
        assert (builtin["name"], builtin["provider"], builtin["is_heuristic"]) == ("heuristic", "CUSTOM", True)
        assert "heuristic-faithfulness" in builtin["model_names"]
        await it.ask("DELETE", f"{PATH}/{builtin['id']}", status=409)
        await it.ask("PATCH", f"{PATH}/{builtin['id']}", {"name": "other"}, status=409)
        await _create(it, name="heuristic", status=409)


async def test_engines_that_open_one_store_at_once_make_one_built_in_judge(tmp_path: Path) -> None:
    path, ids = tmp_path / "shared.db", list[str]()

    async def open_and_look() -> None:
        async with engine(path) as it:
            ids.extend(one["id"] for one in (await it.ask("GET", PATH))["ai_integrations"])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(open_and_look)
    assert len(ids) == 4
    assert len(set(ids)) == 1


ROLE = {"kind": "AWS", "role_arn": "arn:aws:iam::123456789012:role/judges", "external_id": "ours"}
PLACE = {"kind": "GCP", "project_id": "my-project", "location": "europe-west4", "project_access_label": "ours"}


@pytest.mark.parametrize(
    ("provider", "metadata"),
    [("ANTHROPIC", None), ("gemini", None), ("AWS_BEDROCK", ROLE), ("AWS_BEDROCK", None), ("VERTEX_AI", PLACE)],
)
async def test_the_providers_of_the_extra_are_made_without_it_and_keep_their_metadata(
    provider: str, metadata: dict[str, str] | None
) -> None:
    async with engine() as it:
        given = {} if metadata is None else {"provider_metadata": {**metadata, "kind": metadata["kind"].lower()}}
        made = await _create(it, provider=provider, **given)
        assert (made["provider"], made["provider_metadata"]) == (provider.upper(), metadata)


async def test_what_the_environment_holds_is_for_the_clouds_own_hosts_only() -> None:
    async with engine() as it:
        for provider, own in (
            ("VERTEX_AI", "https://europe-west4-aiplatform.googleapis.com"),
            ("AWS_BEDROCK", "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ):
            for other in ("https://collector.example", own.replace("https", "http"), f"{own}.example"):
                problem = await _create(it, provider=provider, base_url=other, status=422)
                assert "own hosts" in problem["detail"]
            made = await _create(it, name=provider, provider=provider, base_url=own)
            await it.ask("PATCH", f"{PATH}/{made['id']}", {"base_url": "https://collector.example"}, status=422)
            await _create(
                it, name=f"{provider} key", provider=provider, base_url="https://gateway.example", api_key_env="KEY"
            )


@pytest.mark.parametrize("provider", ["CUSTOM", "NVIDIA_NIM", "LITELLM", "AZURE_OPEN_AI"])
async def test_providers_without_an_address_of_their_own_need_one(provider: str) -> None:
    async with engine() as it:
        problem = await _create(it, provider=provider, status=422)
        assert "base_url" in problem["detail"]
        made = await _create(it, provider=provider, base_url="http://127.0.0.1:8000/v1")
        await it.ask("PATCH", f"{PATH}/{made['id']}", {"base_url": None}, status=422)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"base_url": "http://user:secret@host/v1"}, 422),
        ({"base_url": "http:///v1"}, 422),
        ({"base_url": "http://host:port/v1"}, 422),
        ({"base_url": "ftp://host/v1"}, 400),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, 422),
        ({"headers": {"X A": "a"}}, 422),
        ({"headers": {"X-A": "a" * 9000}}, 422),
        ({"api_key_env": "sk-not a name"}, 400),
        ({"provider": "HEURISTIC", "api_key_env": "KEY"}, 422),
        ({"provider_metadata": ROLE}, 422),
        ({"provider": "VERTEX_AI", "provider_metadata": ROLE}, 422),
        ({"provider": "AWS_BEDROCK", "provider_metadata": {"kind": "AWS"}}, 400),
        ({"provider": "AWS_BEDROCK", "provider_metadata": {**ROLE, "role_arn": "admin"}}, 400),
        ({"provider": "VERTEX_AI", "provider_metadata": {**PLACE, "location": "evil.example/x"}}, 400),
        ({"auth_type": "OAUTH2_CLIENT_CREDENTIALS"}, 501),
        ({"provider": "UNKNOWN"}, 400),
    ],
)
async def test_settings_that_cannot_work_are_refused_when_they_are_made(fields: dict[str, Any], status: int) -> None:
    async with engine() as it:
        problem = await _create(it, status=status, **fields)
        assert problem["status"] == status
        assert len((await it.ask("GET", PATH))["ai_integrations"]) == 1


async def test_an_update_keeps_what_is_not_given_and_null_clears() -> None:
    async with engine(clock=ManualClock()) as it:
        made = await _create(it, api_key_env="A", model_names=["m"], base_url="https://host/v1", headers={"X": "y"})
        one = f"{PATH}/{made['id']}"
        renamed = await it.ask("PATCH", one, {"name": "other", "function_calling_enabled": False}, status=200)
        keyless = await it.ask("PATCH", one, {"api_key": None}, status=200)
        cleared = await it.ask("PATCH", one, {"model_names": None, "headers": None, "base_url": None}, status=200)
        assert (renamed["name"], renamed["api_key_env"], renamed["model_names"]) == ("other", "A", ["m"])
        assert renamed["function_calling_enabled"] is False
        assert keyless["api_key_env"] is None
        assert keyless["model_names"] == ["m"]
        assert [cleared[name] for name in ("model_names", "headers", "base_url")] == [None, None, None]
        assert made["updated_at"] < renamed["updated_at"] < keyless["updated_at"] < cleared["updated_at"]
        await it.ask("PATCH", one, {}, status=422)
        await it.ask("PATCH", one, {"name": None}, status=422)
        await it.ask("PATCH", one, {"name": "heuristic"}, status=409)


async def test_names_are_unique_and_found_in_any_letter_case() -> None:
    async with engine() as it:
        await _create(it, name="Größe/π")
        assert (await _create(it, name="Größe/π", status=409))["status"] == 409
        found = await it.ask("GET", PATH, name="GRÖSSE")
        assert [one["name"] for one in found["ai_integrations"]] == ["Größe/π"]


async def test_a_space_lists_only_the_integrations_that_may_be_used_there() -> None:
    async with engine() as it:
        here = await it.space_id()
        there = (await it.ask("POST", "/v2/spaces", {"name": "there"}))["id"]
        await _create(it, name="everywhere")
        await _create(it, name="organisation", scopings=[{"organization_id": "o", "space_id": None}])
        await _create(it, name="there only", scopings=[{"organization_id": None, "space_id": there}])
        names = {
            space: [one["name"] for one in (await it.ask("GET", PATH, space_id=space))["ai_integrations"]]
            for space in (here, there)
        }
        assert names[here] == ["organisation", "everywhere", "heuristic"]
        assert names[there] == ["there only", "organisation", "everywhere", "heuristic"]
        await it.ask("GET", PATH, status=404, space_id=NOWHERE)


async def test_an_integration_that_evaluators_judge_with_is_not_deleted_and_they_are_named() -> None:
    async with engine() as it:
        evaluator_id = await it.seed_template_evaluator("http://127.0.0.1:9/v1", "judge of tone")
        evaluator = await it.ask("GET", f"/v2/evaluators/{evaluator_id}")
        config = evaluator["version"]["template_config"]
        old = config["llm_config"]["ai_integration_id"]
        problem = await it.ask("DELETE", f"{PATH}/{old}", status=409)
        assert "'judge of tone'" in problem["detail"]
        new = (await _create(it))["id"]
        config["llm_config"]["ai_integration_id"] = new
        body = {"commit_message": "another judge", "template_config": config}
        await it.ask("POST", f"/v2/evaluators/{evaluator_id}/versions", body, status=201)
        await it.ask("DELETE", f"{PATH}/{old}", status=204)
        await it.ask("DELETE", f"{PATH}/{new}", status=409)


async def test_an_integration_judged_with_by_a_pinned_version_is_not_deleted() -> None:
    async with engine() as it:
        evaluator_id = await it.seed_template_evaluator("http://127.0.0.1:9/v1", "pinned judge")
        first = (await it.ask("GET", f"/v2/evaluators/{evaluator_id}"))["version"]
        body = {
            "name": "task",
            "type": "TEMPLATE_EVALUATION",
            "project_id": await it.seed_project(),
            "evaluators": [{"evaluator_id": evaluator_id, "evaluator_version_id": first["id"]}],
        }
        await it.ask("POST", "/v2/tasks", body)
        config = {**first["template_config"]}
        config["llm_config"] = {**config["llm_config"], "ai_integration_id": (await _create(it))["id"]}
        version = {"commit_message": "2", "template_config": config}
        await it.ask("POST", f"/v2/evaluators/{evaluator_id}/versions", version, status=201)
        old = first["template_config"]["llm_config"]["ai_integration_id"]
        problem = await it.ask("DELETE", f"{PATH}/{old}", status=409)
        assert "'pinned judge'" in problem["detail"]


async def test_every_operation_on_an_unknown_integration_is_a_404() -> None:
    async with engine() as it:
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            assert (await it.ask(method, f"{PATH}/{NOWHERE}", body, status=404))["status"] == 404
