"""The OpenAI-compatible client against a real server on loopback, and with recorded answers of OpenAI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2
import pytest

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.catalog import Providers, open_providers
from evaltasks.engine.providers.provider import (
    CallRejected,
    ChatMessage,
    ChatReply,
    ChatRequest,
    PermanentFailure,
    Provider,
    RetryLater,
)
from evaltasks.engine.providers.provider_errors import ErrorReply
from tests.support.exchanges import exchange
from tests.support.judges import Answer, judge_server

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "sk-very-secret-0123456789"
SCHEMA = {"type": "object", "properties": {"label": {"type": "string", "enum": ["a", "b"]}}, "required": ["label"]}
RECORDED = {case: exchange("openai", case) for case in ("text", "function_call", "unknown_model", "several_choices")}


def integration(base_url: str | None = None, **fields: Any) -> AiIntegration:
    defaults = {"id": "i", "name": "judge", "provider": "CUSTOM", "created_at": NOW, "updated_at": NOW}
    return AiIntegration.model_validate({**defaults, "base_url": base_url, "api_key_env": "JUDGE_KEY", **fields})


def request(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model_name": "m", "messages": [ChatMessage("user", "Hello")], **fields})


@asynccontextmanager
async def provider(base_url: str, **options: Any) -> AsyncIterator[Provider]:
    async with open_providers({"JUDGE_KEY": KEY}, now=lambda: NOW, **options) as providers:
        yield providers.provider(integration(base_url))


async def failure_for(answer: Answer, **fields: Any) -> RetryLater | CallRejected | PermanentFailure:
    async with judge_server(script=lambda _: answer) as judge, provider(judge.base_url) as it:
        with pytest.raises((RetryLater, CallRejected, PermanentFailure)) as problem:
            await it.complete(request(**fields))
    assert isinstance(problem.value, RetryLater | CallRejected | PermanentFailure)
    assert KEY not in repr(problem.value) + str(vars(problem.value))
    return problem.value


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer.error(401, f"Incorrect API key provided: {KEY}"), PermanentFailure, "the key is wrong"),
        (Answer.error(403, "no"), PermanentFailure, "the key is wrong"),
        (Answer.error(402, "Payment required"), PermanentFailure, "no quota left"),
        (Answer.error(429, "You exceeded your quota", code="insufficient_quota"), PermanentFailure, "no quota left"),
        (
            Answer.error(404, "The model `m` does not exist", code="model_not_found"),
            PermanentFailure,
            "has no model 'm'",
        ),
        (Answer.page(404), PermanentFailure, "base_url is not the address of its API"),
        (Answer(301, headers={"location": "/"}), PermanentFailure, "answered 301"),
        (Answer.error(400, "context_length_exceeded"), CallRejected, "longer than the model's context"),
        (Answer.error(413, "too large"), CallRejected, "longer than the model's context"),
        (Answer.error(400, "blocked", code="content_filter"), CallRejected, "content filter refused"),
        (Answer.error(400, "no", param="messages"), CallRejected, "refuses the parameter 'messages'"),
        (Answer.error(422, "no"), CallRejected, "refused the call (422)"),
        (Answer.page(), CallRejected, "a web page"),
        (Answer(body=b'{"ok": true}'), CallRejected, "has no message"),
        (Answer(body=b"[]"), RetryLater, "not JSON"),
        (Answer(body=b'{"choices": ['), RetryLater, "not JSON"),
        (Answer.text(None, refusal="I won't."), CallRejected, "declined"),
        (Answer.error(200, "slow down", code=429), RetryLater, "asks to wait"),
        (Answer.error(500, "oops"), RetryLater, "overloaded or down"),
        (Answer.page(502), RetryLater, "overloaded or down"),
        (Answer.error(529, "overloaded"), RetryLater, "overloaded or down"),
        (Answer.cut(), RetryLater, "was lost"),
        (Answer.cut(60), RetryLater, "was lost"),
    ],
)
async def test_error_reply_is_retried_fails_the_row_or_fails_the_run(answer: Answer, kind: type, words: str) -> None:
    problem = await failure_for(answer)

    assert type(problem) is kind
    assert words in problem.reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:20 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "999999999"}, 600.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read_as_seconds_milliseconds_or_date(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    problem = await failure_for(Answer.error(status, "wait", headers))

    assert isinstance(problem, RetryLater)
    assert problem.after_seconds == seconds


async def test_provider_message_is_detail_with_keys_removed() -> None:
    problem = await failure_for(Answer.error(400, f"your key {KEY} may not say " + "x" * 5000))

    assert isinstance(problem, CallRejected)
    assert problem.detail is not None
    assert "[key]" in problem.detail
    assert len(problem.detail) <= 500


async def test_answer_over_the_size_limit_is_not_read_to_its_end() -> None:
    problem = await failure_for(Answer(body=b" " * (9 * 1024 * 1024)))

    assert isinstance(problem, CallRejected)


async def test_timeout_and_closed_port_are_retried_later() -> None:
    async with judge_server() as judge, provider(judge.base_url, timeout_seconds=0.2) as it:
        judge.hold()
        with anyio.fail_after(10), pytest.raises(RetryLater, match="did not answer"):
            await it.complete(request())
        closed = judge.base_url
    async with provider(closed) as it:
        with pytest.raises(RetryLater, match="could not be reached"):
            await it.complete(request())


async def test_answer_that_arrives_byte_by_byte_has_one_deadline() -> None:
    script = [Answer.dripping(0.05)]
    async with judge_server(script=script) as judge, provider(judge.base_url, timeout_seconds=0.3) as it:
        with anyio.fail_after(10), pytest.raises(RetryLater, match=r"did not answer within 0\.3 s"):
            await it.complete(request())


async def complete_all(times: int, **server: Any) -> tuple[list[ChatReply], list[list[str]]]:
    """Return the replies, and the optional properties of every request that the server received."""
    async with judge_server(**server) as judge, provider(judge.base_url) as it:
        asked = request(answer_schema=SCHEMA, prefer_tool_call=True)
        replies = [await it.complete(asked) for _ in range(times)]
    known = {"model", "messages"}
    return replies, [sorted(set(seen.body) - known) for seen in judge.requests]


TOOLS = ["max_tokens", "tool_choice", "tools"]
JSON_SCHEMA = ["max_tokens", "response_format"]
PLAIN = ["max_tokens"]


@pytest.mark.parametrize(
    ("server", "answered_by", "first", "then"),
    [
        ({}, "tool_call", [TOOLS], TOOLS),
        ({"tools": "ignores"}, "json_schema", [TOOLS, JSON_SCHEMA], JSON_SCHEMA),
        ({"tools": "refuses"}, "json_schema", [TOOLS, JSON_SCHEMA], JSON_SCHEMA),
        ({"tools": "refuses", "json_schema": "refuses"}, "text", [TOOLS, JSON_SCHEMA, PLAIN], PLAIN),
        ({"tools": "ignores", "json_schema": "ignores"}, "text", [TOOLS, JSON_SCHEMA], JSON_SCHEMA),
    ],
)
async def test_unsupported_features_are_detected_once(
    server: dict[str, str], answered_by: str, first: list[list[str]], then: list[str]
) -> None:
    replies, seen = await complete_all(3, **server)

    assert {reply.answered_by for reply in replies} == {answered_by}
    assert seen == [*first, then, then]
    if answered_by != "text":
        assert all(reply.structured and reply.structured["label"] in {"a", "b"} for reply in replies)


async def test_other_name_of_the_token_limit_is_remembered() -> None:
    async with judge_server(wants_max_completion_tokens=True) as judge, provider(judge.base_url) as it:
        for _ in range(2):
            await it.complete(request(parameters={"max_tokens": 77, "temperature": 0.0}))

    limits = [{name: n for name, n in seen.body.items() if "tokens" in name} for seen in judge.requests]
    assert limits == [{"max_tokens": 77}, {"max_completion_tokens": 77}, {"max_completion_tokens": 77}]
    assert judge.requests[-1].body["temperature"] == 0.0


async def test_answer_length_is_always_limited() -> None:
    async with judge_server() as judge, provider(judge.base_url) as it:
        await it.complete(request())

    assert judge.requests[0].body["max_tokens"] == 1024


async def test_malformed_tool_arguments_are_returned_as_text() -> None:
    async with judge_server(script=[Answer.tool_call('{"label": ')]) as judge, provider(judge.base_url) as it:
        reply = await it.complete(request(answer_schema=SCHEMA, prefer_tool_call=True))

    assert (reply.structured, reply.text, reply.answered_by) == (None, '{"label": ', "text")


async def test_recorded_openai_answers_are_parsed() -> None:
    text, tool_calls = RECORDED["text"], RECORDED["function_call"]
    script = [Answer(body=json.dumps(it["body"]).encode()) for it in (text, tool_calls)]
    async with judge_server(script=script) as judge, provider(judge.base_url) as it:
        text_reply = await it.complete(request(model_name="gpt-4o-mini"))
        tool_reply = await it.complete(request(tools=tool_calls["request"]["tools"], tool_choice="auto"))

    assert (text_reply.text, text_reply.model_name, text_reply.prompt_tokens, text_reply.completion_tokens) == (
        "This is a test.",
        "gpt-4o-mini-2024-07-18",
        12,
        5,
    )
    assert tool_reply.tool_calls is not None
    assert [call["function"]["name"] for call in tool_reply.tool_calls] == ["get_current_weather"] * 2
    assert judge.requests[1].body["tools"] == tool_calls["request"]["tools"]


@pytest.mark.promise("finish.credentials")
async def test_unknown_model_of_openai_is_a_permanent_failure() -> None:
    recorded = RECORDED["unknown_model"]

    problem = await failure_for(Answer(recorded["status"], json.dumps(recorded["body"]).encode()))

    assert isinstance(problem, PermanentFailure)


async def request_sent_by(integration: AiIntegration, chat_request: ChatRequest) -> httpx2.Request:
    """Return the request that would have been sent."""
    seen: list[httpx2.Request] = []

    def answer(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent)
        return httpx2.Response(200, json=RECORDED["text"]["body"])

    async with open_providers({"JUDGE_KEY": KEY}, httpx2.MockTransport(answer)) as providers:
        await providers.provider(integration).complete(chat_request)
    return seen[0]


AZURE = {
    "azure_deployment_name": "my deployment",
    "azure_openai_endpoint": "https://x.openai.azure.com/",
    "azure_openai_version": "2025-01-01",
}


@pytest.mark.parametrize(
    ("fields", "asked", "url"),
    [
        ({"provider": "OPEN_AI"}, {}, "https://api.openai.com/v1/chat/completions"),
        ({"provider": "NVIDIA_NIM"}, {}, "https://integrate.api.nvidia.com/v1/chat/completions"),
        ({"base_url": "http://h/v1/"}, {}, "http://h/v1/chat/completions"),
        ({"base_url": "http://h/v1/chat/completions"}, {}, "http://h/v1/chat/completions"),
        (
            {"provider": "AZURE_OPEN_AI"},
            {"provider_parameters": {"azure_params": AZURE}},
            "https://x.openai.azure.com/openai/deployments/my%20deployment/chat/completions?api-version=2025-01-01",
        ),
        (
            {"provider": "AZURE_OPEN_AI", "base_url": "https://x.openai.azure.com/openai/v1"},
            {},
            "https://x.openai.azure.com/openai/v1/chat/completions",
        ),
    ],
)
async def test_each_provider_is_called_at_its_address_with_its_key_header(
    fields: dict[str, Any], asked: dict[str, Any], url: str
) -> None:
    sent = await request_sent_by(integration(**fields), request(**asked))

    assert str(sent.url) == url
    header = "api-key" if fields.get("provider") == "AZURE_OPEN_AI" else "authorization"
    assert KEY in sent.headers[header]


async def test_integration_headers_are_sent() -> None:
    with_headers = integration("http://h/v1", headers={"X-Team": "evals"}, api_key_env=None)

    sent = await request_sent_by(with_headers, request())

    assert sent.headers["x-team"] == "evals"
    assert "authorization" not in sent.headers


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"base_url": "http://h", "api_key_env": "OTHER_KEY"}, PermanentFailure, "variable OTHER_KEY"),
        (
            {"base_url": "http://h", "api_key_env": "BAD_KEY"},
            PermanentFailure,
            "BAD_KEY has characters that a header cannot have",
        ),
        ({"provider": "OPEN_AI", "api_key_env": None}, PermanentFailure, "names no key"),
        ({}, PermanentFailure, "has no base_url"),
        ({"provider": "HEURISTIC"}, PermanentFailure, "not a language model"),
        ({"provider": "ANTHROPIC", "api_key_env": None}, PermanentFailure, "names no key"),
        ({"provider": "NEW_ONE"}, NotBuilt, "cannot call NEW_ONE"),
        ({"base_url": "http://h", "auth_type": "OAUTH2_CLIENT_CREDENTIALS"}, NotBuilt, "OAuth2"),
    ],
)
async def test_impossible_settings_are_refused_before_any_call(
    fields: dict[str, Any], kind: type[Exception], words: str
) -> None:
    async with open_providers({"JUDGE_KEY": KEY, "BAD_KEY": "schlüssel\n"}) as providers:
        with pytest.raises(kind, match=words):
            providers.provider(integration(**fields))


async def test_provider_is_kept_until_its_integration_or_key_changes() -> None:
    environment = {"JUDGE_KEY": KEY}
    async with open_providers(environment) as providers:
        first = providers.provider(integration("http://h"))
        same = providers.provider(integration("http://h"))
        moved = providers.provider(integration("http://other"))
        environment["JUDGE_KEY"] = "another"
        rekeyed = providers.provider(integration("http://other"))

    assert first is same
    assert len({id(first), id(moved), id(rekeyed)}) == 3


async def test_key_is_in_no_repr() -> None:
    async with open_providers({"JUDGE_KEY": KEY}) as providers:
        it = providers.provider(integration("http://h"))
        assert isinstance(providers, Providers)
        assert KEY not in repr(it) + repr(providers) + repr(it.unpriced._address_for(request()))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sent", "code", "status"),
    [
        (200, 399, 200), (200, 400, 400), (200, 599, 599), (200, 600, 200), (200, "429", 200), (200, None, 200),
        (399, 429, 429), (400, 429, 400),
    ],
)  # fmt: skip
def test_error_status_in_the_body_replaces_only_a_status_of_success(sent: int, code: object, status: int) -> None:
    document = {"error": {"message": "no", "code": code}}
    assert ErrorReply.parse(sent, {}, document, b"").status == status


@pytest.mark.parametrize(("characters", "shown"), [(4000, 4000), (4001, 4000)])
def test_error_message_is_kept_up_to_4000_characters(characters: int, shown: int) -> None:
    assert len(ErrorReply.parse(400, {}, {"error": "x" * characters}, b"").message) == shown
