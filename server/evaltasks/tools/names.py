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

# (kind, id). The kind is "project", "dataset", "experiment" or "task".
ResourceKey = tuple[str, str]
Names = Mapping[ResourceKey, str]

_CACHE_SECONDS = 60.0
_CACHE_ENTRIES_MAX = 1000
_LOOKUPS_MAX = 15
_LOOKUP_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class _CachedName:
    name: str | None
    at_seconds: float


# One cache per client: another service has other names, and the names of a closed client are dropped with it.
_CACHES: WeakKeyDictionary[Client, dict[ResourceKey, _CachedName]] = WeakKeyDictionary()


async def display_names(context: ToolContext, keys: Iterable[ResourceKey | None]) -> dict[ResourceKey, str]:
    """Return the names of resources, as far as they are cached or can be read within three seconds."""
    cache = _CACHES.setdefault(context.client, {})
    now = context.time.monotonic_seconds()
    requested = list(dict.fromkeys(key for key in keys if key is not None))
    missing = [key for key in requested if key not in cache or now - cache[key].at_seconds > _CACHE_SECONDS]
    if missing:
        if len(cache) > _CACHE_ENTRIES_MAX:
            cache.clear()
            missing = requested
        with anyio.move_on_after(_LOOKUP_SECONDS_MAX):
            async with anyio.create_task_group() as lookups:
                for key in missing[:_LOOKUPS_MAX]:
                    lookups.start_soon(_look_up, context.client, key, cache, now)
    return {key: name for key in requested if key in cache and (name := cache[key].name) is not None}


async def _look_up(client: Client, key: ResourceKey, cache: dict[ResourceKey, _CachedName], now: float) -> None:
    kind, id_ = key
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
        # Hidden, deleted or unreachable. The answer then shows the id alone.
        name = None
    cache[key] = _CachedName(name, now)


def remember_name(context: ToolContext, kind: str, id_: str, name: str | None) -> None:
    """Cache a name that a call has read anyway."""
    if name is not None:
        _CACHES.setdefault(context.client, {})[(kind, id_)] = _CachedName(name, context.time.monotonic_seconds())
