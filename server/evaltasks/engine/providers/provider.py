"""The interface of a language model: one request, one reply, three kinds of failure."""

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
    """The same call may succeed later: a rate limit, an overload or a connection problem.

    Attributes:
        reason: Our own words, safe to show.
        after_seconds: How long the provider asks to wait; None when it does not say.
    """

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class CallRejected(Exception):
    """This call fails, and calls of other rows may succeed: too long for the context, a content filter.

    Attributes:
        reason: Our own words, safe to show.
        detail: The provider's message, cut short and untrusted; None when there is none.
    """

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class PermanentFailure(Exception):
    """Every call fails, so the task run must stop: a wrong key, an unknown model, no such address.

    Attributes:
        reason: Our own words, safe to show. It never contains a key or a provider's text.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: str  # lower case: system, user, assistant, tool
    content: str | None
    tool_call_id: str | None = None
    tool_calls: Sequence[JsonObject] | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to a language model.

    Attributes:
        model_name: The model's name at the provider.
        messages: The conversation.
        parameters: The invocation parameters, such as `temperature`.
        answer_schema: Asks for a JSON object of this schema, by tool call or structured output where the provider
            supports them.
        prefer_tool_call: Ask for the answer by tool call first, not by structured output.
        tools: Tools that the model may call, in OpenAI's form.
        tool_choice: Which of the tools it must call.
        provider_parameters: Parameters of one provider, such as the address of an Azure deployment.
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
    """The reply of a language model.

    Attributes:
        text: What the model wrote.
        structured: The parsed answer, when the model followed `answer_schema`.
        answered_by: How the answer came: tool_call, json_schema or text.
        model_name: The model that answered, as the provider names it.
        prompt_tokens: Includes the tokens read from and written to a cache.
        completion_tokens: The tokens of the answer.
        latency_ms: The time of the whole call, with its repetitions for refused features.
        tool_calls: The tool calls, in OpenAI's form.
        cache_read_tokens: The prompt tokens read from a cache.
        cache_write_tokens: The prompt tokens written to a cache.
        cost_usd: The list price of the call; None when it is unknown.
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
    """A language model behind an AI integration."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Send one request and return the reply. No other error is raised, whatever the provider answers.

        Raises:
            RetryLater: The same call may succeed later.
            CallRejected: This call fails; calls of other rows may succeed.
            PermanentFailure: Every call fails.
        """
