"""How a client finds out that it speaks to an evaltasks engine and not to AX (evaltasks' own operation)."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.wire import ResponseModel


class EngineInfo(ResponseModel):
    """`staged` names the failures of AX that this engine shows on purpose: with any, it is there for tests."""

    product: str
    version: str
    store_schema: int
    default_space_id: str
    staged: list[str] = Field(default_factory=list)
