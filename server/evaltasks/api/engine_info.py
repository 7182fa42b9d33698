"""How a client finds out that it speaks to an evaltasks engine and not to AX (evaltasks' own operation)."""

from __future__ import annotations

from evaltasks.api.wire import Read


class EngineInfo(Read):
    product: str
    version: str
    store_schema: int
    default_space_id: str
