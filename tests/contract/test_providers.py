"""The same cases for every provider, replayed from exchanges in the provider's own wire format."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import anyio
import httpx2
import pytest

from evaltasks.engine.providers.provider import CallRejected, PermanentFailure, RetryLater
from tests.support.exchanges import EVERY_KIND, FOLDER, KEY, KINDS, answering, exchange, replaying, request

SCHEMA = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "label": {"type": "string", "enum": ["a", "b"]}},
    "required": ["explanation", "label"],
    "additionalProperties": False,
}
ANSWER = {"explanation": "The source names the year.", "label": "b"}
WEATHER = exchange("openai", "function_call")["request"]["tools"]
every_kind = pytest.mark.parametrize("kind", EVERY_KIND)


@every_kind
@pytest.mark.parametrize("mode", ["tool_call", "json_schema"])
async def test_structured_answer_comes_in_the_requested_mode(kind: str, mode: str) -> None:
    prefers_tools = mode == "tool_call"
    case = "structured_tool" if prefers_tools else "structured_schema"
    async with replaying(kind, case) as it:
        reply = await it.provider.complete(request(kind, answer_schema=SCHEMA, prefer_tool_call=prefers_tools))

    assert (reply.structured, reply.answered_by) == (ANSWER, mode)
    assert len(it.requests) == 1
    assert "explanation" in it.requests[0].content.decode()


@every_kind
async def test_text_answer_has_tokens_and_latency_and_parameters_are_sent(kind: str) -> None:
    async with replaying(kind, "text") as it:
        reply = await it.provider.complete(request(kind, parameters={"temperature": 0.25, "max_tokens": 77}))

    assert (reply.text, reply.structured, reply.answered_by) == ("This is a test.", None, "text")
    assert (reply.prompt_tokens, reply.completion_tokens) in {(12, 5), (100, 20)}
    assert reply.latency_ms is not None
    sent = it.requests[0].content.decode()
    assert "0.25" in sent
    assert "77" in sent
    assert "Hello" in sent


@every_kind
async def test_tool_calls_have_one_form(kind: str) -> None:
    async with replaying(kind, "function_call") as it:
        reply = await it.provider.complete(request(kind, tools=WEATHER, tool_choice="auto"))

    assert reply.tool_calls is not None
    functions = [call["function"] for call in reply.tool_calls]
    assert [function["name"] for function in functions] == ["get_current_weather"] * 2
    assert [json.loads(function["arguments"])["location"] for function in functions] == [
        "Seattle, WA",
        "San Francisco, CA",
    ]
    assert "The city and state" in it.requests[0].content.decode()


FAILURES: list[tuple[str, type[Exception], str, float | None]] = [
    ("unauthorized", PermanentFailure, "wrong", None),
    ("unknown_model", PermanentFailure, "model", None),
    ("quota_exhausted", PermanentFailure, "no quota left", None),
    ("rate_limited", RetryLater, "asks to wait (429)", 7.0),
    ("overloaded", RetryLater, "is overloaded or down", 3.0),
    ("server_error", RetryLater, "is overloaded or down (500)", None),
    ("html_error", RetryLater, "is overloaded or down (502)", None),
    ("cut", RetryLater, "was lost", None),
    ("not_json", RetryLater, "is not JSON, or is cut off", None),
    ("context_too_long", CallRejected, "longer than the model's context", None),
    ("filtered", CallRejected, "", None),
    ("refusal", CallRejected, "", None),
    ("rejected", CallRejected, "refuse", None),
    ("html", CallRejected, "a web page", None),
    ("wrong_shape", CallRejected, "is base_url the address|is this an OpenAI-compatible", None),
]


@every_kind
@pytest.mark.parametrize(("case", "failure", "words", "after_seconds"), FAILURES, ids=[case for case, *_ in FAILURES])
async def test_failure_means_the_same_for_every_provider(
    kind: str,
    case: str,
    failure: type[Exception],
    words: str,
    after_seconds: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with replaying(kind, case) as it:
        with pytest.raises((PermanentFailure, RetryLater, CallRejected)) as caught:
            await it.provider.complete(request(kind))

    error: Any = caught.value
    assert type(error) is failure, error.reason
    assert any(part in error.reason for part in words.split("|")), error.reason
    assert getattr(error, "after_seconds", None) == after_seconds
    # The engine does the retries, so there is one request.
    assert len(it.requests) == 1
    assert error.__cause__ is None
    assert KEY not in caplog.text + repr(error) + str(vars(error)) + repr(it.provider)
    assert KEY in str(it.requests[0].headers.multi_items())


@every_kind
async def test_refused_tools_are_remembered_and_a_schema_is_requested(kind: str) -> None:
    asked = request(kind, answer_schema=SCHEMA, prefer_tool_call=True)
    async with replaying(kind, "tools_refused", "structured_schema") as it:
        replies = [await it.provider.complete(asked) for _ in range(3)]

    assert [reply.answered_by for reply in replies] == ["json_schema"] * 3
    assert [reply.structured for reply in replies] == [ANSWER] * 3
    assert len(it.requests) == 4


@every_kind
@pytest.mark.parametrize("packed", [False, True])
async def test_answer_over_the_size_limit_is_not_read_to_its_end(kind: str, packed: bool) -> None:
    body = json.dumps({"text": "x" * (9 * 1024 * 1024)}).encode()
    headers = {"content-type": "application/json", **({"content-encoding": "gzip"} if packed else {})}
    content = gzip.compress(body) if packed else body
    async with answering(kind, lambda _: httpx2.Response(200, headers=headers, content=content)) as it:
        with pytest.raises(CallRejected, match="longer than"):
            await it.provider.complete(request(kind))


@every_kind
async def test_timeout_is_retried_later_and_a_cancelled_call_is_aborted(kind: str) -> None:
    started, num_aborted = anyio.Event(), 0

    async def never_answer(_: httpx2.Request) -> httpx2.Response:
        nonlocal num_aborted
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            num_aborted += 1
        raise AssertionError

    # The first call loads the libraries, which takes longer than the deadline of a call here.
    async with replaying(kind, "text") as it:
        await it.provider.complete(request(kind))
    async with answering(kind, never_answer, timeout_seconds=0.2) as it:  # type: ignore[arg-type]
        with anyio.fail_after(20), pytest.raises(RetryLater, match="did not answer"):
            await it.provider.complete(request(kind))
    started = anyio.Event()
    async with answering(kind, never_answer) as it:  # type: ignore[arg-type]
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.provider.complete, request(kind))
                await started.wait()
                tasks.cancel_scope.cancel()
    assert num_aborted == 2


def test_every_provider_has_a_sourced_exchange_for_every_case() -> None:
    folders = {kind.folder for kind in KINDS.values()}
    cases = {case for case, *_ in FAILURES} | {"structured_tool", "structured_schema", "text", "function_call"}
    for folder in folders:
        found = {path.stem for path in (FOLDER / folder).glob("*.json")}
        assert cases <= found, folder
        assert all(exchange(folder, case)["source"] for case in found)
    assert exchange("openai", "text")["source"].startswith("Recorded: ")
