"""API keys of an engine that serves a port: which requests are accepted, and messages that never quote a key."""

from __future__ import annotations

import hmac
import json
import string
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.operations import OPERATIONS
from evaltasks.engine.keys import KeyCheck, WeakKey, keys_from
from tests.support.engine_command import KEY, OTHER_KEY
from tests.support.engines import EngineInTest, engine
from tests.support.otlp import span_request

PROTOBUF = {"content-type": "application/x-protobuf"}
_TEXTS = st.text(string.ascii_letters + string.digits + "-_", min_size=24, max_size=60).filter(
    lambda k: len(set(k)) > 8
)


@asynccontextmanager
async def locked(keys: str = f"{KEY},{OTHER_KEY}") -> AsyncIterator[EngineInTest]:
    found = keys_from(keys)
    assert found is not None
    async with engine() as it:
        transport = httpx2.ASGITransport(app=KeyCheck(it.engine.app, found))
        async with httpx2.AsyncClient(transport=transport, base_url="http://engine") as http:
            yield EngineInTest(it.engine, http)


@pytest.mark.parametrize("sent", [f"Bearer {KEY}", f"bearer  {KEY}", KEY, f"Bearer {OTHER_KEY}", OTHER_KEY])
async def test_every_key_is_accepted_with_and_without_bearer(sent: str) -> None:
    async with locked() as it:
        reply = await it.http.get("/v2/spaces", headers={"authorization": sent})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", KEY[:-1], f"{KEY}x", KEY.lower(), f"Basic {KEY}", f"{KEY},{OTHER_KEY}",
     f"Bearer Bearer {KEY}", "ключ", "x" * 10_000],
)  # fmt: skip
async def test_any_other_key_is_a_401_problem_that_does_not_quote_it(sent: str) -> None:
    async with locked() as it:
        reply = await it.http.get("/v2/spaces", headers={"authorization": sent.encode()})
    problem = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert (problem["status"], problem["title"]) == (401, "Authentication required")
    assert problem["type"].endswith("#authentication-required")
    assert "EVALTASKS_ENGINE_KEY" in problem["detail"]
    assert KEY[:6] not in reply.text and "xxxx" not in reply.text


async def test_missing_and_invalid_keys_have_different_messages() -> None:
    async with locked() as it:
        none = (await it.http.get("/v2/tasks")).json()["detail"]
        wrong = (await it.http.get("/v2/tasks", headers={"authorization": "Bearer wrong"})).json()["detail"]
        two = [("authorization", KEY), ("authorization", OTHER_KEY)]
        twice = await it.http.get("/v2/tasks", headers=two)
    assert "key is missing" in none and "ARIZE_API_KEY" in none
    assert "not valid for this engine" in wrong
    assert twice.status_code == 401


def _routes() -> Iterator[tuple[str, str]]:
    yield from {(row.method, row.path) for row in OPERATIONS}
    yield from [("POST", "/v1/traces"), ("POST", "/v1/pandas_arrow"), ("GET", "/v2/users"), ("GET", "/nowhere")]


async def test_every_route_requires_a_key_before_the_body_is_read() -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    async with locked() as it:
        for method, path in _routes():
            reply = await it.http.request(method, path.replace("{", "").replace("}", ""), content=body())
            assert (path, reply.status_code) == (path, 401)
    assert read == []


async def test_telemetry_without_a_key_is_refused_in_its_protocol() -> None:
    content = span_request().SerializeToString()
    async with locked() as it:
        binary = await it.http.post("/v1/traces", content=content, headers=PROTOBUF)
        text = await it.http.post("/v1/traces", content=b"{}", headers={"content-type": "application/json"})
        stored = await it.http.post("/v1/traces", content=content, headers={**PROTOBUF, "authorization": KEY})
    assert (binary.status_code, binary.headers["content-type"]) == (401, PROTOBUF["content-type"])
    assert binary.content.startswith(b"\x08\x10\x12")  # google.rpc.Code UNAUTHENTICATED
    assert json.loads(text.content)["code"] == 16
    assert stored.status_code == 200


def test_key_comparison_compares_every_digest_and_never_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    keys = keys_from(f"{KEY} {OTHER_KEY}")
    assert keys is not None
    for given_key in (KEY, OTHER_KEY, "short", "x" * 5000):
        keys.caller(given_key.encode())
    assert compared == [(32, 32)] * 8


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("short", "24 characters"),
        ("a" * 40, "different"),
        (f"{KEY},secret", "key 2 of 2"),
        (f"{KEY}ü", "header"),
    ],
)
def test_weak_key_is_rejected_with_a_command_and_not_shown(text: str, word: str) -> None:
    with pytest.raises(WeakKey) as refused:
        keys_from(text)
    assert word in str(refused.value)
    assert "token_urlsafe" in str(refused.value)
    assert "secret," not in str(refused.value) and text not in str(refused.value)


@pytest.mark.parametrize("text", ["", "  ", ",", "\n , \n"])
def test_keys_from_a_blank_text_is_none(text: str) -> None:
    assert keys_from(text) is None


@given(keys=st.lists(_TEXTS, min_size=1, max_size=5, unique=True), separator=st.sampled_from([",", " ", "\n", " ,\t"]))
def test_keys_from_accepts_exactly_the_keys_of_a_text(keys: list[str], separator: str) -> None:
    found = keys_from(separator.join(keys))
    assert found is not None
    callers = [found.caller(f"Bearer {key}".encode()) for key in keys]
    assert callers == found.fingerprints == [found.caller(key.encode()) for key in keys]
    assert len(set(callers)) == len(keys)
    shown = f"{found!r} {found.fingerprints}"
    assert all(key not in shown and found.caller(key[1:].encode()) is None for key in keys)


async def test_integrations_cannot_read_variables_of_evaltasks() -> None:
    environment = {"EVALTASKS_ENGINE_KEY": KEY, "EVALTASKS_HTTP_TOKEN": "t", "JUDGE_KEY": "j"}
    async with engine(environment=environment) as it:
        found: dict[str, Any] = {}
        for name in environment:
            body = {"name": name, "provider": "CUSTOM", "base_url": "http://127.0.0.1:9/v1", "api_key_env": name}
            found[name] = (await it.ask("POST", "/v2/ai-integrations", body))["has_api_key"]
        assert dict(it.engine.services.environment) == {"JUDGE_KEY": "j"}
    assert found == {"EVALTASKS_ENGINE_KEY": False, "EVALTASKS_HTTP_TOKEN": False, "JUDGE_KEY": True}


@pytest.mark.parametrize(
    ("key", "allowed"),
    [("abcdefgh" * 3, True), (("abcdefgh" * 3)[1:], False), ("abcdefga" * 3, False)],
    ids=["24 characters, 8 different", "23 characters", "7 different"],
)
def test_key_needs_24_characters_and_8_different_ones(key: str, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(WeakKey, match="at least 24 characters, 8 of them different"):
        assert keys_from(key) is not None
