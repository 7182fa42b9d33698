"""Iteration over pages: every item once, without an endless loop or a silent early end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.projects import ListProjects, Project, ProjectPage
from evaltasks.api.wire import Pagination
from evaltasks.client.errors import Unreadable
from evaltasks.client.pages import every_item
from evaltasks.client.transport import open_remote_client
from tests.support.transports import MOMENT, PagedWire, RecordedSleeps, Scripted, answers


def projects(count: int) -> list[dict[str, str]]:
    return [{"id": f"p{i}", "name": f"Project {i}", "space_id": "s", "created_at": MOMENT} for i in range(count)]


@given(count=st.integers(0, 60), limit=st.integers(1, 100), page_max=st.integers(1, 100))
@pytest.mark.promise("page.every")
async def test_every_item_yields_each_item_once_in_order_for_any_page_size(
    count: int, limit: int, page_max: int
) -> None:
    wire = PagedWire({"/v2/projects": ("projects", projects(count))}, page_max=page_max)
    async with open_remote_client(
        "https://ax.test", "k", is_engine=False, transport=wire, sleep=RecordedSleeps()
    ) as client:
        found = [project.id async for project in client.projects.all(ListProjects(limit=limit))]
    assert found == [f"p{i}" for i in range(count)]
    size = min(limit, page_max)
    assert len(wire.sent) == max(1, -(-count // size))


async def test_every_item_requests_the_largest_pages_without_a_limit() -> None:
    rows = answers(200, {"task_run_rows": [], "pagination": {"has_more": False}})
    wire = Scripted(answers(200, {"projects": []}), rows)
    async with open_remote_client("https://ax.test", "k", is_engine=False, transport=wire) as client:
        assert [project async for project in client.projects.all(ListProjects())] == []
        from evaltasks.api.task_runs import ListTaskRunRows

        assert [row async for row in client.task_runs.all_rows("r", ListTaskRunRows())] == []
    assert [sent.query["limit"] for sent in wire.sent] == ["100", "500"]


async def test_spans_all_repeats_the_body_and_sends_the_cursor_in_the_query() -> None:
    from evaltasks.api.spans import ListSpans

    def span(number: int) -> dict[str, object]:
        context = {"trace_id": "t", "span_id": f"s{number}"}
        return {"name": "n", "context": context, "start_time": MOMENT, "end_time": MOMENT}

    wire = Scripted(
        answers(200, {"spans": [span(1)], "pagination": {"has_more": True, "next_cursor": "c+/="}}),
        answers(200, {"spans": [span(2)], "pagination": {"has_more": False}}),
    )
    async with open_remote_client("https://ax.test", "k", is_engine=False, transport=wire) as client:
        found = [each.context.span_id async for each in client.spans.all(ListSpans(project_id="p", filter="x = 1"))]
    assert found == ["s1", "s2"]
    assert [sent.query for sent in wire.sent] == [{"limit": "500"}, {"limit": "500", "cursor": "c+/="}]
    assert wire.sent[0].body == wire.sent[1].body == {"project_id": "p", "filter": "x = 1"}


def page(has_more: bool, cursor: str | None) -> ProjectPage:
    return ProjectPage(
        projects=[Project.model_validate(projects(1)[0])], pagination=Pagination(has_more=has_more, next_cursor=cursor)
    )


async def drain(*pages: ProjectPage, pages_max: int = 10) -> int:
    waiting = list(pages)

    async def fetch(query: ListProjects) -> ProjectPage:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return len([item async for item in every_item(fetch, ListProjects(), lambda p: p.projects, pages_max=pages_max)])


@pytest.mark.promise("page.end")
async def test_every_item_raises_unreadable_for_a_repeated_cursor() -> None:
    with pytest.raises(Unreadable, match="twice"):
        await drain(page(True, "a"), page(True, "b"), page(True, "a"))


@pytest.mark.promise("page.end")
async def test_every_item_raises_unreadable_for_a_missing_cursor() -> None:
    with pytest.raises(Unreadable, match="without a cursor"):
        await drain(page(True, None))


async def test_every_item_follows_a_cursor_without_has_more() -> None:
    assert await drain(page(False, "a"), page(False, None)) == 2


@pytest.mark.promise("page.end")
async def test_every_item_reads_up_to_pages_max_pages_and_raises_beyond() -> None:
    pages = [page(True, str(number)) for number in range(4)]
    assert await drain(*pages, page(False, None), pages_max=5) == 5
    with pytest.raises(Unreadable, match="4 pages"):
        await drain(*pages, page(False, None), pages_max=4)
