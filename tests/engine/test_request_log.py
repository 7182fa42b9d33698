"""The request log: what a line contains, and what it never contains."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from evaltasks.access import Access
from evaltasks.engine.keys import keys_from
from evaltasks.engine.request_log import RequestLog
from tests.support.engine_command import KEY, OTHER_KEY
from tests.support.engines import EngineInTest, engine

LINE = re.compile(
    r"(?P<method>\S+) (?P<path>\S+) (?P<status>\d+|unanswered) (?P<ms>\d+\.\d) ms, (?P<bytes_in>\d+) bytes in, "
    r"(?P<bytes_out>\d+) out, key (?P<key>.+), request (?P<id>[0-9a-f]{16})"
)


@asynccontextmanager
async def logged(keys: str = f"{KEY} {OTHER_KEY}") -> AsyncIterator[EngineInTest]:
    async with engine() as it:
        app = Access(keys=keys_from(keys), log_requests=True).around(it.engine.app)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield EngineInTest(it.engine, http)


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    found = [LINE.fullmatch(record.getMessage()) for record in caplog.records if record.name == "evaltasks.requests"]
    assert all(found), caplog.text
    return [match.groupdict() for match in found if match]


async def test_request_log_line_has_caller_request_and_status_and_the_response_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = keys_from(f"{KEY} {OTHER_KEY}")
    assert keys is not None
    async with logged() as it:
        body = b'{"name": "team"}'
        made = await it.http.post("/v2/spaces", content=body, headers={"authorization": f"Bearer {OTHER_KEY}"})
        gone = await it.http.get("/v2/tasks/VGFzazoxOmE=", headers={"authorization": KEY})
        none = await it.http.get("/v2/tasks")
        wrong = await it.http.get("/v2/tasks", headers={"authorization": "Bearer wrong"})
        foreign = await it.http.get("/v2/tasks", headers={"host": "evil.example"})
        health = await it.http.get("/healthz")
    lines = _lines(caplog)
    one, other = keys.fingerprints
    assert [(line["method"], line["path"], line["status"], line["key"]) for line in lines] == [
        ("POST", "/v2/spaces", "201", other),
        ("GET", "/v2/tasks/VGFzazoxOmE=", "404", one),
        ("GET", "/v2/tasks", "401", "none"),
        ("GET", "/v2/tasks", "401", "wrong"),
        ("GET", "/v2/tasks", "403", "not asked"),
    ]
    replies = (made, gone, none, wrong, foreign)
    assert [line["id"] for line in lines] == [reply.headers["x-request-id"] for reply in replies]
    assert [int(line["bytes_out"]) for line in lines] == [len(reply.content) for reply in replies]
    assert int(lines[0]["bytes_in"]) == len(body)
    assert (health.status_code, "x-request-id" in health.headers) == (200, False)


async def test_request_log_contains_neither_key_nor_body_nor_headers_nor_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with logged() as it:
        await it.http.post(
            "/v2/spaces?api_key=query-secret",
            content=b'{"name": "body-secret"}',
            headers={"authorization": f"Bearer {KEY}", "x-secret": "header-secret", "x-request-id": "stranger"},
        )
    assert len(_lines(caplog)) == 1
    assert not [word for word in (KEY, "secret", "stranger", "?") if word in caplog.text.split("POST")[1]]


async def test_request_log_lines_cannot_be_injected(caplog: pytest.LogCaptureFixture) -> None:
    path = "/v2/tasks/a%0A2026-01-01 WARNING root: all is lost%1b[31m" + "é" * 300
    async with logged() as it:
        await it.http.get(path)
    (line,) = _lines(caplog)
    assert "\n" not in line["path"] and "\x1b" not in line["path"] and line["path"].isascii() is False
    assert line["path"].endswith("…") and len(line["path"]) <= 201


@given(raw=st.binary(max_size=300), method=st.text(max_size=30))
def test_request_log_writes_one_line_for_any_path_and_method(raw: bytes, method: str) -> None:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("evaltasks.requests")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    scope: Scope = {"type": "http", "method": f"M{method}", "path": "/", "raw_path": b"/" + raw, "headers": []}
    coroutine = RequestLog(_silent)(scope, _receive, _send)
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    finally:
        logger.removeHandler(handler)
    (line,) = records
    assert LINE.fullmatch(line)
    assert all(" " <= character <= "~" or character == "…" for character in line)
    assert "unanswered" in line


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/!~", "/!~"), (b"/a b", "/a\\x20b"), (b"/\x7f", "/\\x7f"), (b"/?token=a", "/"),
        (b"/" + b"a" * 199, "/" + "a" * 199), (b"/" + b"a" * 200, "/" + "a" * 199 + "…"),
    ],
    ids=["first and last printable", "space", "delete", "query", "200 characters", "201 characters"],
)  # fmt: skip
def test_line_shows_printable_ascii_unchanged_up_to_200_characters(
    path: bytes, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "evaltasks.requests")
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "raw_path": path, "headers": []}
    with pytest.raises(StopIteration):
        RequestLog(_silent)(scope, _receive, _send).send(None)
    (line,) = _lines(caplog)
    assert line["path"] == shown


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that says nothing."""


async def _receive() -> Message:
    raise AssertionError("nothing is read")


async def _send(message: Message) -> None:
    raise AssertionError("nothing is sent")


async def test_request_log_is_off_by_default(caplog: pytest.LogCaptureFixture) -> None:
    async with engine() as it:
        transport = httpx2.ASGITransport(app=Access().around(it.engine.app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            reply = await http.get("/v2/spaces")
    assert (reply.status_code, "x-request-id" in reply.headers) == (200, False)
    assert not [record for record in caplog.records if record.name == "evaltasks.requests"]
