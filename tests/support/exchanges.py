"""Replays recorded exchanges with providers from `tests/fixtures/providers`, without a network.

`async with replaying("ANTHROPIC", "text") as it:` yields a provider whose calls are answered by the named exchanges in
order, the last one forever; `it.requests` are the requests that would have been sent.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.engine.providers.catalog import open_providers
from evaltasks.engine.providers.provider import ChatMessage, ChatRequest, Provider

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "sk-very-secret-0123456789"
FOLDER = Path(__file__).parents[1] / "fixtures" / "providers"
has_libraries = importlib.util.find_spec("pydantic_ai") is not None
needs_libraries = pytest.mark.skipif(
    not has_libraries,
    reason="NOT TESTED, evaltasks[providers] is not installed: pip install -c requirements.lock -e '.[providers]'",
)


@dataclass(frozen=True)
class Kind:
    """One kind of provider: its exchanges, a model, and the fields of its integration."""

    folder: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    is_library: bool = False


_OPENAI = "gpt-4o-mini"
_OWN = {"base_url": "http://judge.test/v1"}
KINDS: dict[str, Kind] = {
    "OPEN_AI": Kind("openai", _OPENAI),
    "AZURE_OPEN_AI": Kind("openai", _OPENAI, {"base_url": "https://mine.openai.azure.com"}),
    "CUSTOM": Kind("openai", _OPENAI, _OWN),
    "NVIDIA_NIM": Kind("openai", _OPENAI, _OWN),
    "LITELLM": Kind("openai", _OPENAI, _OWN),
    "FIREWORKS": Kind("openai", _OPENAI),
    "TOGETHER_AI": Kind("openai", _OPENAI),
    "ANTHROPIC": Kind("anthropic", "claude-haiku-4-5", is_library=True),
    "GEMINI": Kind("gemini", "gemini-2.5-flash", is_library=True),
    "VERTEX_AI": Kind("vertex", "gemini-2.5-flash", is_library=True),
    "AWS_BEDROCK": Kind("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", is_library=True),
}
EVERY_KIND = [pytest.param(name, marks=[needs_libraries] if kind.is_library else []) for name, kind in KINDS.items()]
Answering = Callable[[httpx2.Request], httpx2.Response]


@dataclass
class Replayed:
    provider: Provider
    requests: list[httpx2.Request]


def integration(kind: str, **fields: Any) -> AiIntegration:
    settings = {"api_key_env": "JUDGE_KEY", **KINDS[kind].settings, **fields}
    return AiIntegration.model_validate(
        {"id": "i", "name": "judge", "provider": kind, "created_at": NOW, "updated_at": NOW, **settings}
    )


def request(kind: str, **fields: Any) -> ChatRequest:
    messages = [ChatMessage("system", "Judge."), ChatMessage("user", "Hello")]
    return ChatRequest(**{"model_name": KINDS[kind].model, "messages": messages, **fields})


def exchange(folder: str, case: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / folder / f"{case}.json").read_text(encoding="utf-8"))
    return read


def answer(recorded: dict[str, Any]) -> httpx2.Response:
    """Return the response, or raise as a broken connection does, if that was recorded."""
    if recorded.get("cut"):
        raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")
    content = recorded["text"] if "text" in recorded else json.dumps(recorded["body"])
    return httpx2.Response(recorded["status"], headers=recorded["headers"], content=content.encode())


@asynccontextmanager
async def answering(
    kind: str,
    answers: Answering,
    environment: dict[str, str] | None = None,
    *,
    timeout_seconds: float = 30,
    **fields: Any,
) -> AsyncIterator[Replayed]:
    """Yield a provider whose requests are answered by a function."""
    seen: list[httpx2.Request] = []

    def take(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent)
        return answers(sent)

    known = {"JUDGE_KEY": KEY, "AWS_REGION": "us-east-1", **(environment or {})}
    transport = httpx2.MockTransport(take)
    async with open_providers(known, transport, now=lambda: NOW, timeout_seconds=timeout_seconds) as providers:
        yield Replayed(providers.provider(integration(kind, **fields)), seen)


@asynccontextmanager
async def replaying(kind: str, *cases: str, **options: Any) -> AsyncIterator[Replayed]:
    """Yield a provider whose requests are answered by the named exchanges."""
    left = [exchange(KINDS[kind].folder, case) for case in cases]

    def take(_: httpx2.Request) -> httpx2.Response:
        return answer(left.pop(0) if len(left) > 1 else left[0])

    async with answering(kind, take, **options) as it:
        yield it
