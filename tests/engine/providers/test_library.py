"""The providers of the extra: credentials, addresses, regions, parameters, and the missing extra."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from evaltasks.api.problems import NotBuilt
from evaltasks.engine.providers.catalog import open_providers
from evaltasks.engine.providers.provider import (
    CallRejected,
    ChatMessage,
    ChatRequest,
    PermanentFailure,
    RetryLater,
)
from tests.support.engines import WINDOW, engine
from tests.support.exchanges import KEY, KINDS, answer, answering, exchange, needs_libraries, replaying, request

LIBRARY_KINDS = [kind for kind, provider_kind in KINDS.items() if provider_kind.is_library]
PLACE = {"kind": "GCP", "project_id": "my-project", "location": "europe-west4", "project_access_label": "ours"}


async def sent_by(
    kind: str, *, environment: dict[str, str] | None = None, chat_request: Any = None, **fields: Any
) -> httpx2.Request:
    """Return the one request that would have been sent."""
    async with replaying(kind, "text", environment=environment, **fields) as it:
        await it.provider.complete(chat_request or request(kind))
    (sent,) = it.requests
    return sent


@pytest.mark.parametrize("kind", LIBRARY_KINDS)
async def test_missing_extra_fails_the_first_call_with_the_install_command(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("evaltasks.engine.providers.library_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    monkeypatch.setitem(sys.modules, "pydantic_ai.direct", None)
    async with replaying(kind, "text") as it:
        with pytest.raises(PermanentFailure, match=r"pip install 'evaltasks\[providers\]'"):
            await it.provider.complete(request(kind))
    assert it.requests == []


@needs_libraries
@pytest.mark.parametrize(
    ("kind", "fields", "url", "header"),
    [
        ("ANTHROPIC", {}, "https://api.anthropic.com/v1/messages", "x-api-key"),
        ("ANTHROPIC", {"base_url": "http://gate.test/a/v1/"}, "http://gate.test/a/v1/messages", "x-api-key"),
        ("ANTHROPIC", {"auth_type": "BEARER_TOKEN"}, "https://api.anthropic.com/v1/messages", "authorization"),
        (
            "GEMINI",
            {},
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
            "x-goog-api-key",
        ),
        (
            "GEMINI",
            {"base_url": "http://gate.test/v1beta"},
            "http://gate.test/v1beta/models/gemini-2.5-flash:generateContent",
            "x-goog-api-key",
        ),
        (
            "VERTEX_AI",
            {},
            "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent",
            "x-goog-api-key",
        ),
        (
            "VERTEX_AI",
            {"provider_metadata": PLACE, "auth_type": "BEARER_TOKEN"},
            "https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/my-project/locations/europe-west4"
            "/publishers/google/models/gemini-2.5-flash:generateContent",
            "authorization",
        ),
        (
            "AWS_BEDROCK",
            {},
            "https://bedrock-runtime.us-east-1.amazonaws.com/model"
            "/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
            "authorization",
        ),
    ],
)
async def test_each_provider_is_called_at_its_address_with_the_key_in_one_header(
    kind: str, fields: dict[str, Any], url: str, header: str
) -> None:
    sent = await sent_by(kind, **fields)

    assert str(sent.url) == url
    assert [name for name, value in sent.headers.items() if KEY in value] == [header]
    assert "replaced-when-sent" not in str(sent.headers.multi_items())


@needs_libraries
@pytest.mark.parametrize("kind", LIBRARY_KINDS)
async def test_proxy_receives_only_the_integrations_headers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never")
    fields = {"provider_metadata": PLACE} if kind == "VERTEX_AI" else {}
    sent = await sent_by(
        kind,
        base_url="http://gate.test",
        auth_type="PROXY_WITH_HEADERS",
        api_key_env=None,
        headers={"X-Team": "evals"},
        **fields,
    )

    assert sent.url.host == "gate.test"
    assert sent.headers["x-team"] == "evals"
    assert not {"authorization", "x-api-key", "x-goog-api-key"} & set(sent.headers)


@needs_libraries
async def test_bedrock_signs_with_ambient_credentials_in_the_requested_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-leaves")
    asked = request("AWS_BEDROCK", provider_parameters={"region": "eu-west-1"})
    sent = await sent_by("AWS_BEDROCK", chat_request=asked, api_key_env=None, headers={"X-Team": "evals"})

    assert sent.url.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/bedrock/aws4_request" in sent.headers["authorization"]
    assert sent.headers["x-team"] == "evals"
    assert "never-leaves" not in str(sent.headers.multi_items())


@asynccontextmanager
async def token_service(tmp_path: Path) -> AsyncIterator[Path]:
    """Serve tokens on loopback, and yield the path of a service account's file that names this service."""
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def send_token(stream: Any) -> None:
        async with stream:
            await stream.receive()
            body = json.dumps({"access_token": "fetched-token", "expires_in": 3600, "token_type": "Bearer"})
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            await stream.send(f"{head}connection: close\r\n\r\n{body}".encode())

    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    account = {
        "type": "service_account",
        "project_id": "from-file",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "judge@from-file.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account), encoding="utf-8")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, send_token)
        yield path
        tasks.cancel_scope.cancel()


@needs_libraries
async def test_vertex_uses_application_default_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(30):
        async with token_service(tmp_path) as account:
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
            sent = await sent_by("VERTEX_AI", api_key_env=None, provider_metadata=PLACE)

    assert sent.headers["authorization"] == "Bearer fetched-token"
    assert sent.url.host == "europe-west4-aiplatform.googleapis.com"


@needs_libraries
@pytest.mark.parametrize("kind", ["VERTEX_AI", "AWS_BEDROCK"])
async def test_missing_cloud_credentials_are_a_permanent_failure(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    fields = {"provider_metadata": PLACE} if kind == "VERTEX_AI" else {}
    async with replaying(kind, "text", api_key_env=None, **fields) as it:
        with pytest.raises(PermanentFailure, match="no usable credentials of the cloud"):
            await it.provider.complete(request(kind))
    assert it.requests == []


@needs_libraries
@pytest.mark.parametrize(
    ("kind", "fields", "asked", "words"),
    [
        ("VERTEX_AI", {"api_key_env": None}, {}, "no Google Cloud project"),
        ("AWS_BEDROCK", {}, {"provider_parameters": {"region": "evil.example/x"}}, "not the name of a region"),
        ("GEMINI", {}, {"model_name": "../../v1/secret"}, "not the name of a model"),
        ("ANTHROPIC", {}, {"parameters": {"verbosity": "high"}}, "takes no parameter 'verbosity'.*temperature"),
        ("ANTHROPIC", {}, {"parameters": {"response_format": {"type": "JSON_OBJECT"}}}, "JSON_OBJECT"),
        ("ANTHROPIC", {}, {"tools": [{"type": "function"}]}, "has no name"),
    ],
)
async def test_impossible_requests_fail_before_anything_is_sent(
    kind: str, fields: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    async with replaying(kind, "text", **fields) as it:
        with pytest.raises(PermanentFailure, match=words):
            await it.provider.complete(request(kind, **asked))
    assert it.requests == []


@pytest.mark.parametrize(
    ("kind", "fields", "problem", "words"),
    [
        ("ANTHROPIC", {"api_key_env": None}, PermanentFailure, "names no key"),
        ("GEMINI", {"api_key_env": "NO_KEY"}, PermanentFailure, "variable NO_KEY"),
        ("VERTEX_AI", {"api_key_env": None, "auth_type": "BEARER_TOKEN"}, PermanentFailure, "names no api_key_env"),
        ("AWS_BEDROCK", {"api_key_env": None, "base_url": "https://collector.example"}, PermanentFailure, "own hosts"),
        ("ANTHROPIC", {"auth_type": "OAUTH2_CLIENT_CREDENTIALS"}, NotBuilt, "OAuth2"),
    ],
)
async def test_impossible_credentials_are_refused_before_any_call(
    kind: str, fields: dict[str, Any], problem: type[Exception], words: str
) -> None:
    with pytest.raises(problem, match=words):
        async with replaying(kind, "text", **fields):
            raise AssertionError("the provider was made")


@needs_libraries
async def test_model_and_provider_parameters_are_sent() -> None:
    anthropic = await sent_by(
        "ANTHROPIC",
        chat_request=request(
            "ANTHROPIC",
            parameters={"top_k": 5, "stop": ["END"], "max_tokens": 3000, "thinking_budget": 2000},
            provider_parameters={
                "anthropic_headers": {"anthropic_beta": ["beta-one"]},
                "anthropic_version": "2023-06-01",
            },
        ),
    )
    gemini = await sent_by(
        "GEMINI", chat_request=request("GEMINI", parameters={"frequency_penalty": 0.5, "thinking_budget": 64})
    )
    bedrock = await sent_by(
        "AWS_BEDROCK", chat_request=request("AWS_BEDROCK", parameters={"top_p": 0.5, "stop": ["END"]})
    )

    body = json.loads(anthropic.content)
    assert (body["top_k"], body["stop_sequences"], body["max_tokens"]) == (5, ["END"], 3000)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert anthropic.headers["anthropic-version"] == "2023-06-01"
    assert "beta-one" in anthropic.headers["anthropic-beta"]
    generation = json.loads(gemini.content)["generationConfig"]
    assert (generation["frequencyPenalty"], list(generation["thinkingConfig"].values())) == (0.5, [64])
    assert generation["maxOutputTokens"] == 1024
    inference = json.loads(bedrock.content)["inferenceConfig"]
    assert inference == {"topP": 0.5, "stopSequences": ["END"], "maxTokens": 1024}


@needs_libraries
@pytest.mark.parametrize("kind", LIBRARY_KINDS)
async def test_conversation_with_tool_calls_keeps_its_order(kind: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    messages = [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "first-words"),
        ChatMessage("assistant", "second-words", tool_calls=[call]),
        ChatMessage("tool", "third-words", tool_call_id="call_1"),
        ChatMessage("user", "fourth-words"),
    ]
    tools = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}]
    asked = ChatRequest(KINDS[kind].model, messages, tools=tools)
    text = (await sent_by(kind, chat_request=asked)).content.decode()

    places = [text.index(words) for words in ("first-words", "second-words", "sky", "third-words", "fourth-words")]
    assert places == sorted(places)
    assert "Be brief." in text


@needs_libraries
async def test_forced_tool_and_json_schema_of_an_experiment_are_sent() -> None:
    nothing = {"type": "object", "properties": {}}
    tools = [{"type": "function", "function": {"name": name, "parameters": nothing}} for name in ("look", "listen")]
    forced = {"tools": tools, "tool_choice": {"type": "function", "function": {"name": "look"}}}
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
    bound = {"type": "JSON_SCHEMA", "json_schema": {"name": "year", "schema": schema}}
    tool = await sent_by("ANTHROPIC", chat_request=request("ANTHROPIC", parameters={"tool_config": forced}))
    json_schema = await sent_by("GEMINI", chat_request=request("GEMINI", parameters={"response_format": bound}))

    assert json.loads(tool.content)["tool_choice"] == {"type": "tool", "name": "look"}
    generation = json.loads(json_schema.content)["generationConfig"]
    assert generation["responseMimeType"] == "application/json"
    assert "year" in json.dumps(generation)


@needs_libraries
async def test_retry_after_date_is_read_with_the_engines_clock() -> None:
    late = {**exchange("anthropic", "rate_limited"), "headers": {"retry-after": "Thu, 01 Jan 2026 12:00:20 GMT"}}
    async with answering("ANTHROPIC", lambda _: answer(late)) as it:
        with pytest.raises(RetryLater) as problem:
            await it.provider.complete(request("ANTHROPIC"))

    assert problem.value.after_seconds == 20.0


@needs_libraries
@pytest.mark.parametrize("kind", LIBRARY_KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"content": 7}',
        b'{"content": [{"type": "text"}]}',
        b'{"candidates": [null]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": 3}]}}]}',
        b'{"output": []}',
        b'{"output": {"message": {"content": [{"text": null}]}}, "usage": {}}',
        b'{"usage": {"input_tokens": "many"}, "content": []}',
        b'{"error": {"message": "no"}}',
    ],
)
async def test_unexpected_answers_raise_only_the_declared_failures(kind: str, body: bytes) -> None:
    response = httpx2.Response(200, headers={"content-type": "application/json"}, content=body)
    async with answering(kind, lambda _: response) as it:
        try:
            reply = await it.provider.complete(request(kind))
        except (RetryLater, CallRejected):
            return
    assert isinstance(reply.text, str)


