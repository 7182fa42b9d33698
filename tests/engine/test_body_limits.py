"""Limits of request bodies: size before and after decompression, time and memory."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import anyio
import httpx2
import pytest

from evaltasks.api.problems import TooLarge
from evaltasks.engine.body_limits import BodyLimits
from evaltasks.engine.ingest.ingestor import IN_FLIGHT_MAX
from evaltasks.engine.request_body import decompress
from tests.support.backends import served
from tests.support.engines import EngineInTest, engine
from tests.support.otlp import span_request

PROTOBUF = {"content-type": "application/x-protobuf"}
PACKED = {**PROTOBUF, "content-encoding": "gzip"}
MIB = 2**20
SLOW_CLIENTS = 50


@asynccontextmanager
async def limited(grace_seconds: float = 10, buffered_bytes_max: int = 2**29) -> AsyncIterator[EngineInTest]:
    async with engine() as it:
        app = BodyLimits(it.engine.app, grace_seconds=grace_seconds, buffered_bytes_max=buffered_bytes_max)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://engine") as http:
            yield EngineInTest(it.engine, http)


async def _stuck(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        ("/v2/projects", {}, b" " * (MIB + 1)),
        ("/evaltasks/v1/projects/x/spans", {}, b" " * (MIB + 1)),
        ("/v1/traces", PROTOBUF, b"\x00" * (MIB + 1)),
        ("/v1/traces", PACKED, gzip.compress(b"\x00" * (MIB + 1))),
        ("/v1/pandas_arrow", {"content-encoding": "gzip"}, gzip.compress(b"\x00" * (MIB + 1))),
        ("/v1/pandas_arrow", {}, b"\x00" * (MIB + 1)),
    ],
)
async def test_body_size_limit_applies_to_every_route_before_and_after_decompression(
    path: str, headers: dict[str, str], content: bytes
) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    async with engine(body_bytes_max=MIB) as it:
        whole = await it.http.post(path, content=content, headers=headers)
        chunked = await it.http.post(path, content=in_parts(), headers=headers)
    assert (whole.status_code, chunked.status_code) == (413, 413)
    assert b"1 MiB" in whole.content and b"1 MiB" in chunked.content


async def test_body_with_a_too_large_content_length_is_not_read() -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    async with engine() as it:
        reply = await it.http.post("/v2/projects", content=body(), headers={"content-length": str(33 * MIB)})
    assert (reply.status_code, reply.json()["title"], read) == (413, "Content Too Large", [])


async def test_stalled_body_is_a_408_in_the_protocol_of_its_route() -> None:
    async with limited(grace_seconds=0.05) as it:
        with anyio.fail_after(5):
            rest = await it.http.post("/v2/projects", content=_stuck(b"{"))
            telemetry = await it.http.post("/v1/traces", content=_stuck(b"\n"), headers=PROTOBUF)
            arrow = await it.http.post("/v1/pandas_arrow", content=_stuck())
    assert [reply.status_code for reply in (rest, telemetry, arrow)] == [408] * 3
    assert [reply.headers["connection"] for reply in (rest, telemetry, arrow)] == ["close"] * 3
    assert rest.json()["title"] == "Request Timeout"
    assert telemetry.headers["content-type"] == PROTOBUF["content-type"]


async def test_received_bytes_extend_the_time_limit_of_a_body() -> None:
    """A megabyte that came is a minute at the slowest rate that is taken, so the pause after it ends well."""
    more = anyio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b" " * MIB
        more.set()
        for _ in range(3):
            await anyio.sleep(0.02)  # each longer than the grace alone; bounded below
        yield b'{"name": "late", "space_id": "none"}'

    async with limited(grace_seconds=0.01) as it:
        with anyio.fail_after(5):
            reply = await it.http.post("/v2/projects", content=body())
    assert more.is_set()
    assert reply.status_code == 404


async def test_memory_of_all_bodies_is_limited_and_released() -> None:
    async with limited(buffered_bytes_max=MIB) as it, anyio.create_task_group() as tasks:
        started = anyio.Event()

        async def held() -> AsyncIterator[bytes]:
            yield b" " * (MIB - 10)
            started.set()
            await anyio.sleep_forever()

        async def hold() -> None:
            await it.http.post("/v2/projects", content=held())

        tasks.start_soon(hold)
        with anyio.fail_after(5):
            await started.wait()
        full = await it.http.post("/v2/spaces", json={"name": "one too many"})
        tasks.cancel_scope.cancel()
    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    async with limited(buffered_bytes_max=MIB) as it:
        for number in range(20):
            content = b" " * 100_000 + f'{{"name": "space {number}"}}'.encode()
            assert (await it.http.post("/v2/spaces", content=content)).status_code == 201


async def test_fifty_slow_clients_do_not_block_the_engine_and_time_out() -> None:
    """Over TCP: more slow uploads than there are places for uploads, and everybody else is served meanwhile."""
    async with engine() as it, served(BodyLimits(it.engine.app, grace_seconds=1.0)) as address:
        host, port = address.removeprefix("http://").split(":")
        head = (
            f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n"
            "Content-Length: 9\r\n\r\n\n"
        )
        assert SLOW_CLIENTS > IN_FLIGHT_MAX
        with anyio.fail_after(15):
            slow = [await anyio.connect_tcp(host, int(port)) for _ in range(SLOW_CLIENTS)]
            for stream in slow:
                await stream.send(head.encode())
            async with httpx2.AsyncClient(base_url=address, trust_env=False) as http:
                content = span_request().SerializeToString()
                sent = [await http.post("/v1/traces", content=content, headers=PROTOBUF) for _ in range(3)]
                listed = await http.get("/v2/projects")
            answers = []
            for stream in slow:
                async with stream:
                    answers.append(b"".join([part async for part in stream]))
    assert [reply.status_code for reply in sent] == [200] * 3
    assert [project["name"] for project in listed.json()["projects"]] == ["app"]
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)


async def test_client_that_disconnects_is_not_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async with engine() as it, served(BodyLimits(it.engine.app)) as address:
        host, port = address.removeprefix("http://").split(":")
        with anyio.fail_after(10):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(b"POST /v2/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            async with httpx2.AsyncClient(base_url=address, trust_env=False) as http:
                assert (await http.get("/v2/spaces")).status_code == 200
    assert "internal error" not in caplog.text


@pytest.mark.parametrize(("size", "allowed"), [(MIB, True), (MIB + 1, False)])
def test_decompress_allows_exactly_the_size_limit(size: int, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(TooLarge, match="larger than 1 MiB"):
        assert len(decompress(gzip.compress(b"x" * size), MIB)) == MIB


@pytest.mark.parametrize(("size", "status"), [(MIB, 201), (MIB + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_body_of_exactly_the_size_limit_is_accepted(size: int, status: int, chunked: bool) -> None:
    async def in_parts(content: bytes) -> AsyncIterator[bytes]:
        yield content[: size // 2]
        yield content[size // 2 :]

    async with engine(body_bytes_max=MIB) as it:
        content = b'{"name": "s"}'.ljust(size)
        sent = in_parts(content) if chunked else content
        reply = await it.http.post("/v2/spaces", content=sent, headers={"content-type": "application/json"})
    assert reply.status_code == status
