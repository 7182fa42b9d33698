"""Pages and cursors of all lists.

A cursor is opaque to clients: base64url of the scope of the list and the sort key of the last item of the page. It is
valid only for the list that returned it; anything else is a 400.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from evaltasks.api.problems import BadRequest
from evaltasks.api.wire import Pagination

T = TypeVar("T")


# The sort key before the first item of a descending list; sequence numbers and microseconds are always smaller.
NEWEST = 2**62


def scope_of(name: str, query: BaseModel, *selectors: str) -> str:
    """Return the scope of a list: its name and everything in `query` that selects items, without limit and cursor."""
    selection = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
    return json.dumps([name, *selectors, selection], sort_keys=True)


def cursor_for(scope: str, key: Sequence[int | float | str]) -> str:
    """Return a cursor.

    Args:
        scope: The scope of the list (`scope_of`).
        key: The sort key of the last item of the page.
    """
    return base64.urlsafe_b64encode(json.dumps([scope, list(key)]).encode()).decode()


def key_from(scope: str, cursor: str | None, first: Sequence[int | float | str]) -> list[int | float | str]:
    """Return the sort key after which the page starts.

    Args:
        scope: The scope of the list.
        cursor: The cursor that the client sent.
        first: The sort key without a cursor.

    Raises:
        BadRequest: The cursor belongs to another list, or is not a cursor.
    """
    if cursor is None:
        return list(first)
    try:
        cursor_scope, key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        is_valid = cursor_scope == scope and len(key) == len(first) and all(map(_has_type_of, key, first))
    except (binascii.Error, ValueError, TypeError):
        is_valid = False
    if not is_valid:
        raise BadRequest("cursor does not belong to this list with these filters; omit it to start at the first page.")
    return list(key)


def _has_type_of(value: object, first: float | str) -> bool:
    """Return True if a part of a cursor can be bound in place of `first`."""
    if isinstance(first, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def paginate(
    rows: Sequence[T], limit: int, scope: str, key_of: Callable[[T], Sequence[int | float | str]]
) -> tuple[list[T], Pagination]:
    """Return the rows of a page and its pagination, with a `next_cursor` if more rows follow.

    Args:
        rows: Up to `limit + 1` rows.
        limit: The size of a page.
        scope: The scope of the list.
        key_of: Returns the sort key of a row.
    """
    page = list(rows[:limit])
    if len(rows) <= limit or not page:
        return page, Pagination(has_more=False)
    return page, Pagination(has_more=True, next_cursor=cursor_for(scope, key_of(page[-1])))
