"""Which spaces an integration may be used in."""

from __future__ import annotations

from typing import Protocol

from evaltasks.api.wire import JsonObject


class Scoped(Protocol):
    """An integration that may be limited to some spaces; without scopings every space may use it."""

    @property
    def scopings(self) -> list[JsonObject]: ...


def is_usable_in(integration: Scoped, space_id: str) -> bool:
    """Return True if the integration can be used in the space."""
    scopings = integration.scopings
    return not scopings or any(scoping.get("space_id") in {None, space_id} for scoping in scopings)
