"""Which values of Host and Origin a server allows, and what a refused request is answered."""

from __future__ import annotations

import socket

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from evaltasks.edge.host_origin import AllowedHosts, HostOriginError, HostOriginMiddleware

LOOPBACK = AllowedHosts.bound_to("127.0.0.1", port=8765)
ANY_PORT = AllowedHosts.bound_to("localhost", ["Evals.example.org"])
EVERYWHERE = AllowedHosts.bound_to("0.0.0.0", ["evals"])


@pytest.mark.parametrize(
    ("hosts", "authority", "allowed"),
    [
        (LOOPBACK, "127.0.0.1:8765", True), (LOOPBACK, "[::1]:8765", True), (LOOPBACK, "LOCALHOST:8765", True),
        (LOOPBACK, "localhost", False), (LOOPBACK, "localhost:9999", False), (LOOPBACK, "evil@localhost:8765", False),
        (LOOPBACK, "", False), (LOOPBACK, "localhost:", False), (LOOPBACK, "127.0.0.1.evil.example:8765", False),
        (ANY_PORT, "localhost:1", True), (ANY_PORT, "evals.example.org", True), (ANY_PORT, "10.0.0.5", False),
        (EVERYWHERE, "10.0.0.5", True), (EVERYWHERE, "[fe80::1]:8700", True), (EVERYWHERE, "evals:443", True),
        (EVERYWHERE, socket.gethostname(), True), (EVERYWHERE, "1.2.3", False), (EVERYWHERE, "2130706433", False),
    ],
)  # fmt: skip
def test_allowed_hosts_checks_the_host_header(hosts: AllowedHosts, authority: str, allowed: bool) -> None:
    assert hosts.allow_host(authority) is allowed


@pytest.mark.parametrize(
    ("hosts", "origin", "allowed"),
    [
        (LOOPBACK, "http://localhost:8765", True), (LOOPBACK, "https://localhost:8765", True),
        (LOOPBACK, "http://localhost", False), (LOOPBACK, "null", False), (LOOPBACK, "file://localhost", False),
        (ANY_PORT, "https://evals.example.org", True), (ANY_PORT, "https://evals.example.org.evil.example", False),
        (EVERYWHERE, "http://10.9.9.9", False), (EVERYWHERE, "http://localhost:3000", True),
    ],
)  # fmt: skip
def test_allowed_hosts_checks_the_origin_header(hosts: AllowedHosts, origin: str, allowed: bool) -> None:
    assert hosts.allow_origin(origin) is allowed


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([("host", "evil.example")], "Host: Host header not allowed: 'evil.example'. To allow it, start"),
        ([("host", "localhost:8765"), ("host", "localhost:8765")], "Host: Host header not allowed: 'localhost:8765', "),
        ([("host", "localhost:8765"), ("origin", "null")], "Origin: Origin not allowed: 'null'."),
        ([("host", "localhost:8765")], "the app"),
    ],
)
async def test_middleware_answers_a_refused_request_by_its_callback(headers: list[tuple[str, str]], text: str) -> None:
    def refuse(error: HostOriginError) -> PlainTextResponse:
        return PlainTextResponse(f"{error.header}: {error.message}")

    app = HostOriginMiddleware(PlainTextResponse("the app"), LOOPBACK, refuse)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8765") as http:
        response = await http.get("/", headers=headers)
    assert response.text.startswith(text)
