"""Iteration over all items of a paginated list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar, cast

from evaltasks.api.wire import ListQuery, Page, RowQuery
from evaltasks.client.errors import Unreadable

QueryT = TypeVar("QueryT", bound=ListQuery | RowQuery)
PageT = TypeVar("PageT", bound=Page)
ItemT = TypeVar("ItemT")

# 200,000 resources or a million rows: longer lists are not worth reading to their end.
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
    """Iterate over the items of every page, in the order of the service.

    Args:
        fetch: Fetches the page of a query.
        query: The query. Iteration starts at its cursor. Its `limit` is the size of a page, by default the largest the
            service allows; it never limits the list.
        items_of: Returns the items of a page.
        pages_max: The number of pages after which the list counts as endless.

    Raises:
        Unreadable: Instead of ending early: if the list has more than `pages_max` pages, a cursor is repeated (the
            iteration would not end), or a page announces more items without a cursor.
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
                raise Unreadable("The service announced more items without a cursor; part of the list is missing.")
            return
        if cursor in seen:
            raise Unreadable("The service sent the same cursor twice, so the list does not end; part of it is missing.")
        seen.add(cursor)
        query = cast(QueryT, query.model_copy(update={"cursor": cursor}))
    raise Unreadable(f"The list has more than {pages_max} pages; narrow it by name, filter or time.")
