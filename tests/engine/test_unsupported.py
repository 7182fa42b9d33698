"""Resources that the engine does not have: their responses are readable for every client."""

from __future__ import annotations

import pytest

from evaltasks.engine.unsupported import unsupported_routes
from tests.support.engines import engine


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v2/prompts", "prompts"), ("/v2/users", "users"), ("/v2/tags", "tags"), ("/v2/roles", "roles"),
        ("/v2/annotation-queues", "annotation_queues"), ("/v2/api-keys", "api_keys"), ("/v2/audit-logs", "logs"),
    ],
)  # fmt: skip
async def test_unsupported_resources_have_empty_lists_and_answer_404_and_403(path: str, name: str) -> None:
    async with engine() as it:
        assert await it.ask("GET", path, limit=1, name="x") == {name: [], "pagination": {"has_more": False}}
        missing = await it.ask("GET", f"{path}/UHJvbXB0OjE6YWJjZA==", status=404)
        refused = await it.ask("POST", path, {"name": "x"}, status=403)
        below = await it.ask("PATCH", f"{path}/x/y/z", {}, status=403)
    assert (missing["status"], refused["status"], below["status"]) == (404, 403, 403)
    assert "does not have" in refused["detail"]


async def test_every_space_belongs_to_the_one_organization() -> None:
    async with engine() as it:
        (organization,) = (await it.ask("GET", "/v2/organizations"))["organizations"]
        space = await it.ask("GET", f"/v2/spaces/{await it.space_id()}")
        assert await it.ask("GET", f"/v2/organizations/{organization['id']}") == organization
        await it.ask("GET", "/v2/organizations/x", status=404)
        await it.ask("POST", "/v2/organizations", {"name": "x"}, status=403)
    assert space["organization_id"] == organization["id"]


async def test_resources_have_no_tags_and_spaces_no_members() -> None:
    async with engine() as it:
        space_id = await it.space_id()
        tags = await it.ask("GET", f"/v2/datasets/{await it.seed_dataset()}/tags")
        await it.ask("POST", f"/v2/spaces/{space_id}/users", {"user_id": "x"}, status=403)
        await it.ask("DELETE", f"/v2/spaces/{space_id}/users/x", status=403)
    assert tags["tags"] == []


def test_unsupported_routes_hide_no_operation() -> None:
    assert not any(route.path.startswith("/v2/tasks") for route in unsupported_routes())
