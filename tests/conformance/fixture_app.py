"""The real server plus the fixtures of the official conformance suite, over streamable HTTP.

python -m tests.conformance.fixture_app --port 8123

Only this entry point adds the fixtures; they are beside the catalog's tools on the same server object, so every
scenario that needs no fixture (lists, discovery, headers, sessions, caching, rebinding) judges the real thing.
"""

from __future__ import annotations

import argparse
import warnings

import anyio
import uvicorn
from mcp import MCPDeprecationWarning
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from evaltasks.face.http import GRACE_SECONDS, make_http_app
from evaltasks.face.server import ToolApp, make_server
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolSettings
from tests.conformance import answering, asking, contents


class MemoryEvents(EventStore):
    """Stores the events of each stream, so that a client can resume it."""

    def __init__(self) -> None:
        self._order: list[tuple[str, object]] = []

    async def store_event(self, stream_id: str, message: object) -> str:
        self._order.append((stream_id, message))
        return str(len(self._order))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        place = int(last_event_id) if last_event_id.isdigit() else 0
        if not 1 <= place <= len(self._order):
            return None
        stream_id = self._order[place - 1][0]
        for number, (stream, message) in enumerate(self._order[place:], place + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))  # type: ignore[arg-type]  # stored as it came
        return stream_id


async def serve(port: int) -> None:
    async with (
        Engine.open(":memory:", environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        server = make_server(ToolApp(client=client, settings=ToolSettings(), tools=TOOLS))
        for fixtures in (contents, asking, answering):
            fixtures.add_to(server)
        app = make_http_app(server, "127.0.0.1", port, event_store=MemoryEvents(), retry_interval=100)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS
        )
        await uvicorn.Server(config).serve()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    # The suite still asks for what the newest revision deprecates: sampling, roots, logging.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(serve, parser.parse_args().port)


if __name__ == "__main__":
    main()
