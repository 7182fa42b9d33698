"""Cache of display names for ids (bounded, one minute). A failed lookup is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import anyio

from evaltasks.api.problems import Problem
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError
from evaltasks.tools.context import ToolContext

# (kind, id): "project", "dataset", "experiment" or "task".
ResourceKey = tuple[str, str]
Names = Mapping[ResourceKey, str]

_REMEMBERED_SECONDS = 60.0
_REMEMBERED_MAX = 1000
_LOOKUPS_MAX = 15
_LOOKUP_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    name: str | None
    at_seconds: float


# By client: another service has other names, and a closed client's are forgotten with it.
_BOOKS: WeakKeyDictionary[Client, dict[ResourceKey, _Remembered]] = WeakKeyDictionary()


async def display_names(context: ToolContext, wanted: Iterable[ResourceKey | None]) -> dict[ResourceKey, str]:
    """The names that could be learnt in a short time; what could not is absent."""
    book = _BOOKS.setdefault(context.client, {})
    now = context.time.monotonic_seconds()
    asked = list(dict.fromkeys(one for one in wanted if one is not None))
    missing = [one for one in asked if one not in book or now - book[one].at_seconds > _REMEMBERED_SECONDS]
    if missing:
        if len(book) > _REMEMBERED_MAX:
            book.clear()
        with anyio.move_on_after(_LOOKUP_SECONDS_MAX):
            async with anyio.create_task_group() as lookups:
                for one in missing[:_LOOKUPS_MAX]:
                    lookups.start_soon(_look_up, context.client, one, book, now)
    return {one: name for one in asked if one in book and (name := book[one].name) is not None}


async def _look_up(client: Client, wanted: ResourceKey, book: dict[ResourceKey, _Remembered], now: float) -> None:
    kind, id_ = wanted
    name: str | None = None
    try:
        match kind:
            case "project":
                name = (await client.projects.get(id_)).name
            case "dataset":
                name = (await client.datasets.get(id_)).name
            case "experiment":
                name = (await client.experiments.get(id_)).name
            case "task":
                name = (await client.tasks.get(id_)).name
    except (Problem, ClientError):
        # Hidden, deleted or not reachable: the id alone is shown.
        name = None
    book[wanted] = _Remembered(name, now)


def remember_name(context: ToolContext, kind: str, id_: str, name: str | None) -> None:
    """What a call learnt by the way."""
    if name is not None:
        _BOOKS.setdefault(context.client, {})[(kind, id_)] = _Remembered(name, context.time.monotonic_seconds())
