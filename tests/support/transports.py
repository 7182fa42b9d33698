"""Transports for the client that simulate a network and record the requests.

`Scripted` plays problems and answers in order. `PagedWire` is the listing part of the wire: names filtered by a
case-insensitive part, scopes, pages and cursors.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import httpx2

MOMENT = "2026-11-21T10:00:00.000Z"


@dataclass(frozen=True)
class Sent:
    """One request as sent: `raw_path` is the path and query, encoded as on the wire."""

    method: str
    url: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @classmethod
    async def of(cls, request: httpx2.Request) -> Sent:
        content = await request.aread()
        return cls(
            request.method,
            str(request.url),
            request.url.raw_path.decode(),
            dict(request.url.params),
            dict(request.headers),
            json.loads(content) if content else None,
        )


Step = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


def answers(status: int, body: object = None, **headers: str) -> Step:
    """Return a step that answers with JSON (None: an empty body)."""

    async def step(request: httpx2.Request) -> httpx2.Response:
        content = b"" if body is None else json.dumps(body).encode()
        return httpx2.Response(status, content=content, headers={"content-type": "application/json", **headers})

    return step


def problem(status: int, detail: str, **headers: str) -> Step:
    document = {"type": "about:blank", "title": "T", "status": status, "detail": detail}
    return answers(status, document, **{"content-type": "application/problem+json", **headers})


def html(status: int, text: str = "<html><body>Bad Gateway</body></html>") -> Step:
    async def step(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=text.encode(), headers={"content-type": "text/html"})

    return step


def redirect(location: str, status: int = 307) -> Step:
    async def step(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"location": location})

    return step


def fails(kind: type[httpx2.TransportError]) -> Step:
    async def step(request: httpx2.Request) -> httpx2.Response:
        raise kind("the network said so", request=request)

    return step


class _Cut(httpx2.AsyncByteStream):
    def __init__(self, start: bytes) -> None:
        self._start = start

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._start
        raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")


def cut_mid_body(status: int, start: bytes) -> Step:
    """Return a step whose response is cut off in the middle."""

    async def step(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, stream=_Cut(start), headers={"content-type": "application/json"})

    return step


class _Dripping(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()


def drips() -> Step:
    """Return a step whose response never ends, on an open connection."""

    async def step(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=_Dripping(), headers={"content-type": "application/json"})

    return step


class Scripted(httpx2.AsyncBaseTransport):
    """Runs its steps in order and repeats the last one. `sent` records every request."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self.sent: list[Sent] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(await Sent.of(request))
        return await self._steps[min(len(self.sent), len(self._steps)) - 1](request)


@dataclass
class RecordedSleeps:
    """A sleep that returns at once and records the requested seconds."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(float(seconds))
        await anyio.lowlevel.checkpoint()


class PagedWire(httpx2.AsyncBaseTransport):
    """A service that lists resources by path: `{"/v2/projects": ("projects", [{...}, ...])}`; `resources` may change
    between calls."""

    def __init__(self, resources: dict[str, tuple[str, Sequence[dict[str, Any]]]], page_max: int = 100) -> None:
        self.resources = resources
        self._page_max = page_max
        self.sent: list[Sent] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = await Sent.of(request)
        self.sent.append(sent)
        found = self.resources.get(request.url.path)
        if found is None:
            return await problem(404, "There is no such operation.")(request)
        key, items = found
        query = sent.query
        part = query.get("name", "").casefold()
        chosen = [
            item
            for item in items
            if part in item.get("name", "").casefold()
            and all(item.get(scope) == query[scope] for scope in ("space_id", "dataset_id") if scope in query)
        ]
        start = int(query.get("cursor", "0"))
        end = start + min(int(query.get("limit", "50")), self._page_max)
        more = end < len(chosen)
        pagination = {"has_more": more, "next_cursor": str(end)} if more else {"has_more": False}
        return await answers(200, {key: chosen[start:end], "pagination": pagination})(request)
