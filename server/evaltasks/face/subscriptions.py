"""Tells subscribers of both protocol eras that a resource changed.

Neither AX nor another process that works on the same store tells us of changes, so one watcher looks: only at what
somebody subscribes to, about once a second, through the client like everybody else. What a resource would show is
not compared (ages and paces move by themselves) but what is behind it: state, counts, configuration.

2025-11-25: `resources/subscribe` per connection, forgotten when the connection ends. 2026-07-28: the addresses of
open `subscriptions/listen` streams; the SDK's bus delivers.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from mcp import MCPError
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated
from mcp.types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from evaltasks.api.problems import NotFound, Problem
from evaltasks.api.spaces import ListSpaces
from evaltasks.api.task_runs import ListTaskRuns
from evaltasks.api.tasks import ListTasks
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError, WrongValue
from evaltasks.edge.clock import Clock
from evaltasks.face.addresses import EVALUATOR, RESULTS, SPACES, TASK, TASK_RUN, TASK_RUNS, Address, parse_address
from evaltasks.face.sdk import RequestContext, connection_exit, connection_key

log = logging.getLogger(__name__)

WATCHED_MAX = 500
GONE = "gone"


@dataclass
class Watched:
    """One address somebody watches: how often, what stood behind it last, and whether it can change again."""

    address: Address
    watchers: int = 0
    seen: str | None = None
    final: bool = False


class Subscriptions:
    """Who watches what. `watch()` is the one task that looks; without subscribers it does nothing."""

    def __init__(self, client: Client, time: Clock, *, every_seconds: float) -> None:
        self.bus = InMemorySubscriptionBus()
        self._client = client
        self._time = time
        self._every_seconds = every_seconds
        self._watched: dict[str, Watched] = {}
        self._sessions: dict[int, tuple[ServerSession, Counter[str]]] = {}
        self._somebody = anyio.Event()
        self._looking = anyio.Lock()

    async def watch(self) -> None:
        """Look until cancelled. Several lifespans may run this; one looks, the others stand by."""
        async with self._looking:
            while True:
                await self._somebody.wait()
                await self._time.sleep(self._every_seconds)
                for uri in list(self._watched):
                    await self._look(uri)

    # --- 2026-07-28 --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, uris: list[str]) -> AsyncIterator[None]:
        """Held open while a stream listens to these addresses."""
        held: list[str] = []
        try:
            for uri in uris:
                await self._begin(uri)
                held.append(uri)
            yield
        finally:
            for uri in held:
                self._end(uri)

    # --- 2025-11-25 and before ---------------------------------------------------------------------------------

    async def subscribe(self, context: RequestContext, params: SubscribeRequestParams) -> EmptyResult:
        uri, key = str(params.uri), connection_key(context.session)
        if key not in self._sessions:
            self._sessions[key] = (context.session, Counter())
            connection_exit(context.session).callback(self._forget, key)
        held = self._sessions[key][1]
        if not held[uri]:
            held[uri] = 1
            try:
                await self._begin(uri)
            except MCPError:
                del held[uri]
                raise
        return EmptyResult()

    async def unsubscribe(self, context: RequestContext, params: UnsubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        _, held = self._sessions.get(connection_key(context.session), (None, Counter()))
        if held.pop(uri, 0):
            self._end(uri)
        return EmptyResult()

    def _forget(self, key: int) -> None:
        _, held = self._sessions.pop(key)
        for uri in held:
            self._end(uri)

    # --- looking -----------------------------------------------------------------------------------------------

    async def _begin(self, uri: str) -> None:
        """Note how things stand *before* the subscription is confirmed, so that no change after it is missed.

        An address that is none of ours is accepted and never fires. Raises MCPError when too many are watched.
        """
        address = parse_address(uri)
        if address is None:
            return
        if uri not in self._watched:
            if len(self._watched) >= WATCHED_MAX:
                raise MCPError(INVALID_PARAMS, f"{WATCHED_MAX} resources are watched already; end a subscription first")
            self._watched[uri] = Watched(address)
        watched = self._watched[uri]
        watched.watchers += 1
        self._somebody.set()
        if watched.seen is None:
            await self._refresh(watched)

    def _end(self, uri: str) -> None:
        watched = self._watched.get(uri)
        if watched is None:
            return
        watched.watchers -= 1
        if watched.watchers == 0:
            del self._watched[uri]
        if not self._watched:
            self._somebody = anyio.Event()

    async def _look(self, uri: str) -> None:
        watched = self._watched.get(uri)
        if watched is None or watched.final:
            return
        before = watched.seen
        await self._refresh(watched)
        if before is not None and watched.seen != before:
            await self.publish(uri)

    async def publish(self, uri: str) -> None:
        """Tell everybody who watches this address."""
        await self.bus.publish(ResourceUpdated(uri=uri))
        for session, held in list(self._sessions.values()):
            if held[uri]:
                await session.send_resource_updated(uri)

    async def _refresh(self, watched: Watched) -> None:
        try:
            watched.seen, watched.final = await self._state(watched.address)
        except (NotFound, WrongValue):
            watched.seen = GONE
        except (Problem, ClientError) as error:
            # Another look follows; meanwhile nothing is known to have changed.
            log.info("could not look at %s: %s", watched.address.place.name, type(error).__name__)

    async def _state(self, address: Address) -> tuple[str, bool]:
        """What stands behind an address, as text to compare, and whether it can never change again."""
        client, values = self._client, address.values
        if address.place in (TASK_RUN, RESULTS):
            task_run = await client.task_runs.get(values["run_id"])
            return task_run.model_dump_json(), task_run.finished
        if address.place is TASK:
            return (await client.tasks.get(values["task_id"])).model_dump_json(), False
        if address.place is TASK_RUNS:
            page = await client.tasks.list_task_runs(values["task_id"], ListTaskRuns(limit=50))
            return page.model_dump_json(), False
        if address.place is EVALUATOR:
            return (await client.evaluators.get(values["evaluator_id"])).model_dump_json(), False
        if address.place is SPACES:
            return (await client.spaces.list(ListSpaces(limit=100))).model_dump_json(), False
        query = ListTasks(limit=100, cursor=address.cursor)
        return (await client.tasks.list(query)).model_dump_json(), False
