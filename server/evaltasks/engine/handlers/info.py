"""Information by which a client recognizes an evaltasks engine."""

from __future__ import annotations

from evaltasks import __version__
from evaltasks.api.engine_info import EngineInfo
from evaltasks.engine.call import Call
from evaltasks.engine.handlers.spaces import require_default_space
from evaltasks.engine.store.store import SCHEMA_VERSION


async def get_engine_info(call: Call) -> EngineInfo:
    """Get information by which a client recognizes an evaltasks engine."""
    space = await call.services.store.read_by_key(require_default_space)
    return EngineInfo(
        product="evaltasks",
        version=__version__,
        store_schema=SCHEMA_VERSION,
        default_space_id=space.id,
        staged=[str(injected) for injected in call.services.fault_injection.injected],
    )
