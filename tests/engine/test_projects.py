"""Projects over REST."""

from __future__ import annotations

from tests.support.engines import EngineInTest, engine

ABSENT = "U3BhY2U6MTphYmNk"


async def _names(it: EngineInTest, **query: object) -> list[str]:
    return [project["name"] for project in (await it.ask("GET", "/v2/projects", **query))["projects"]]


async def test_create_project_has_the_type_application() -> None:
    async with engine() as it:
        space_id = await it.space_id()
        made = await it.ask("POST", "/v2/projects", {"name": "bot", "space_id": space_id}, status=201)
        assert await it.ask("GET", f"/v2/projects/{made['id']}") == made
    assert (made["name"], made["space_id"], made["project_type"]) == ("bot", space_id, "APPLICATION")


async def test_project_names_are_unique_in_their_space() -> None:
    async with engine() as it:
        home = await it.space_id()
        other = (await it.ask("POST", "/v2/spaces", {"name": "other"}))["id"]
        await it.ask("POST", "/v2/projects", {"name": "bot", "space_id": home}, status=201)
        await it.ask("POST", "/v2/projects", {"name": "bot", "space_id": other}, status=201)
        problem = await it.ask("POST", "/v2/projects", {"name": "bot", "space_id": home}, status=409)
        await it.ask("POST", "/v2/projects", {"name": "bot", "space_id": ABSENT}, status=404)
    assert "already exists in the space" in problem["detail"]


async def test_list_projects_is_newest_first_and_filters_by_space_name_and_type() -> None:
    async with engine() as it:
        home = await it.space_id()
        other = (await it.ask("POST", "/v2/spaces", {"name": "Other"}))["id"]
        for name, space_id in (("Alpha", home), ("beta", home), ("alphabet", other)):
            await it.ask("POST", "/v2/projects", {"name": name, "space_id": space_id})
        assert await _names(it) == ["alphabet", "beta", "Alpha"]
        assert await _names(it, space_id=home) == ["beta", "Alpha"]
        assert await _names(it, name="ALPHA") == ["alphabet", "Alpha"]
        assert await _names(it, space_name="oth") == ["alphabet"]
        assert await _names(it, project_type="application", space_id=home) == ["beta", "Alpha"]
        assert await _names(it, project_type="HARNESS") == []
        await it.ask("GET", "/v2/projects", space_id=ABSENT, status=404)
        await it.ask("GET", "/v2/projects", project_type="ZOO", status=400)


async def test_rename_project_refuses_an_existing_name() -> None:
    async with engine() as it:
        first, second = await it.seed_project("first"), await it.seed_project("second")
        await it.ask("PATCH", f"/v2/projects/{second}", {"name": "first"}, status=409)
        same = await it.ask("PATCH", f"/v2/projects/{second}", {"name": "second"})
        renamed = await it.ask("PATCH", f"/v2/projects/{first}", {"name": "third"})
        await it.ask("PATCH", f"/v2/projects/{ABSENT}", {"name": "x"}, status=404)
        assert (same["name"], renamed["name"], renamed["id"]) == ("second", "third", first)
        assert await _names(it) == ["second", "third"]


async def test_delete_project_deletes_its_spans_and_frees_its_name() -> None:
    async with engine() as it:
        project = await it.seed_project("bot")
        await it.seed_spans(project, 3)
        await it.ask("DELETE", f"/v2/projects/{project}", status=204)
        await it.ask("GET", f"/v2/projects/{project}", status=404)
        await it.ask("DELETE", f"/v2/projects/{project}", status=404)
        await it.ask("POST", "/v2/spans", {"project_id": project}, status=404)
        again = await it.seed_project("bot")
        window = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2027-01-01T00:00:00Z"}
        assert (await it.ask("POST", "/v2/spans", {"project_id": again, **window}))["spans"] == []
