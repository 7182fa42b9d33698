"""The rate limit: who gets a 429, with which wait, and that a client that waits is served."""

from __future__ import annotations

import math

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.client.transport import open_remote_client
from evaltasks.engine.keys import KeyCheck, keys_from
from evaltasks.engine.request_rate import Rate, RequestRateLimit, rate_from
from tests.support.engine_command import KEY, OTHER_KEY
from tests.support.engines import ManualClock, engine


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10", Rate(10, 10)), ("0.5", Rate(0.5, 1)), ("2.5", Rate(2.5, 3)), ("10/20", Rate(10, 20)), ("5/1", Rate(5, 1))],
)
def test_rate_from_parses_requests_per_second_and_burst(text: str, rate: Rate) -> None:
    assert rate_from(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0.0/5", "5/0", "-1", "fast", "1/2/3", "1e9", "nan"])
def test_rate_from_rejects_other_texts(text: str) -> None:
    with pytest.raises(ValueError, match="10/20"):
        rate_from(text)


async def test_each_key_has_its_own_rate_limit_with_retry_after() -> None:
    clock = ManualClock()
    keys = keys_from(f"{KEY} {OTHER_KEY}")
    assert keys is not None
    async with engine() as it:
        app = KeyCheck(RequestRateLimit(it.engine.app, Rate(0.25, 2), clock.monotonic_seconds), keys)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://engine") as http:

            async def status(key: str) -> tuple[int, str | None]:
                reply = await http.get("/v2/spaces", headers={"authorization": key})
                return reply.status_code, reply.headers.get("retry-after")

            one = [await status(KEY) for _ in range(3)]
            other = await status(OTHER_KEY)
            wrong = [await status("wrong") for _ in range(5)]
            await clock.turn(3)
            early = await status(KEY)
            await clock.turn(1)
            due = await status(KEY)
            refused = await http.get("/v2/spaces", headers={"authorization": KEY})
            telemetry = await http.post(
                "/v1/traces", content=b"", headers={"authorization": KEY, "content-type": "application/x-protobuf"}
            )
    assert one == [(200, None), (200, None), (429, "4")]
    assert other == (200, None)
    assert set(wrong) == {(401, None)}
    assert (early, due) == ((429, "1"), (200, None))
    assert (refused.json()["title"], refused.json()["status"]) == ("Rate limit exceeded", 429)
    assert telemetry.content.startswith(b"\x08\x08\x12")  # google.rpc.Code RESOURCE_EXHAUSTED
    assert telemetry.headers["retry-after"] == "4"


@given(
    rate=st.floats(0.1, 50).map(lambda x: round(x, 2)),
    burst=st.integers(1, 10),
    gaps=st.lists(st.floats(0, 2), max_size=60),
)
def test_rate_limit_never_grants_more_than_burst_and_elapsed_time_allow(
    rate: float, burst: int, gaps: list[float]
) -> None:
    clock = ManualClock()
    limit = RequestRateLimit(_nothing, Rate(rate, burst), clock.monotonic_seconds)
    granted: list[float] = []
    for gap in gaps:
        anyio.run(clock.turn, gap)
        early = limit.early_seconds("one")
        if early > 0:
            # A request after the reported delay is accepted.
            anyio.run(clock.turn, math.ceil(early))
            assert limit.early_seconds("one") == 0
        granted.append(clock.monotonic_seconds())
    for i, begin in enumerate(granted):
        for j in range(i, len(granted)):
            assert j - i + 1 <= burst + (granted[j] - begin) * rate + 1e-6


async def _nothing(*_: object) -> None:
    raise AssertionError("nothing is sent here")


async def test_rate_limit_forgets_idle_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaltasks.engine.request_rate._CALLERS_MAX", 10)
    clock = ManualClock()
    limit = RequestRateLimit(_nothing, Rate(1, 1), clock.monotonic_seconds)
    for number in range(100):
        await clock.turn(0.5)
        limit.early_seconds(str(number))
    assert len(limit._used_up_at) <= 10


async def test_client_waits_for_the_rate_limit_and_loses_no_call() -> None:
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        await clock.turn(seconds)

    async with engine() as it:
        app = RequestRateLimit(it.engine.app, Rate(0.5, 2), clock.monotonic_seconds)
        transport = httpx2.ASGITransport(app=app)
        async with open_remote_client("http://127.0.0.1:1", None, transport=transport, sleep=sleep) as client:
            names = [(await client.resolve.space()).name for _ in range(12)]
    assert len(names) == 12
    assert clock.monotonic_seconds() >= 20
