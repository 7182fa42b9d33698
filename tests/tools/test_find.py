"""find: search by name, id and link; exact matches first; no guesses."""

from __future__ import annotations

import base64

from evaltasks.api.spaces import CreateSpace
from evaltasks.tools.find import SPEC
from tests.support.authoring import tools


async def test_exact_names_come_first_followed_by_similar_ones() -> None:
    async with tools() as it:
        exact = await it.seed.seed_project("support bot")
        await it.seed.seed_project("support bot 2")
        await it.seed.seed_dataset(name="Support Bot")
        await it.seed.seed_dataset(name="unrelated")
        answer = await it.call(SPEC, text="support bot")
    assert [(m.kind, m.name, m.match) for m in answer.matches] == [
        ("project", "support bot", "exact"),
        ("dataset", "Support Bot", "same letters, other case"),
        ("project", "support bot 2", "part of the name"),
    ]
    assert exact in answer.next_step


async def test_a_misspelt_name_finds_the_similar_one_marked_as_not_exact() -> None:
    async with tools() as it:
        await it.seed.seed_project("support-bot")
        answer = await it.call(SPEC, text="suport-bott", kind="projects")
    assert [(m.name, m.match) for m in answer.matches] == [("support-bot", "similar name")]
    assert "exactly" in answer.next_step


async def test_an_id_and_a_link_find_exactly_their_resource() -> None:
    async with tools() as it:
        dataset = await it.seed.seed_dataset(name="faq")
        experiment = await it.seed.seed_experiment(dataset, name="v1")
        link = f"https://app.arize.com/organizations/x/spaces/{await it.seed.space_id()}/datasets/{dataset}"
        by_id = await it.call(SPEC, text=experiment)
        by_link = await it.call(SPEC, text=link)
        inner = await it.call(SPEC, text=f"{link}/experiments/{experiment}")
    assert [(m.kind, m.name, m.in_kind, m.in_id) for m in by_id.matches] == [("experiment", "v1", "dataset", dataset)]
    assert [(m.kind, m.id) for m in by_link.matches] == [("dataset", dataset)]
    assert [(m.kind, m.id) for m in inner.matches] == [("experiment", experiment)]


async def test_a_task_run_is_recognised_by_its_id() -> None:
    async with tools() as it:
        project = await it.seed.seed_project()
        task = await it.seed.seed_task([await it.seed.seed_code_evaluator()], project_id=project)
        run = await it.seed.trigger(task, data_start_time="2026-03-01T00:00:00Z", data_end_time="2026-03-02T00:00:00Z")
        answer = await it.call(SPEC, text=run["id"])
        other_kind = await it.call(SPEC, text=run["id"], kind="task")
    assert [(m.kind, m.id, m.in_id) for m in answer.matches] == [("task_run", run["id"], task)]
    assert "get_task_run" in answer.next_step
    assert other_kind.matches == []


async def test_without_text_some_resources_of_every_kind_are_listed_and_the_cut_is_reported() -> None:
    async with tools() as it:
        for number in range(12):
            await it.seed.seed_project(f"p{number:02}")
        await it.seed.seed_dataset(name="faq")
        answer = await it.call(SPEC, limit=7)
    assert {m.kind for m in answer.matches} == {"project", "dataset", "ai_integration", "space"}
    assert answer.found == {"ai_integration": 1, "dataset": 1, "project": 12, "space": 1}
    assert answer.cut is not None
    assert answer.cut.startswith("7 of 15 are shown")


async def test_a_small_limit_still_shows_one_resource_of_every_kind() -> None:
    async with tools() as it:
        for number in range(5):
            await it.seed.seed_project(f"a{number}")
        await it.seed.seed_dataset(name="z")
        answer = await it.call(SPEC, limit=4)
        whole = await it.call(SPEC, limit=8)
    assert [m.kind for m in answer.matches] == ["ai_integration", "dataset", "project", "space"]
    assert (answer.cut, whole.cut) == ("4 of 8 are shown. Pass text, kind, or a larger limit.", None)


async def test_a_name_inside_the_text_matches_from_four_characters() -> None:
    async with tools() as it:
        await it.seed.seed_project("faqs")
        await it.seed.seed_project("faq")
        answer = await it.call(SPEC, text="the faqs of our customers in Europe", kind="project")
    assert [(m.name, m.match) for m in answer.matches] == [("faqs", "part of the name")]


async def test_names_are_searched_in_the_requested_space() -> None:
    async with tools() as it:
        await it.seed.seed_project("here")
        await it.client.spaces.create(CreateSpace(name="elsewhere"))
        answer = await it.call(SPEC, text="here", kind="project", space="elsewhere")
    assert answer.matches == []
    assert "Nothing matches" in answer.next_step


async def test_a_name_that_looks_like_an_id_is_still_found_as_a_name() -> None:
    name = base64.b64encode(b"a:b").decode()
    async with tools() as it:
        await it.seed.seed_project(name)
        answer = await it.call(SPEC, text=name)
    assert [(m.kind, m.name) for m in answer.matches] == [("project", name)]


async def test_a_link_to_an_unknown_resource_is_refused() -> None:
    async with tools() as it:
        assert "link" in await it.refused(SPEC, text="https://example.com/somewhere")


async def test_similar_names_are_searched_only_if_no_name_contains_the_text() -> None:
    async with tools() as it:
        id_ = await it.seed.seed_project("support bot")
        await it.seed.seed_project("suport bott")
        answer = await it.call(SPEC, text="support bot", kind="project")
    assert answer.text().splitlines()[0] == f"project support bot ({id_}), exact"
    assert [m.name for m in answer.matches] == ["support bot"]
