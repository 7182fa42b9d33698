"""Resolution of names, ids and links: exact, over every page, or rejected with candidates."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.problems import BadRequest
from evaltasks.client.client import Client
from evaltasks.client.errors import NotResolved, Unreadable
from evaltasks.client.references import is_id
from evaltasks.client.resolve import Named
from evaltasks.client.transport import open_remote_client
from tests.support.transports import MOMENT, PagedWire, RecordedSleeps, Scripted, answers, html, problem


def gid(kind: str, number: int = 1) -> str:
    return base64.b64encode(f"{kind}:{number}:aB3d".encode()).decode()


def thing(id_: str, name: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": name, "space_id": "", "created_at": MOMENT, "updated_at": MOMENT, **more}


SPACE_A, SPACE_B = gid("Space", 1), gid("Space", 2)


def wire(**resources: list[dict[str, Any]]) -> PagedWire:
    paths = {key: f"/v2/{key.replace('_', '-')}" for key in resources}
    return PagedWire({paths[key]: (key, items) for key, items in resources.items()}, page_max=10)


@asynccontextmanager
async def client_of(network: PagedWire, default_space: str | None = None) -> AsyncIterator[Client]:
    async with open_remote_client(
        "https://ax.test", "k", is_engine=False, transport=network, sleep=RecordedSleeps(), default_space=default_space
    ) as client:
        yield client


# --- names -------------------------------------------------------------------------------------------------------
@pytest.mark.promise("name.pages")
async def test_resolver_finds_a_name_on_a_late_page_with_large_pages_and_the_name_filter() -> None:
    network = wire(projects=[thing(gid("Model", i), f"chat {i}") for i in range(95)])
    async with client_of(network) as client:
        assert await client.resolve.project("chat 9") == Named(gid("Model", 9), "chat 9")
        assert [sent.query["limit"] for sent in network.sent] == ["100"] * len(network.sent)
        assert all(sent.query["name"] == "chat 9" for sent in network.sent)
        network.sent.clear()
        network.resources["/v2/projects"] = ("projects", [thing(gid("Model", i), f"chat {i % 90}") for i in range(95)])
        with pytest.raises(NotResolved, match="2 projects are named 'chat 1'") as caught:
            await client.resolve.project("chat 1")
    assert len(network.sent) > 1, "both were on different pages"
    assert caught.value.candidates == [("chat 1", gid("Model", 1)), ("chat 1", gid("Model", 91))]


@pytest.mark.promise("name.exact")
async def test_resolver_compares_names_exactly_and_suggests_another_letter_case_first() -> None:
    network = wire(tasks=[
        thing(gid("OnlineTask", 1), "tone check 2", type="CODE_EVALUATION"),
        thing(gid("OnlineTask", 2), "Tone Check", type="CODE_EVALUATION"),
        *[thing(gid("OnlineTask", 10 + i), f"unrelated {i}", type="CODE_EVALUATION") for i in range(20)],
    ])  # fmt: skip
    async with client_of(network) as client:
        with pytest.raises(NotResolved, match="No task is named 'tone check'") as caught:
            await client.resolve.task("tone check")
    assert caught.value.candidates == [
        ("Tone Check", gid("OnlineTask", 2)), ("tone check 2", gid("OnlineTask", 1)),
    ]  # fmt: skip


async def test_resolver_suggests_similar_names_for_a_misspelt_one() -> None:
    names = ["hallucination", "toxicity", *[f"e{i}" for i in range(30)]]
    network = wire(evaluators=[thing(gid("Evaluator", i), name, type="CODE") for i, name in enumerate(names)])
    async with client_of(network) as client:
        with pytest.raises(NotResolved) as caught:
            await client.resolve.evaluator("halucinations")
    assert caught.value.candidates == [("hallucination", gid("Evaluator", 0))]


async def test_resolver_suggests_all_names_of_a_short_list_without_a_similar_one() -> None:
    network = wire(datasets=[thing(gid("Dataset", 1), "alpha"), thing(gid("Dataset", 2), "beta")])
    async with client_of(network) as client:
        with pytest.raises(NotResolved) as caught:
            await client.resolve.dataset("zzz")
    assert sorted(caught.value.candidates) == [("alpha", gid("Dataset", 1)), ("beta", gid("Dataset", 2))]


async def test_resolver_says_if_there_are_no_resources() -> None:
    async with client_of(wire(datasets=[])) as client:
        with pytest.raises(NotResolved, match="The API key can see no dataset there") as caught:
            await client.resolve.dataset("d")
    assert caught.value.candidates == []


@pytest.mark.promise("name.fresh")
async def test_resolver_finds_a_renamed_resource_only_under_its_new_name() -> None:
    network = wire(projects=[thing(gid("Model", 1), "old")])
    async with client_of(network) as client:
        assert (await client.resolve.project("old")).id == gid("Model", 1)
        network.resources["/v2/projects"] = ("projects", [thing(gid("Model", 1), "new")])
        assert (await client.resolve.project("new")).id == gid("Model", 1)
        with pytest.raises(NotResolved):
            await client.resolve.project("old")


@pytest.mark.parametrize("text", ["", "   ", "x" * 256])
async def test_resolver_rejects_an_impossible_name_without_a_request(text: str) -> None:
    network = wire(projects=[])
    async with client_of(network) as client:
        with pytest.raises(NotResolved):
            await client.resolve.project(text)
    assert network.sent == []


@given(names=st.lists(st.text(min_size=1, max_size=12).filter(lambda s: s.strip() and not is_id(s)), max_size=40),
       wanted=st.integers(0, 39))  # fmt: skip
@pytest.mark.promise("name.exact")
async def test_resolver_resolves_a_name_if_exactly_one_resource_has_it(names: list[str], wanted: int) -> None:
    name = names[wanted] if wanted < len(names) else "sought"
    if name.lower().startswith(("http://", "https://")):
        return
    network = wire(datasets=[thing(gid("Dataset", i), each) for i, each in enumerate(names)])
    holders = [gid("Dataset", i) for i, each in enumerate(names) if each == name]
    async with client_of(network) as client:
        try:
            found = await client.resolve.dataset(name)
        except NotResolved as error:
            assert len(holders) != 1
            assert {id_ for _, id_ in error.candidates} <= {gid("Dataset", i) for i in range(len(names))}
        else:
            assert [found.id] == holders


# --- lists that change while they are walked -------------------------------------------------------------------------
def pages(key: str, *items: list[dict[str, Any]]) -> Scripted:
    """The pages of one list in order, whatever is asked."""
    last = len(items) - 1
    steps = [
        answers(200, {key: page, "pagination": {"has_more": at < last, "next_cursor": str(at) if at < last else None}})
        for at, page in enumerate(items)
    ]
    return Scripted(*steps)


@asynccontextmanager
async def client_over(network: Scripted) -> AsyncIterator[Client]:
    async with open_remote_client(
        "https://ax.test", "k", is_engine=False, transport=network, sleep=RecordedSleeps()
    ) as client:
        yield client


@pytest.mark.promise("name.pages")
async def test_resolver_counts_a_resource_on_two_pages_once() -> None:
    """Something new came first while the list was walked, and the rest moved a place on."""
    chat, other, space = thing(gid("Model"), "chat"), thing(gid("Model", 2), "chat 2"), thing(SPACE_A, "team-a")
    async with client_over(pages("projects", [other, chat], [chat], [])) as client:
        assert await client.resolve.project("chat") == Named(gid("Model"), "chat")
    async with client_over(pages("spaces", [space], [space])) as client:
        assert await client.resolve.space() == Named(SPACE_A, "team-a")
    first = {"id": gid("EvaluatorVersion"), "evaluator_id": "e", "type": "CODE", "commit_hash": "abcdef0111",
             "commit_message": "first", "created_at": MOMENT}  # fmt: skip
    async with client_over(pages("evaluator_versions", [first], [first])) as client:
        assert (await client.resolve.evaluator_version("first", "e")).id == first["id"]


@pytest.mark.promise("name.pages")
async def test_resolver_uses_the_last_seen_name_of_a_resource_renamed_between_pages() -> None:
    async with client_over(
        pages("projects", [thing(gid("Model"), "chat old")], [], [thing(gid("Model"), "chat")])
    ) as client:
        assert (await client.resolve.project("chat")).id == gid("Model")
    walked = pages("projects", [thing(gid("Model"), "chat")], [thing(gid("Model"), "chat new")])
    async with client_over(walked) as client:
        with pytest.raises(NotResolved, match="No project is named 'chat'"):
            await client.resolve.project("chat")


@pytest.mark.promise("name.pages")
async def test_resolver_finds_nothing_if_a_later_page_fails() -> None:
    chat = thing(gid("Model"), "chat")
    first = answers(200, {"projects": [chat], "pagination": {"has_more": True, "next_cursor": "2"}})
    for second, kind in ((problem(400, "The cursor is not known."), BadRequest), (html(200), Unreadable)):
        async with client_over(Scripted(first, second)) as client:
            with pytest.raises(kind):
                await client.resolve.project("chat")


# --- scopes ------------------------------------------------------------------------------------------------------
def two_spaces(**resources: list[dict[str, Any]]) -> PagedWire:
    return wire(spaces=[thing(SPACE_A, "team-a"), thing(SPACE_B, "team-b")], **resources)


@pytest.mark.promise("name.ambiguous")
async def test_resolver_rejects_a_name_in_two_spaces_without_a_space() -> None:
    evaluators = [
        thing(gid("Evaluator", 1), "tone", space_id=SPACE_A, type="CODE"),
        thing(gid("Evaluator", 2), "tone", space_id=SPACE_B, type="CODE"),
    ]
    async with client_of(two_spaces(evaluators=evaluators)) as client:
        with pytest.raises(NotResolved, match="or set the space to search") as caught:
            await client.resolve.evaluator("tone")
        assert len(caught.value.candidates) == 2
        assert (await client.resolve.evaluator("tone", space="team-b")).id == gid("Evaluator", 2)
        assert (await client.resolve.evaluator("tone", space=SPACE_A)).id == gid("Evaluator", 1)


async def test_resolver_searches_only_the_default_space_unless_another_one_is_passed() -> None:
    integrations = [thing(gid("LlmIntegration", 1), "openai", space_id=SPACE_A, provider="OPEN_AI"),
                    thing(gid("LlmIntegration", 2), "openai", space_id=SPACE_B, provider="OPEN_AI")]  # fmt: skip
    async with client_of(two_spaces(ai_integrations=integrations), default_space="team-a") as client:
        assert (await client.resolve.space()).id == SPACE_A
        assert (await client.resolve.ai_integration("openai")).id == gid("LlmIntegration", 1)
        assert (await client.resolve.ai_integration("openai", space="team-b")).id == gid("LlmIntegration", 2)


async def test_resolver_reports_an_unknown_space_before_the_name_in_it() -> None:
    async with client_of(two_spaces(projects=[thing(gid("Model"), "chat")])) as client:
        with pytest.raises(NotResolved, match="No space is named 'team-c'") as caught:
            await client.resolve.project("chat", space="team-c")
    assert sorted(caught.value.candidates) == [("team-a", SPACE_A), ("team-b", SPACE_B)]


async def test_resolver_uses_the_only_space_without_a_default_and_requires_one_of_several() -> None:
    async with client_of(wire(spaces=[thing(SPACE_A, "team-a")])) as client:
        assert await client.resolve.space() == Named(SPACE_A, "team-a")
    async with client_of(two_spaces()) as client:
        with pytest.raises(NotResolved, match="A space is required") as caught:
            await client.resolve.space()
        assert caught.value.candidates == [("team-a", SPACE_A), ("team-b", SPACE_B)]
    async with client_of(wire(spaces=[])) as client:
        with pytest.raises(NotResolved, match="access to no space"):
            await client.resolve.space()


async def test_resolver_searches_an_experiment_in_its_dataset_without_a_space() -> None:
    experiments = [
        thing(gid("Experiment", i), "baseline", dataset_id=gid("Dataset", i), space_id=SPACE_A) for i in (1, 2)
    ]
    network = two_spaces(experiments=experiments)
    async with client_of(network, default_space="team-a") as client:
        assert (await client.resolve.experiment("baseline", dataset_id=gid("Dataset", 2))).id == gid("Experiment", 2)
        assert [sent.url.split("?")[0] for sent in network.sent] == ["https://ax.test/v2/experiments"]
        with pytest.raises(NotResolved, match="2 experiments"):
            await client.resolve.experiment("baseline")


# --- versions ----------------------------------------------------------------------------------------------------
async def test_resolver_finds_an_evaluator_version_by_commit_hash_and_message() -> None:
    def version(number: int, commit: str, message: str) -> dict[str, Any]:
        return {"id": gid("EvaluatorVersion", number), "evaluator_id": "e", "type": "CODE", "commit_hash": commit,
                "commit_message": message, "created_at": MOMENT}  # fmt: skip

    versions = [
        version(1, "abcdef0111", "first"),
        version(2, "abcdef0222", "second"),
        version(3, "ffffff0333", "second"),
    ]
    network = PagedWire({"/v2/evaluators/e/versions": ("evaluator_versions", versions)})
    async with client_of(network) as client:
        find = client.resolve.evaluator_version
        assert await find("abcdef0222", "e") == Named(gid("EvaluatorVersion", 2), "second")
        assert (await find("abcdef01", "e")).id == gid("EvaluatorVersion", 1)
        assert (await find("first", "e")).id == gid("EvaluatorVersion", 1)
        for text, count in (("second", 2), ("abcdef0", 2), ("abc", 3)):
            with pytest.raises(NotResolved) as caught:
                await find(text, "e")
            assert len(caught.value.candidates) == count


# --- ids ---------------------------------------------------------------------------------------------------------
@pytest.mark.promise("name.id")
async def test_resolver_accepts_ids_without_a_request() -> None:
    network = wire()
    async with client_of(network, default_space="team-a") as client:
        resolve = client.resolve
        found = [
            await resolve.space(gid("Space")), await resolve.project(gid("Model")),
            await resolve.project(gid("Project")),
            await resolve.dataset(gid("Dataset")), await resolve.experiment(gid("Experiment")),
            await resolve.evaluator(gid("Evaluator")), await resolve.evaluator_version(gid("EvaluatorVersion"), "e"),
            await resolve.ai_integration(gid("LlmIntegration")), await resolve.task(gid("OnlineTask")),
            await resolve.task(gid("Task")), await resolve.task(gid("SomethingNew")),
        ]  # fmt: skip
    assert network.sent == []
    assert all(each.name is None for each in found)


@pytest.mark.promise("name.id")
@pytest.mark.parametrize("text", ["Ojo6", "Og==", gid("Model", 7)])
async def test_resolver_takes_a_name_in_the_form_of_an_id_for_an_id(text: str) -> None:
    network = wire(projects=[thing(gid("Model", 1), text)])
    async with client_of(network) as client:
        assert await client.resolve.project(text) == Named(text)
    assert network.sent == []


@pytest.mark.promise("name.id")
async def test_resolver_rejects_an_id_of_another_kind_without_a_request() -> None:
    network = wire()
    async with client_of(network) as client:
        with pytest.raises(NotResolved, match="This is the id of a dataset, but a project is required"):
            await client.resolve.project(gid("Dataset"))
        with pytest.raises(NotResolved, match="the id of an evaluator version, but an evaluator is required"):
            await client.resolve.evaluator(gid("EvaluatorVersion"))
    assert network.sent == []


@pytest.mark.parametrize(
    "text", ["task_abc123", "run_abc123", "T25saW5lVGFzazoxOjI", "1a2b3c4d", "Name: with colon", "ß"]
)
async def test_resolver_takes_texts_that_only_resemble_ids_for_names(text: str) -> None:
    assert not is_id(text)
    async with client_of(wire(tasks=[thing(gid("OnlineTask"), text, type="CODE_EVALUATION")])) as client:
        assert await client.resolve.task(text) == Named(gid("OnlineTask"), text)


# --- links -------------------------------------------------------------------------------------------------------
HOME = f"https://app.arize.com/organizations/{gid('AccountOrganization')}/spaces/{SPACE_A}"


@pytest.mark.parametrize(
    ("kind", "link", "id_"),
    [
        ("project", f"{HOME}/projects/{gid('Model')}", gid("Model")),
        ("project", f"{HOME}/models/{gid('Model')}?start=1&end=2#top", gid("Model")),
        ("project", f"{HOME}/projects/{gid('Model')}/traces/9f", gid("Model")),
        ("project", f"{HOME}/projects/{gid('Model', 12).replace('=', '%3D')}/", gid("Model", 12)),
        ("project", f"{HOME}/projects/{gid('Model', 12).rstrip('=')}", gid("Model", 12)),
        ("dataset", f"{HOME}/datasets/{gid('Dataset')}/experiments/{gid('Experiment')}", gid("Dataset")),
        ("experiment", f"{HOME}/datasets/{gid('Dataset')}/experiments/{gid('Experiment')}", gid("Experiment")),
        ("experiment", f"{HOME}/datasets/{gid('Dataset')}?experimentId={gid('Experiment')}", gid("Experiment")),
        ("evaluator", f"{HOME}/evaluators/{gid('Evaluator')}", gid("Evaluator")),
        ("task", f"{HOME}/evaluators/tasks/{gid('OnlineTask')}", gid("OnlineTask")),
        ("task", f"{HOME}/evaluators/#/tasks/{gid('OnlineTask')}", gid("OnlineTask")),
        ("ai_integration", f"{HOME}/settings/ai-integrations/{gid('LlmIntegration')}", gid("LlmIntegration")),
        ("space", f"{HOME}/projects/{gid('Model')}", SPACE_A),
    ],
)
async def test_id_in_returns_the_id_of_the_requested_kind_from_a_link(kind: str, link: str, id_: str) -> None:
    network = wire()
    async with client_of(network) as client:
        assert await getattr(client.resolve, kind)(link) == Named(id_)
    assert network.sent == []


@pytest.mark.parametrize(
    ("kind", "link", "words"),
    [
        ("project", f"{HOME}/datasets/{gid('Dataset')}", "leads to a dataset, but a project is required"),
        ("task", f"{HOME}/evaluators/{gid('Evaluator')}", "leads to an evaluator, but a task is required"),
        ("project", HOME, "leads to a space, but a project is required"),
        ("project", f"{HOME}/projects/{gid('Dataset')}", "a project is required"),
        ("project", f"{HOME}/projects/my-project", "a project is required"),
        ("task", "https://example.com/nothing/here", "contains no id of a task"),
        ("task", "https://[broken", "not a valid URL"),
        ("task", "http://", "contains no id of a task"),
    ],
)
async def test_id_in_rejects_a_link_to_another_resource_with_a_reason(kind: str, link: str, words: str) -> None:
    network = wire()
    async with client_of(network) as client:
        with pytest.raises(NotResolved, match=words):
            await getattr(client.resolve, kind)(link)
    assert network.sent == []


@given(st.text(max_size=60))
def test_id_in_accepts_or_rejects_any_text_without_other_errors(text: str) -> None:
    from evaltasks.client.references import KINDS, id_in

    for kind in KINDS:
        for reference in (text, f"https://{text}", f"{HOME}/projects/{text}?{text}"):
            try:
                found = id_in(reference, kind)
            except NotResolved:
                continue
            assert found is None or is_id(found)
