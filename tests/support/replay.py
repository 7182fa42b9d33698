"""Replays exchanges with AX from `tests/fixtures/ax`. The server accepts only the expected requests.

async with replaying([exchange], key=KEY) as it:          # fails the test on other or missing requests
    async with open_remote_client("https://ax.test", KEY, transport=it.transport) as client: ...

Method, path as encoded, query, body, key and content type are compared exactly; differences are listed member by
member.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2

from evaltasks.client.client import Client
from tests.support.ax_calls import BY_NAME, CALLS, Given
from tests.support.strict_ax import came, head_issues, problem_bytes, reply

FOLDER = Path(__file__).parents[1] / "fixtures" / "ax"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `case` says what it is."""

    case: str
    operation: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    given: dict[str, Any]
    status: int
    answer: Any

    @property
    def succeeds(self) -> bool:
        return self.status < 400

    async def ask(self, client: Client) -> Any:
        """Call the client method of the operation and return its reply."""
        pattern = re.sub(r"\{\w+\}", "([^/]+)", BY_NAME[self.operation].path)
        found = re.fullmatch(pattern, self.path)
        assert found is not None, f"{self.path} is not a path of {self.operation}"
        values = [unquote(value) for value in found.groups()]
        query = self.given.get("query", self.query)
        body = self.given.get("body", self.body)
        return await CALLS[self.operation](client, Given.of(self.operation, values, query, body))


def exchanges() -> Iterator[Exchange]:
    for path in sorted(FOLDER.glob("*.json")):
        for case, it in json.loads(path.read_text(encoding="utf-8")).items():
            request, answer = it["request"], it["answer"]
            yield Exchange(
                case, it["operation"], request["method"], request["path"], request.get("query", {}),
                request.get("body"), it.get("given", {}), answer["status"], answer.get("body"),
            )  # fmt: skip


@dataclass
class Replay:
    """An ASGI app that replays its exchanges in order. `differences` lists what was not as expected."""

    left: list[Exchange]
    key: str
    differences: list[str] = field(default_factory=list)

    @property
    def transport(self) -> httpx2.ASGITransport:
        return httpx2.ASGITransport(self)  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = await came(scope, receive)
        if not self.left:
            self.differences.append(f"one request too many: {request.method} {request.path}")
            await reply(send, 400, {}, problem_bytes(400, self.differences[-1]))
            return
        expected = self.left.pop(0)
        differs = head_issues(request, self.key)
        for what, came_, wanted in (
            ("method", request.method, expected.method),
            ("path", request.path, expected.path),
            ("query", request.query, expected.query),
            ("body", request.body, expected.body),
        ):
            differs += list(differences(wanted, came_, what))
        if differs:
            self.differences += [f"{expected.operation}, {expected.case}: {each}" for each in differs]
            await reply(send, 400, {}, problem_bytes(400, "; ".join(differs)))
            return
        body = b"" if expected.answer is None else json.dumps(expected.answer).encode()
        kind = "application/json" if expected.succeeds else "application/problem+json"
        await reply(send, expected.status, {"content-type": kind} if body else {"content-length": "0"}, body)


def differences(wanted: Any, came_: Any, where: str) -> Iterator[str]:
    """Return where and how two JSON values differ; true is not 1."""
    if isinstance(wanted, dict) and isinstance(came_, dict):
        for name in sorted(wanted.keys() | came_.keys()):
            if name not in came_:
                yield f"{where}.{name} did not come"
            elif name not in wanted:
                yield f"{where}.{name} came and is not expected: {came_[name]!r}"
            else:
                yield from differences(wanted[name], came_[name], f"{where}.{name}")
    elif isinstance(wanted, list) and isinstance(came_, list) and len(wanted) == len(came_):
        for number, (one, other) in enumerate(zip(wanted, came_, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif isinstance(wanted, bool) is not isinstance(came_, bool) or wanted != came_:
        yield f"{where} is {came_!r} and not {wanted!r}"


@asynccontextmanager
async def replaying(expected: Sequence[Exchange], *, key: str) -> AsyncIterator[Replay]:
    replay = Replay(list(expected), key)
    try:
        yield replay
    finally:
        # Reported first: the difference is the cause of the client's error.
        missing = [f"{each.operation}, {each.case}: was not asked for" for each in replay.left]
        if reported := replay.differences + missing:
            raise AssertionError("\n".join(reported))
