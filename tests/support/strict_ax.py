"""A service stricter than AX: it accepts only the shapes of `ax_shapes`.

`StrictAx` wraps an engine and passes only what AX would accept: unknown paths, query parameters and members,
enumerations in another letter case, nulls that are not allowed, a missing key or content type are refused and kept in
`refused`. With `is_ax` it also hides what evaltasks has and AX has not: its own operations, and its own members of
requests and answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx2

from evaltasks.client.transport import AsgiApp
from tests.support.ax_shapes import OURS_ALONE, operation_of, problems_of

OURS = "/evaltasks/v1/"
# Members that only an engine returns, at any depth.
OUR_ANSWERS = frozenset(
    {"num_selected", "chained_task_run_ids", "projected_rows_per_day", "is_heuristic", "api_key_env", "headers_env",
     "output_path", "has_headers", "provider_plugin"}
)  # fmt: skip


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as the server received it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


async def came(scope: Mapping[str, Any], receive: Any) -> ReceivedRequest:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            break
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    path = scope.get("raw_path", scope["path"].encode()).decode().partition("?")[0]
    return ReceivedRequest(scope["method"], path, query, headers, json.loads(content) if content else None)


async def reply(send: Any, status: int, headers: Mapping[str, str], body: bytes) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def problem_bytes(status: int, detail: str) -> bytes:
    return json.dumps({"status": status, "title": "Refused", "detail": detail}).encode()


def head_issues(request: ReceivedRequest, key: str | None) -> list[str]:
    """Return the problems that do not depend on the path."""
    reported = []
    if key is not None and request.headers.get("authorization") != f"Bearer {key}":
        reported.append("authorization is not the key as Bearer")
    if request.body is not None and request.headers.get("content-type") != "application/json":
        reported.append("a body without content-type: application/json")
    return reported


@dataclass
class StrictAx:
    """The app. `refused` are the problems of all requests; `key`, if set, is required as a Bearer token."""

    engine: AsgiApp
    key: str | None = None
    is_ax: bool = False
    refused: list[str] = field(default_factory=list)
    operations: set[str] = field(default_factory=set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.engine(scope, receive, send)
            return
        request = await came(scope, receive)
        status, issues = self._judged(request)
        if issues:
            if status != 404:
                self.refused += [f"{request.method} {request.path}: {issue}" for issue in issues]
            content = {"content-type": "application/problem+json"}
            await reply(send, status, content, problem_bytes(status, "; ".join(issues)))
            return
        inner = httpx2.ASGITransport(self.engine)  # type: ignore[arg-type]
        target = f"http://engine.test{request.path}"
        async with httpx2.AsyncClient(transport=inner) as http:
            answer = await http.request(
                request.method, target, params=request.query or None, headers=_passed_on(request.headers),
                content=None if request.body is None else json.dumps(request.body).encode(),
            )  # fmt: skip
        body = answer.content
        if self.is_ax and body:
            body = json.dumps(_without_ours(answer.json())).encode()
        kept = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        await reply(send, answer.status_code, kept, body)

    def _judged(self, request: ReceivedRequest) -> tuple[int, list[str]]:
        reported = head_issues(request, self.key)
        if reported:
            return 401, reported
        if request.path.startswith(OURS):
            return (404, ["no such operation"]) if self.is_ax else (200, [])
        operation = operation_of(request.method, request.path)
        if operation is None:
            # A path with dot segments matches no operation; the engine reports it.
            return (404, ["no such operation"]) if self.is_ax else (200, [])
        self.operations.add(operation)
        allowed = frozenset() if self.is_ax else OURS_ALONE.get(operation, frozenset())
        found = problems_of(operation, request.query, request.body)
        return 422, [issue for issue in found if issue.partition(" ")[0] not in allowed]


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in {"content-type", "accept", "authorization"}}


def _without_ours(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _without_ours(value) for name, value in answer.items() if name not in OUR_ANSWERS}
    return [_without_ours(item) for item in answer] if isinstance(answer, list) else answer
