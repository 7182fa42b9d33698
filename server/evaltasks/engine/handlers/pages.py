"""Pages and their cursors, the same for every list.

A cursor is opaque: base64url of the list's name and the sort key of the last item shown. It is only good for the
list that made it; anything else is a 400.
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


# The first sort key of a list that goes down; sequence numbers and microseconds never get there.
NEWEST = 2**62


def scope_of(name: str, query: BaseModel, *selectors: str) -> str:
    """The scope of a list: its name and everything in `query` that selects items, but not the page itself."""
    chosen = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
    return json.dumps([name, *selectors, chosen], sort_keys=True)


def cursor_for(scope: str, key: Sequence[int | float | str]) -> str:
    """`scope` names the list with all that selects its items; `key` is the sort key of the last item shown."""
    return base64.urlsafe_b64encode(json.dumps([scope, list(key)]).encode()).decode()


def key_from(scope: str, cursor: str | None, first: Sequence[int | float | str]) -> list[int | float | str]:
    """The sort key to go on after; `first` when there is no cursor. Raises BadRequest for a foreign cursor."""
    if cursor is None:
        return list(first)
    try:
        found_scope, key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        fits = found_scope == scope and len(key) == len(first) and all(map(_alike, key, first))
    except (binascii.Error, ValueError, TypeError):
        fits = False
    if not fits:
        raise BadRequest("cursor does not belong to this list with these filters; start again without a cursor.")
    return list(key)


def _alike(found: object, first: float | str) -> bool:
    """True when a part of a cursor can be bound where `first` could be."""
    if isinstance(first, str):
        return isinstance(found, str)
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 2**63


def paginate(
    rows: Sequence[T], limit: int, scope: str, key_of: Callable[[T], Sequence[int | float | str]]
) -> tuple[list[T], Pagination]:
    """Cut `limit + 1` fetched rows to a page; `next_cursor` is there only when more follow."""
    page = list(rows[:limit])
    if len(rows) <= limit or not page:
        return page, Pagination(has_more=False)
    return page, Pagination(has_more=True, next_cursor=cursor_for(scope, key_of(page[-1])))
