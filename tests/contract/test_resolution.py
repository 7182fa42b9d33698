"""Resolution of names on every backend: over pages and spaces, with candidates, and without a cache."""

from __future__ import annotations

import pytest

from evaltasks.api.projects import CreateProject, RenameProject
from evaltasks.api.spaces import CreateSpace
from evaltasks.client.errors import NotResolved
from evaltasks.engine.ids import ORGANIZATION_ID
from tests.support.backends import BACKENDS, client_of

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


@pytest.mark.promise("name.pages")
async def test_a_name_after_a_hundred_others_is_found(backend: str) -> None:
    async with client_of(backend) as client:
        space = await client.resolve.space()
        wanted = await client.projects.create(CreateProject(name="chat", space_id=space.id))
        for number in range(105):
            await client.projects.create(CreateProject(name=f"chat {number}", space_id=space.id))
        assert (await client.resolve.project("chat")).id == wanted.id
        with pytest.raises(NotResolved) as caught:
            await client.resolve.project("Chat")
    assert caught.value.candidates[0] == ("chat", wanted.id)


@pytest.mark.promise("name.ambiguous")
async def test_one_name_in_two_spaces_needs_the_space(backend: str) -> None:
    async with client_of(backend, default_space=None) as client:
        one = await client.resolve.space()
        two = await client.spaces.create(CreateSpace(name="team-b", organization_id=ORGANIZATION_ID))
        made = [await client.projects.create(CreateProject(name="chat", space_id=id_)) for id_ in (one.id, two.id)]
        with pytest.raises(NotResolved) as caught:
            await client.resolve.project("chat")
        assert sorted(caught.value.candidates) == sorted(("chat", project.id) for project in made)
        assert (await client.resolve.project("chat", space="team-b")).id == made[1].id
        assert (await client.resolve.project("chat", space=one.id)).id == made[0].id
        with pytest.raises(NotResolved, match="A space is required"):
            await client.resolve.space()


async def test_a_renamed_project_is_found_immediately_and_only_by_its_new_name(backend: str) -> None:
    async with client_of(backend) as client:
        made = await client.projects.create(CreateProject(name="old", space_id=(await client.resolve.space()).id))
        assert (await client.resolve.project("old")).id == made.id
        await client.projects.rename(made.id, RenameProject(name="new"))
        assert (await client.resolve.project("new")).id == made.id
        with pytest.raises(NotResolved):
            await client.resolve.project("old")


@pytest.mark.parametrize(
    "name", ["100%_sure", "a_b", "Ärger & Söhne", "it's", 'say "hi"', "雪 ❄", "a  b", "task_abc123"]
)
async def test_a_name_of_special_characters_is_found(backend: str, name: str) -> None:
    async with client_of(backend) as client:
        space = await client.resolve.space()
        made = await client.projects.create(CreateProject(name=name, space_id=space.id))
        await client.projects.create(CreateProject(name=name.replace("_", "x") + "x", space_id=space.id))
        assert (await client.resolve.project(name)).id == made.id
