"""Streamable HTTP: both protocol eras over a real port, and which requests are refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from anyio.abc import Process
from mcp.client.streamable_http import streamable_http_client

from evaltasks.api.spaces import CreateSpace
from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from evaltasks.face.http import make_http_app
from evaltasks.face.server import ToolApp, make_server
from evaltasks.tools.context import Refused, ToolSettings
from evaltasks.tools.spec import ToolSpec
from tests.face.probes import deleting, reporting, saying
from tests.support.agents import MODES, connected, subscribed
from tests.support.starts import quick_command, true_command

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
HEADERS = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def _app(
    host: str = "127.0.0.1", token: str | None = None, allowed_hosts: Sequence[str] = ()
) -> AsyncIterator[httpx2.AsyncClient]:
    """The app of a server bound to port 8765 of a host, without the port."""
    async with (
        Engine.open(":memory:", environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        server = make_server(ToolApp(client=client, settings=ToolSettings(), tools=[saying()]))
        app = make_http_app(server, host, 8765, token=token, allowed_hosts=allowed_hosts)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8765") as http,
        ):
            yield http


async def _status(http: httpx2.AsyncClient, **headers: str) -> int:
    return (await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **headers})).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8765"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Origin": "http://localhost:8765"}, 200),
        ({"Host": "evil.example:8765"}, 421),
        ({"Host": "127.0.0.1:9999"}, 421),
        ({"Host": "127.0.0.1.evil.example:8765"}, 421),
        ({"Host": "192.168.1.5:8765"}, 421),
        ({"Host": "evil@localhost:8765"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_server_on_loopback_rejects_foreign_hosts_and_origins(headers: dict[str, str], status: int) -> None:
    async with _app() as http:
        assert await _status(http, **headers) == status


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 401), ("", 401), ("Bearer wrong", 401), ("s3cret", 401), ("Basic s3cret", 401), ("Bearer s3cret", 200)],
)
async def test_a_server_with_a_token_requires_it(given: str | None, status: int) -> None:
    async with _app(token="s3cret") as http:
        headers = {} if given is None else {"Authorization": given}
        answer = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **headers})

    assert answer.status_code == status
    assert "s3cret" not in answer.text
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_server_beyond_loopback_or_with_another_host_requires_a_token() -> None:
    async with (
        Engine.open(":memory:", environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        server = make_server(ToolApp(client=client, settings=ToolSettings(), tools=[saying()]))
        for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
            with pytest.raises(Refused, match="EVALTASKS_HTTP_TOKEN"):
                make_http_app(server, host, 8765)
        with pytest.raises(Refused, match="EVALTASKS_HTTP_TOKEN"):
            make_http_app(server, "127.0.0.1", 8765, allowed_hosts=["evals.example.org"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "192.168.1.5:8765"}, 200), ({"Host": "192.168.1.6:8765"}, 421), ({"Host": "localhost:8765"}, 421)],
)
async def test_a_server_bound_to_an_address_accepts_only_this_host(headers: dict[str, str], status: int) -> None:
    async with _app("192.168.1.5", "s3cret") as http:
        assert await _status(http, Authorization="Bearer s3cret", **headers) == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8765"}, 200),
        ({"Host": "192.168.1.5:8765"}, 200),
        ({"Host": "[2001:db8::5]:8765"}, 200),
        ({"Host": "192.168.1.5:80"}, 200),  # a container's port is another one outside
        ({"Host": "localhost:8765"}, 200),
        ({"Host": socket.gethostname()}, 200),
        ({"Host": "Evals.Example.org"}, 200),
        ({"Host": "evals", "Origin": "https://evals.example.org"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        # Names that may point anywhere, as DNS rebinding needs them.
        ({"Host": "evil.example:8765"}, 421),
        ({"Host": "127.0.0.1.evil.example:8765"}, 421),
        ({"Host": "evals.example.org.evil.example:8765"}, 421),
        ({"Host": "a.evals.example.org"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "192.168.1.5@evil.example"}, 421),
        ({"Host": "2130706433:8765"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://192.168.1.5"}, 403),
        ({"Origin": "http://localhost.evil.example:8765"}, 403),
        ({"Origin": "https://evals.example.org.evil.example"}, 403),
        ({"Origin": "file://localhost"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_server_bound_to_every_address_accepts_known_hosts_and_rejects_foreign_origins(
    host: str, headers: dict[str, str], status: int
) -> None:
    async with _app(host, "s3cret", ["evals.example.org", "evals"]) as http:
        assert await _status(http, Authorization="Bearer s3cret", **headers) == status


async def test_a_server_bound_to_every_address_requires_the_token_and_rejects_dns_rebinding() -> None:
    async with _app("0.0.0.0", "s3cret") as http:
        assert await _status(http) == 401
        assert await _status(http, Host="evil.example:8765") == 421


@asynccontextmanager
async def _command(
    tmp_path: Path,
    *arguments: str,
    host: str = "127.0.0.1",
    start: Callable[..., list[str]] = quick_command,
    **environment: str,
) -> AsyncIterator[tuple[Process, str]]:
    """`evaltasks serve --http` on a free port, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = str(tmp_path / "store.sqlite")
    process = await anyio.open_process(
        start("serve", "--store", store, "--http", f"{host}:{port}", *arguments),
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), **environment},
    )
    async with process:
        try:
            assert process.stderr is not None
            seen = b""
            with anyio.fail_after(30):
                while b"serving MCP on" not in seen:
                    seen += await process.stderr.receive()
            yield process, f"http://127.0.0.1:{port}/mcp"
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.parametrize("mode", MODES)
async def test_the_command_serves_both_protocol_eras_on_one_port(mode: str, tmp_path: Path) -> None:
    async with _command(tmp_path, start=true_command) as (_, url), connected(url, mode) as it:
        answer = await it.answer("list_tasks")

    assert answer["tasks"] == []


