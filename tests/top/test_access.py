"""Access to the engine: keys, allowed hosts, and options that are rejected before anything starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from evaltasks.access import Access, access_from
from evaltasks.api.problems import Unauthorized
from evaltasks.app import open_client
from evaltasks.client.errors import WrongValue
from evaltasks.client.transport import open_remote_client
from evaltasks.settings import SettingsError, settings_from
from tests.support.engine_command import KEY, OTHER_KEY, engine_command
from tests.support.engines import engine

WITH_KEY = {"EVALTASKS_ENGINE_KEY": KEY}


@pytest.mark.parametrize(
    ("environment", "options", "words"),
    [
        ({}, {"host": "0.0.0.0"}, ["EVALTASKS_ENGINE_KEY", "token_urlsafe", "ARIZE_API_KEY", "127.0.0.1"]),
        ({}, {"host": "10.0.0.5"}, ["10.0.0.5", "EVALTASKS_ENGINE_KEY"]),
        ({}, {"allow_host": ["evals.example.org"]}, ["--allow-host", "EVALTASKS_ENGINE_KEY"]),
        ({"EVALTASKS_ENGINE_KEY": "secret"}, {}, ["EVALTASKS_ENGINE_KEY", "24 characters", "token_urlsafe"]),
        (WITH_KEY, {"max_body_mb": 0}, ["--max-body-mb", "1 to 1024"]),
        (WITH_KEY, {"rate_limit": "fast"}, ["--rate-limit", "10/20"]),
    ],
)
def test_access_from_rejects_invalid_options_with_a_repair(
    environment: dict[str, str], options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        access_from(environment, **options)
    assert not [word for word in words if word not in str(refused.value)]
    assert KEY not in str(refused.value) and "secret:" not in str(refused.value)


def test_access_shows_no_key_in_its_repr() -> None:
    assert KEY not in repr(access_from(WITH_KEY, host="0.0.0.0"))


@asynccontextmanager
async def _behind(access: Access) -> AsyncIterator[httpx2.AsyncClient]:
    async with engine() as it:
        transport = httpx2.ASGITransport(app=access.around(it.engine.app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield http


@pytest.mark.parametrize(
    ("host", "allowed", "ours", "foreign"),
    [
        ("127.0.0.1", [], ["127.0.0.1:8700", "localhost", "[::1]:1"], ["10.0.0.5", "evil.example", ""]),
        ("127.0.0.1", ["Evals.example.org"], ["evals.example.org", "localhost"], ["example.org", "10.0.0.5"]),
        ("10.0.0.5", [], ["10.0.0.5:8700"], ["localhost", "10.0.0.6", "evil.example"]),
        ("0.0.0.0", ["evals"], ["10.0.0.5", "[fe80::1]:8700", "localhost", "evals:443"], ["evil.example", "1.2.3"]),
    ],
)
async def test_access_accepts_only_its_own_hosts(
    host: str, allowed: Sequence[str], ours: list[str], foreign: list[str]
) -> None:
    access = access_from(WITH_KEY, host=host, allow_host=allowed)
    async with _behind(access) as http:

        async def status(name: str, **headers: str) -> int:
            headers = {"host": name, "authorization": KEY, **headers}
            return (await http.get("/v2/spaces", headers=headers)).status_code

        assert [await status(name) for name in ours] == [200] * len(ours)
        assert [await status(name) for name in foreign] == [403] * len(foreign)
        assert await status(ours[0], origin="https://evil.example") == 403
        # A page of another machine's address is a stranger's page, also when we answer under every address.
        assert await status(ours[0], origin="http://10.9.9.9") == 403
        assert await status(ours[-1], origin=f"http://{ours[-1]}") == 200


async def test_health_needs_no_key_and_reveals_nothing() -> None:
    async with _behind(access_from(WITH_KEY, rate_limit="0.1/1")) as http:
        answers = [await http.get("/healthz", headers={"host": "10.1.2.3:8700"}) for _ in range(3)]
        posted = await http.post("/healthz")
        info = await http.get("/evaltasks/v1/info")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 3
    assert (posted.status_code, info.status_code) == (401, 401)


async def test_a_key_is_sent_over_plain_http_to_another_machine_only_if_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"ARIZE_API_KEY": KEY}
    asked: list[bool] = []

    @asynccontextmanager
    async def watched(*_: object, allow_plain_http: bool, **__: object) -> AsyncIterator[None]:
        asked.append(allow_plain_http)
        yield None

    with pytest.raises(WrongValue, match="--allow-plain-http"):
        async with open_client(settings_from({"backend": "http://192.0.2.1:8700"}, {}), environment):
            raise AssertionError("it was opened")
    monkeypatch.setattr("evaltasks.app.open_remote_client", watched)
    reported = settings_from({"backend": "http://192.0.2.1:8700", "allow_plain_http": "true"}, {})
    async with open_client(reported, environment):
        assert asked == [True]


async def test_the_command_requires_its_keys_on_every_port_and_never_logs_them(tmp_path: Path) -> None:
    keys = f"{KEY},\n{OTHER_KEY}"
    listeners = ("--log-requests", "--host", "0.0.0.0", "--allow-host", "evals.test")
    async with engine_command(tmp_path / "s.sqlite", *listeners, key=keys) as it:
        address = it.address.replace("0.0.0.0", "127.0.0.1")
        async with open_remote_client(address, KEY) as client:
            assert client.is_engine
            space = await client.resolve.space()
        async with open_remote_client(address, "nobodys-key-0123456789abcdef") as stranger:
            with pytest.raises(Unauthorized, match="not valid for this engine"):
                await stranger.resolve.space()
        async with httpx2.AsyncClient(base_url=address, trust_env=False) as http:
            bare = await http.get("/v2/spaces", headers={"authorization": OTHER_KEY, "host": "evals.test"})
    assert space.name == "default"
    assert bare.json()["spaces"][0]["id"] == space.id
    assert "keys in their order" in it.log and "GET /v2/spaces 200" in it.log and "key wrong" in it.log
    assert not [secret for secret in (KEY, OTHER_KEY, "nobodys-key", "Traceback") if secret in it.log]


async def test_a_burst_of_calls_succeeds_despite_a_rate_limit(tmp_path: Path) -> None:
    limit = ("--rate-limit", "40/10", "--log-requests")
    found: list[str | None] = []
    async with (
        engine_command(tmp_path / "s.sqlite", *limit) as it,
        open_remote_client(it.address, KEY) as client,
        anyio.create_task_group() as tasks,
    ):

        async def ask() -> None:
            with anyio.fail_after(20):
                found.append((await client.resolve.space()).name)

        for _ in range(20):
            tasks.start_soon(ask)
    assert found == ["default"] * 20
    assert it.log.count("GET /v2/spaces 429") >= 5
