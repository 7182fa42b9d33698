"""All items of a paged list, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar, cast

from evaltasks.api.wire import ListQuery, Page, RowQuery
from evaltasks.client.errors import Unreadable

QueryT = TypeVar("QueryT", bound=ListQuery | RowQuery)
PageT = TypeVar("PageT", bound=Page)
ItemT = TypeVar("ItemT")

# 200,000 resources or a million rows: no list that anybody reads to its end is longer.
PAGES_MAX = 2000
RESOURCES_A_PAGE_MAX = 100
ROWS_A_PAGE_MAX = 500


async def every_item(
    fetch: Callable[[QueryT], Awaitable[PageT]],
    query: QueryT,
    items_of: Callable[[PageT], Sequence[ItemT]],
    *,
    pages_max: int = PAGES_MAX,
) -> AsyncIterator[ItemT]:
    """Each item of every page from `query.cursor` on, in the order of the service.

    `query.limit` is the size of a page when it was given, else the largest the service allows; it never cuts the
    list. Raises Unreadable rather than end early: for a list longer than `pages_max` pages, a cursor that comes
    twice (it would go round for ever), or a page that promises more and tells no cursor.
    """
    if "limit" not in query.model_fields_set:
        largest = ROWS_A_PAGE_MAX if isinstance(query, RowQuery) else RESOURCES_A_PAGE_MAX
        query = cast(QueryT, query.model_copy(update={"limit": largest}))
    seen = {query.cursor}
    for _ in range(pages_max):
        page = await fetch(query)
        for item in items_of(page):
            yield item
        cursor = page.pagination.next_cursor
        if not cursor:
            if page.pagination.has_more:
                raise Unreadable("The service says that a list goes on and does not say where; part of it is missing.")
            return
        if cursor in seen:
            raise Unreadable("The service gave the same cursor twice, so the list never ends; part of it is missing.")
        seen.add(cursor)
        query = cast(QueryT, query.model_copy(update={"cursor": cursor}))
    raise Unreadable(f"The list goes on after {pages_max} pages; narrow it by name, filter or time.")