@asynccontextmanager
async def _served(*tools: ToolSpec[Any, Any]) -> AsyncIterator[tuple[Client, str]]:
    """A server on a free port of this process; the client behind its tools, and its address."""
    async with (
        Engine.open(":memory:", environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        app = ToolApp(client=client, settings=ToolSettings(), tools=tools, watch_seconds=0.02)
        server = make_server(app)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            config = uvicorn.Config(
                make_http_app(server, "127.0.0.1", port), log_config=None, timeout_graceful_shutdown=2
            )
            runner = uvicorn.Server(config)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: runner.serve(sockets=[listener]))
                yield client, f"http://127.0.0.1:{port}/mcp"
                server.end_streams()
                runner.should_exit = True


@pytest.mark.parametrize("mode", MODES)
async def test_a_person_can_be_asked_over_http(mode: str) -> None:
    async with _served(deleting()) as (_, url), connected(url, mode, person="accept") as it:
        answer = await it.answer("delete_word", {"word": "word"})

    assert answer == {"said": "deleted word"}
    assert it.questions == ["Delete 'word' and its 3 runs?"]


@pytest.mark.parametrize("mode", MODES)
async def test_progress_travels_over_http(mode: str) -> None:
    async with _served(reporting((1, 2), (2, 2))) as (_, url), connected(url, mode) as it:
        await it.answer("say_word")

    assert it.progress == [(1, 2, "1 done"), (2, 2, "2 done")]


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
async def test_changes_are_reported_over_http(mode: str) -> None:
    async with (
        _served(saying()) as (client, url),
        connected(url, mode) as it,
        subscribed(it, mode, "ax://spaces") as next_update,
    ):
        await client.spaces.create(CreateSpace(name="another"))
        await next_update()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_server_even_with_a_listening_client(number: int, code: int, tmp_path: Path) -> None:
    async with _command(tmp_path) as (process, url):
        with anyio.move_on_after(20) as scope:
            async with connected(url, "auto") as it, it.mcp.listen(resource_subscriptions=["ax://tasks"]):
                process.send_signal(number)
                with anyio.fail_after(10):
                    ended = await process.wait()
                scope.cancel()

    assert ended == code


async def test_the_command_requires_the_token_of_the_environment(tmp_path: Path) -> None:
    async with _command(tmp_path, EVALTASKS_HTTP_TOKEN="s3cret") as (_, url):
        async with httpx2.AsyncClient() as http:
            refused = await http.post(url, json=INITIALIZE, headers=HEADERS)
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer s3cret"}) as http,
            connected(streamable_http_client(url, http_client=http), "auto") as it,
        ):
            answer = await it.answer("list_tasks")

    assert refused.status_code == 401
    assert answer["tasks"] == []


async def test_the_command_bound_to_every_address_accepts_the_allowed_hosts(tmp_path: Path) -> None:
    command = _command(
        tmp_path, "--allow-host", "evals.example.org,other", host="0.0.0.0", EVALTASKS_HTTP_TOKEN="s3cret"
    )
    async with command as (_, url), httpx2.AsyncClient(headers={"Authorization": "Bearer s3cret"}) as http:
        answers = {
            name: (await http.post(url, json=INITIALIZE, headers={**HEADERS, "Host": name})).status_code
            for name in ("evals.example.org", "other:443", "127.0.0.1", "evil.example")
        }

    assert answers == {"evals.example.org": 200, "other:443": 200, "127.0.0.1": 200, "evil.example": 421}
