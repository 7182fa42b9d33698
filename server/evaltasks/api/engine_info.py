"""Information about an evaltasks engine, by which clients distinguish it from AX (an operation of evaltasks only)."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.wire import ResponseModel


class EngineInfo(ResponseModel):
    """Information about an engine. `staged` names the failures of AX that it injects for tests."""

    product: str
    version: str
    store_schema: int
    default_space_id: str
    staged: list[str] = Field(default_factory=list)
