"""The call that tells an evaltasks engine from AX."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.api.engine_info import EngineInfo
from evaltasks.client.caller import Caller


class EngineCalls:
    """evaltasks engines only: AX answers NotFound."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def info(self) -> EngineInfo:
        return await self._call(ops.GET_ENGINE_INFO)
