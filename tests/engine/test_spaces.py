"""Spaces and engine information over REST."""

from __future__ import annotations

from pathlib import Path

from tests.support.engines import engine


async def test_new_store_has_the_default_space_and_info_returns_it() -> None:
    async with engine(default_space="home") as it:
        page = await it.ask("GET", "/v2/spaces")
        info = await it.ask("GET", "/evaltasks/v1/info")
    (space,) = page["spaces"]
    assert (space["name"], space["description"], space["is_private"]) == ("home", "", False)
    assert page["pagination"] == {"has_more": False, "next_cursor": None}
    assert (info["product"], info["default_space_id"]) == ("evaltasks", space["id"])


async def test_default_space_keeps_its_id_when_opened_with_another_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ids = []
    for name in ("first", "second"):
        async with engine(path, default_space=name) as it:
            ids.append((await it.ask("GET", "/evaltasks/v1/info"))["default_space_id"])
            if name == "first":
                await it.ask("POST", "/v2/spaces", {"name": "later"}, status=201)
    assert ids[0] == ids[1]


async def test_create_space_refuses_an_existing_name() -> None:
    async with engine() as it:
        made = await it.ask(
            "POST", "/v2/spaces", {"name": "Team", "description": "ours", "is_private": True}, status=201
        )
        assert await it.ask("GET", f"/v2/spaces/{made['id']}") == made
        problem = await it.ask("POST", "/v2/spaces", {"name": "Team"}, status=409)
    assert (made["description"], made["is_private"]) == ("ours", True)
    assert "already exists" in problem["detail"]


async def test_list_spaces_finds_parts_of_names_in_any_letter_case() -> None:
    async with engine() as it:
        for name in ("Alpha Prod", "beta", "ÜBUNG"):
            await it.ask("POST", "/v2/spaces", {"name": name})
        found = {
            part: [space["name"] for space in (await it.ask("GET", "/v2/spaces", name=part))["spaces"]]
            for part in ("prod", "übung", "%", "zzz")
        }
    assert found == {"prod": ["Alpha Prod"], "übung": ["ÜBUNG"], "%": [], "zzz": []}


async def test_list_spaces_pages_are_complete() -> None:
    async with engine() as it:
        names = [f"space {i}" for i in range(7)]
        for name in names:
            await it.ask("POST", "/v2/spaces", {"name": name})
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(10):
            page = await it.ask("GET", "/v2/spaces", limit=3, cursor=cursor)
            seen += [space["name"] for space in page["spaces"]]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
    assert seen == [*reversed(names), "default"]


async def test_spaces_refuse_unknown_ids_cursors_and_fields() -> None:
    async with engine() as it:
        await it.ask("POST", "/v2/spaces", {"name": "other"})
        cursor = (await it.ask("GET", "/v2/spaces", limit=1))["pagination"]["next_cursor"]
        await it.ask("GET", "/v2/spaces/U3BhY2U6MTphYmNk", status=404)
        await it.ask("GET", "/v2/spaces", name="o", cursor=cursor, status=400)
        await it.ask("GET", "/v2/projects", cursor=cursor, status=400)
        await it.ask("GET", "/v2/spaces", cursor="nonsense", status=400)
        problem = await it.ask("POST", "/v2/spaces", {"name": "x", "colour": "red"}, status=400)
    assert "colour" in problem["detail"]


async def test_update_space_changes_each_field_and_null_clears() -> None:
    async with engine() as it:
        path = f"/v2/spaces/{await it.space_id()}"
        await it.ask("POST", "/v2/spaces", {"name": "taken"}, status=201)
        integration = await it.seed_ai_integration("http://127.0.0.1:9/v1")
        chosen = {"integration_id": integration, "model_name": "judge"}
        changed = await it.ask(
            "PATCH", path, {"name": "Home", "description": "ours", "default_llm_integration": chosen}, status=200
        )
        later = await it.ask("PATCH", path, {"is_private": True, "gradient_start_color": "#fff"}, status=200)
        cleared = await it.ask("PATCH", path, {"description": None, "default_llm_integration": None}, status=200)
        for body, status in (
            ({}, 400), ({"description": ""}, 400), ({"name": None}, 400), ({"name": "taken"}, 409), ({"id": "x"}, 400),
            ({"default_llm_integration": {**chosen, "integration_id": "x"}}, 404),
            ({"default_agent_runtime": {"integration_id": integration}}, 501),
        ):  # fmt: skip
            assert (await it.ask("PATCH", path, body, status=status))["status"] == status, body
        assert await it.ask("GET", path) == cleared
    assert (changed["name"], changed["description"], changed["default_llm_integration"]) == ("Home", "ours", chosen)
    assert (later["name"], later["is_private"], later["gradient_start_color"]) == ("Home", True, "#fff")
    assert (cleared["description"], cleared["default_llm_integration"], cleared["is_private"]) == ("", None, True)


async def test_delete_space_deletes_everything_in_it_and_refuses_the_last_one() -> None:
    async with engine() as it:
        team = await it.ask("POST", "/v2/spaces", {"name": "team"}, status=201)
        home = (await it.ask("GET", "/evaltasks/v1/info"))["default_space_id"]
        project = await it.ask("POST", "/v2/projects", {"name": "chat", "space_id": home})
        await it.seed_spans(project["id"], 2)
        evaluator = await it.ask(
            "POST",
            "/v2/evaluators",
            {
                "name": "tone", "space_id": home, "type": "CODE",
                "version": {"commit_message": "first", "code_config": {
                    "type": "MANAGED", "name": "tone", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"]}},
            },
        )  # fmt: skip
        task = await it.seed_task([evaluator["id"]], project_id=project["id"])
        await it.ask("DELETE", f"/v2/spaces/{home}", status=204)
        for path in (f"/v2/spaces/{home}", f"/v2/projects/{project['id']}", f"/v2/tasks/{task}",
                     f"/v2/evaluators/{evaluator['id']}"):  # fmt: skip
            await it.ask("GET", path, status=404)
        problem = await it.ask("DELETE", f"/v2/spaces/{team['id']}", status=403)
        info = await it.ask("GET", "/evaltasks/v1/info")
    assert "last space" in problem["detail"]
    assert info["default_space_id"] == team["id"]
