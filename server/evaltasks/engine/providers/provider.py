"""The seam to a language model: one call, one reply, three ways to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from evaltasks.api.wire import JsonObject


class Now(Protocol):
    """Returns the current time, with a time zone."""

    def __call__(self) -> datetime: ...


class RetryLater(Exception):
    """Not now: a rate limit, an overload, a connection problem. The same call may succeed after `after_seconds`."""

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class CallRejected(Exception):
    """This call will never be answered (too long for the context, a content filter); other rows may be."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class PermanentFailure(Exception):
    """No call will be answered: a wrong key, an unknown model, no such address. The run as a whole must stop.

    `reason` is ours and safe to show; it never holds a key or a provider's text.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: str  # lower case: system, user, assistant, tool
    content: str | None
    tool_call_id: str | None = None
    tool_calls: Sequence[JsonObject] | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`answer_schema` asks for a JSON object of that schema: by tool call or structured output, where the provider can.

    `provider_parameters` is what only one provider knows, such as the address of an Azure deployment.
    """

    model_name: str
    messages: Sequence[ChatMessage]
    parameters: dict[str, Any] = field(default_factory=dict)
    answer_schema: JsonObject | None = None
    prefer_tool_call: bool = False
    tools: Sequence[JsonObject] | None = None
    tool_choice: Any = None
    provider_parameters: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """`structured` is the parsed answer when `answer_schema` was honoured; `text` is what the model wrote.

    `answered_by` is how the answer came: tool_call, json_schema or text. `prompt_tokens` holds those read from and
    written to a cache as well. `cost_usd` is the call's list price; None when it is not known.
    """

    text: str
    structured: JsonObject | None = None
    answered_by: str = "text"
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_ms: float | None = None
    tool_calls: Sequence[JsonObject] | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None


class Provider(Protocol):
    """Raises RetryLater, CallRejected or PermanentFailure; nothing else for anything the other side does."""

    async def complete(self, request: ChatRequest) -> ChatReply: ...