@needs_libraries
async def test_task_run_with_anthropic_records_tokens_price_and_answer_mode() -> None:
    judged = exchange("anthropic", "structured_tool")
    transport = httpx2.MockTransport(lambda _: answer(judged))
    environment = {"ANTHROPIC_KEY": KEY}
    async with engine(environment=environment, providers=open_providers(environment, transport)) as it:
        body = {"name": "claude", "provider": "ANTHROPIC", "api_key_env": "ANTHROPIC_KEY"}
        integration_id = (await it.ask("POST", "/v2/ai-integrations", body))["id"]
        evaluator = await it.seed_template_evaluator(
            integration_id=integration_id,
            model_name="claude-haiku-4-5",
            template="Is {output} grounded?",
            choices={"a": 1.0, "b": 0.0},
        )
        project = await it.seed_project()
        await it.seed_spans(project, 3)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        run = await it.finish(task, **WINDOW)
        rows = await it.rows(run["id"])

    assert (run["status"], run["num_successes"]) == ("COMPLETED", 3)
    assert {row["label"] for row in rows} == {"b"}
    reported = rows[0]["provenance"]
    assert (reported["provider"], reported["answered_by"], reported["answering_model"]) == (
        "ANTHROPIC",
        "tool_call",
        "claude-haiku-4-5-20251001",
    )
    assert (reported["prompt_tokens"], reported["completion_tokens"], reported["cost_usd"]) == (100, 20, 0.0002)


