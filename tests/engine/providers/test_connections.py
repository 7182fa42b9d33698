"""Connections are reused and replaced, whatever servers, proxies and cancelled calls do to them."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpcore2
import httpx2
import pytest

from evaltasks.engine.providers.connection_pool import ConnectionFactory, ConnectionPool
from evaltasks.engine.providers.http1 import BufferedWriteStream, Http1Connection
from tests.support.judges import Answer, completion, judge_server

TIMEOUT = httpx2.Timeout(5)
ALL_AND_CLOSE = 1 << 20


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def connections() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(ConnectionFactory(None, TIMEOUT).make)
    try:
        yield opened
    finally:
        await opened.aclose()


async def ask(opened: ConnectionPool, url: str, **body: Any) -> Any:
    async with opened.post(f"{url}/chat/completions", json.dumps(body).encode(), {"x-mine": "1"}) as response:
        return json.loads(await response.aread())


async def test_sequential_calls_use_one_connection() -> None:
    async with judge_server() as judge, connections() as opened:
        for _ in range(5):
            await ask(opened, judge.base_url)

    assert judge.num_connections == 1
    assert judge.requests[0].headers == {
        "host": judge.base_url.removeprefix("http://").removesuffix("/v1"),
        "user-agent": "evaltasks",
        "x-mine": "1",
        "content-length": "2",
    }


async def test_connection_closed_by_the_server_is_opened_again() -> None:
    answers = [Answer(body=json.dumps(completion({})).encode(), cut_after=ALL_AND_CLOSE) for _ in range(3)]
    async with judge_server(script=answers) as judge, connections() as opened:
        for _ in range(3):
            await ask(opened, judge.base_url)
            # The server closes the connection once it has the event loop.
            await anyio.wait_all_tasks_blocked()

    assert judge.num_connections == 3


async def test_call_after_a_cancelled_one_uses_a_new_connection() -> None:
    async with judge_server() as judge, connections() as opened:
        judge.hold()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, opened, judge.base_url)
            await judge.wait_for_requests(1)
            tasks.cancel_scope.cancel()
        judge.release()
        answer = await ask(opened, judge.base_url)

    assert answer["choices"]
    assert judge.num_connections == 2


async def test_one_connection_reaches_several_addresses() -> None:
    async with judge_server() as first, judge_server() as second, connections() as opened:
        for judge in (first, second, first):
            await ask(opened, judge.base_url)

    assert (len(first.requests), len(second.requests)) == (2, 1)


async def test_compressed_answer_is_decoded() -> None:
    packed = Answer(body=gzip.compress(b'{"word": "read"}'), headers={"content-encoding": "gzip"})
    async with judge_server(script=[packed]) as judge, connections() as opened:
        assert await ask(opened, judge.base_url) == {"word": "read"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [(Answer.cut(), httpx2.RemoteProtocolError), (Answer.cut(150), httpx2.RemoteProtocolError)],
)
async def test_lost_connection_raises_the_error_of_httpx2(answer: Answer, error: type[Exception]) -> None:
    async with judge_server(script=[answer]) as judge, connections() as opened:
        with pytest.raises(error):
            await ask(opened, judge.base_url)
        assert (await ask(opened, judge.base_url))["choices"]


async def test_closed_port_raises_connect_error() -> None:
    async with connections() as opened:
        with pytest.raises(httpx2.ConnectError):
            await ask(opened, "http://127.0.0.1:9")


async def test_invalid_url_is_refused_before_anything_is_sent() -> None:
    async with connections() as opened:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await ask(opened, "judge.example/v1")


async def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with judge_server() as proxy, connections() as opened:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        await ask(opened, "http://judge.example/v1")

    assert [request.path for request in proxy.requests] == ["http://judge.example/v1/chat/completions"]


class _AnswersEarly(httpcore2.AsyncNetworkStream):
    """The stream of a server that answers before it has read the body, and reads no more."""

    def __init__(self, answer: bytes) -> None:
        self.num_writes = 0
        self._answer = answer

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.num_writes += 1
        raise httpcore2.WriteError

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    async def aclose(self) -> None:
        pass


async def test_answer_sent_before_the_end_of_the_request_is_read() -> None:
    stream = _AnswersEarly(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    buffered = BufferedWriteStream(stream)
    await buffered.write(b"head")
    await buffered.write(b"body")

    assert await buffered.read(100) == b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    assert stream.num_writes == 1


async def test_unopened_connection_can_be_closed() -> None:
    await Http1Connection(ssl.create_default_context(), TIMEOUT).aclose()
