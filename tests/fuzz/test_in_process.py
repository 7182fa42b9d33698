"""The engine in this process against its OpenAPI document: valid and invalid requests that schemathesis generates.

`tests/fuzz/check.sh` does the same over TCP, and uses results of one request in the next.

Runs only where `pip install 'evaltasks[fuzz]'` was done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from evaltasks.engine.engine import Engine

schemathesis = pytest.importorskip("schemathesis", reason="NOT TESTED, schemathesis is not installed: evaltasks[fuzz]")

CASES = int(os.environ.get("FUZZ_CASES", "5"))
CONFIG = schemathesis.Config.from_path(Path(__file__).with_name("schemathesis.toml"))
BOUNDED = settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.timeout(1800)


class EngineApp:
    """An ASGI app that opens its engine at start-up, in the event loop of its requests."""

    engine: Engine

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        if scope["type"] != "lifespan":
            await self.engine.app(scope, receive, send)
            return
        await receive()
        # No network: generated integrations must not call real hosts.
        async with Engine.open(":memory:", environment={}) as self.engine:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@schemathesis.serializer("application/x-protobuf")
def no_protobuf(context: Any, value: Any) -> bytes:
    """Generate bodies without a schema. Invalid protobuf is covered by the OTLP tests."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


schema = schemathesis.openapi.from_asgi("/openapi.json", EngineApp(), config=CONFIG)


@schema.parametrize()
@BOUNDED
def test_every_answer_to_a_request_is_described_in_the_openapi_document(case: Any) -> None:
    case.call_and_validate()