@needs_libraries
@pytest.mark.parametrize(
    ("module", "name", "failure"),
    [
        ("google.auth.exceptions", "TransportError", RetryLater),
        ("google.auth.exceptions", "RefreshError", PermanentFailure),
        ("google.auth.exceptions", "InvalidValue", CallRejected),
        ("another_library", "TransportError", CallRejected),
    ],
)
def test_error_of_the_credential_chain_is_recognised_by_its_module_and_name(
    module: str, name: str, failure: type[Exception]
) -> None:
    from evaltasks.engine.providers.library_errors import error_for

    cause = type(name, (Exception,), {"__module__": module})("no")
    assert type(error_for(cause, "m", datetime(2026, 1, 1, tzinfo=UTC))) is failure


@needs_libraries
async def test_calls_that_hold_threads_leave_threads_for_the_store() -> None:
    running = 0
    enough, release = anyio.Event(), anyio.Event()

    async def hold(_: httpx2.Request) -> httpx2.Response:
        nonlocal running
        running += 1
        if running == 24:
            enough.set()
        await release.wait()
        return answer(exchange(KINDS["AWS_BEDROCK"].folder, "text"))

    async with answering("AWS_BEDROCK", hold) as it, anyio.create_task_group() as tasks:  # type: ignore[arg-type]
        for _ in range(50):
            tasks.start_soon(it.provider.complete, request("AWS_BEDROCK"))
        with anyio.fail_after(10):
            await enough.wait()
            await anyio.to_thread.run_sync(int)
            assert running == 24
            release.set()
