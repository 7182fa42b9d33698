"""Notifications of changed resources to subscribers of both protocol eras.

Neither AX nor other processes on the same store report changes, so one watcher polls: only subscribed resources, about
once a second, through the client. It compares the state behind a resource (status, counts, configuration) and not its
content, in which ages and rates change constantly.

2025-11-25: `resources/subscribe` per connection, removed when the connection ends. 2026-07-28: the URIs of open
`subscriptions/listen` streams, which the SDK's bus notifies.
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
    """A watched URI: its number of watchers, its last known state, and whether it can change again."""

    address: Address
    watchers: int = 0
    seen: str | None = None
    final: bool = False


class Subscriptions:
    """The subscriptions of all clients. `watch()` polls; without subscribers it does nothing."""

    def __init__(self, client: Client, time: Clock, *, every_seconds: float) -> None:
        self.bus = InMemorySubscriptionBus()
        self._client = client
        self._time = time
        self._every_seconds = every_seconds
        self._watched: dict[str, Watched] = {}
        self._sessions: dict[int, tuple[ServerSession, Counter[str]]] = {}
        self._has_watchers = anyio.Event()
        self._polling = anyio.Lock()

    async def watch(self) -> None:
        """Poll until cancelled. Several lifespans may run this; one polls, the others wait."""
        async with self._polling:
            while True:
                await self._has_watchers.wait()
                await self._time.sleep(self._every_seconds)
                for uri in list(self._watched):
                    await self._poll(uri)

    # --- 2026-07-28 --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, uris: list[str]) -> AsyncIterator[None]:
        """Watch URIs while a stream listens to them."""
        watched: list[str] = []
        try:
            for uri in uris:
                await self._start(uri)
                watched.append(uri)
            yield
        finally:
            for uri in watched:
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
                await self._start(uri)
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

    # --- polling -----------------------------------------------------------------------------------------------

    async def _start(self, uri: str) -> None:
        """Record the state *before* the subscription is confirmed, so that no later change is missed.

        A URI that is not one of ours is accepted and never notified.

        Raises:
            MCPError: If too many resources are watched.
        """
        address = parse_address(uri)
        if address is None:
            return
        if uri not in self._watched:
            if len(self._watched) >= WATCHED_MAX:
                raise MCPError(INVALID_PARAMS, f"{WATCHED_MAX} resources are subscribed already; end one first")
            self._watched[uri] = Watched(address)
        watched = self._watched[uri]
        watched.watchers += 1
        self._has_watchers.set()
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
            self._has_watchers = anyio.Event()

    async def _poll(self, uri: str) -> None:
        watched = self._watched.get(uri)
        if watched is None or watched.final:
            return
        before = watched.seen
        await self._refresh(watched)
        if before is not None and watched.seen != before:
            await self.publish(uri)

    async def publish(self, uri: str) -> None:
        """Notify every subscriber of a URI."""
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
            # The next poll follows; until then no change is known.
            log.info("cannot poll %s: %s", watched.address.place.name, type(error).__name__)

    async def _state(self, address: Address) -> tuple[str, bool]:
        """Return the state of a resource, as text to compare, and whether it can no longer change."""
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
