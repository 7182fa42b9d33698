"""A client of OpenAI's chat/completions wire format, which many providers use.

The wire format is one; servers differ in the features that they support. A structured answer is requested in a fallback
order: a forced tool call, then json_schema, then plain text. If a server refuses a feature (an error that names it) or
ignores it (a reply without the tool call), the next one is tried, and the result is remembered for the model, so that
only the first rows need more than one request. The same is done for `max_tokens` and `max_completion_tokens`.

`provider_errors.py` classifies the failures. All rows share the connections of `connection_pool.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from anyio import to_thread

from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.answer_modes import (
    ANSWER_TOOL,
    ANSWER_TOOL_DESCRIPTION,
    JSON_SCHEMA,
    TEXT,
    TOOL_CALL,
    parse_json_object,
)
from evaltasks.engine.providers.connection_pool import ConnectionPool, read_body
from evaltasks.engine.providers.provider import CallRejected, ChatMessage, ChatReply, ChatRequest, Now, RetryLater
from evaltasks.engine.providers.provider_errors import (
    ErrorReply,
    RequestFeature,
    error_for_connection,
    error_for_reply,
    refused_feature,
)
from evaltasks.engine.providers.rate_limit_headers import RateLimitStatus, rate_limit_status_from

MAX_TOKENS_DEFAULT = 1024
TIMEOUT_SECONDS_DEFAULT = 120.0

_PARSED_IN_LOOP_BYTES_MAX = 256 * 1024
_NEWEST_WEIGHT = 0.1  # of the newest call in the moving average of tokens per call
# Most requests of one call: three answer modes, and one more for the other name of the token limit.
_REQUESTS_MAX = 4


@dataclass(frozen=True, slots=True)
class Address:
    """The URL and headers of a call. The headers contain the key, so they are never shown."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


# Returns the address for a request; raises PermanentFailure when the settings name none.
AddressFor = Callable[[ChatRequest], Address]


@dataclass(slots=True)
class _Capabilities:
    """What one model of this server does not support, as far as known."""

    unsupported: set[str] = field(default_factory=set)
    token_limit: str = "max_tokens"  # noqa: S105  the name of a parameter, not a secret


class OpenAiCompatible:
    """A provider that is called with OpenAI's chat/completions. None of its errors contains a key.

    Args:
        connections: The connections of this provider.
        address_for: Returns the URL and headers for a request.
        now: Returns the current time.
        max_tokens: The length of an answer where the request sets none.
        timeout_seconds: The bound of one request.

    Attributes:
        rate_limit_status: The rate limit as last reported; None when the provider reported none.
    """

    def __init__(
        self,
        connections: ConnectionPool,
        address_for: AddressFor,
        *,
        now: Now,
        max_tokens: int = MAX_TOKENS_DEFAULT,
        timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
    ) -> None:
        self._connections = connections
        self._address_for = address_for
        self._now = now
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._capabilities: dict[str, _Capabilities] = {}
        self._tokens_per_call: float | None = None
        self.rate_limit_status: RateLimitStatus | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        address = self._address_for(request)
        capabilities = self._capabilities.setdefault(request.model_name, _Capabilities())
        started = time.perf_counter()
        for _ in range(_REQUESTS_MAX):
            mode = _answer_mode(request, capabilities)
            sent = _body(request, mode, capabilities, self._max_tokens)
            answer = await self._post(address, sent)
            if isinstance(answer, ErrorReply):
                feature = refused_feature(answer)
                if feature is not None and _note_unsupported(capabilities, feature, mode):
                    continue
                raise error_for_reply(answer, request.model_name, sent, self._now())
            reply = _reply(answer, mode, round((time.perf_counter() - started) * 1000, 1))
            self._count_tokens(reply)
            if mode == TOOL_CALL and reply.answered_by == TEXT and not reply.tool_calls:
                # The tool was ignored. The text may be a good answer, but one that follows a schema is better.
                capabilities.unsupported.add(TOOL_CALL)
                continue
            return reply
        raise CallRejected("the provider refused a tool call, a JSON schema and plain text")

    async def _post(self, address: Address, sent: JsonObject) -> JsonObject | ErrorReply:
        """Return the parsed body of a success, or the error reply.

        Raises:
            RetryLater: The connection failed or timed out.
            CallRejected: The answer is too long or cannot be decoded.
            PermanentFailure: The address or its certificate is wrong.
        """
        content = json.dumps(sent, ensure_ascii=False).encode("utf-8", "replace")
        # A deadline for the whole exchange, because the connection's timeouts count from each byte to the next.
        with anyio.move_on_after(self._timeout_seconds):
            try:
                async with self._connections.post(address.url, content, address.headers) as response:
                    body = await read_body(response, "provider")
                    self.rate_limit_status = rate_limit_status_from(response.headers, self._tokens_per_call)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise error_for_connection(error) from None
            # Parsing a long answer would block the event loop.
            if len(body) > _PARSED_IN_LOOP_BYTES_MAX:
                return await to_thread.run_sync(_parsed, response, body)
            return _parsed(response, body)
        raise RetryLater(f"the provider did not answer within {self._timeout_seconds:g} s")

    def _count_tokens(self, reply: ChatReply) -> None:
        used = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        if used:
            average = self._tokens_per_call
            self._tokens_per_call = used if average is None else average + (used - average) * _NEWEST_WEIGHT


def _parsed(response: httpx2.Response, body: bytes) -> JsonObject | ErrorReply:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if response.is_success and isinstance(document, dict) and "error" not in document:
        return document
    if response.is_success and isinstance(document, dict) and not document["error"]:
        return document
    return ErrorReply.parse(response.status_code, response.headers, document, body)


def _answer_mode(request: ChatRequest, capabilities: _Capabilities) -> str:
    if request.answer_schema is None:
        return TEXT
    if request.prefer_tool_call and TOOL_CALL not in capabilities.unsupported:
        return TOOL_CALL
    return TEXT if JSON_SCHEMA in capabilities.unsupported else JSON_SCHEMA


def _note_unsupported(capabilities: _Capabilities, feature: RequestFeature, mode: str) -> bool:
    """Remember a refused feature. Returns False when the next request would not differ, so a retry is useless."""
    match feature:
        case RequestFeature.MAX_TOKENS:
            is_new = capabilities.token_limit == "max_tokens"  # noqa: S105
            capabilities.token_limit = "max_completion_tokens"  # noqa: S105
            return is_new
        case RequestFeature.TOOLS if mode == TOOL_CALL:
            capabilities.unsupported.add(TOOL_CALL)
            return True
        case RequestFeature.RESPONSE_FORMAT if mode == JSON_SCHEMA:
            capabilities.unsupported.add(JSON_SCHEMA)
            return True
        case _:
            return False


def _body(request: ChatRequest, mode: str, capabilities: _Capabilities, max_tokens: int) -> JsonObject:
    sent: JsonObject = {
        "model": request.model_name,
        "messages": [_message(message) for message in request.messages],
    }
    parameters = dict(request.parameters)
    tool_config = parameters.pop("tool_config", None) or {}
    limits = [parameters.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
    response_format = parameters.pop("response_format", None)
    sent |= parameters
    sent[capabilities.token_limit] = next((limit for limit in limits if limit), max_tokens)
    if mode == TOOL_CALL:
        sent["tools"] = [_answer_tool(request)]
        sent["tool_choice"] = {"type": "function", "function": {"name": ANSWER_TOOL}}
        return sent
    if mode == JSON_SCHEMA:
        sent["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": ANSWER_TOOL, "schema": request.answer_schema, "strict": True},
        }
        return sent
    if request.answer_schema is None:
        if response_format:
            sent["response_format"] = {**response_format, "type": str(response_format.get("type", "text")).lower()}
        tools = request.tools or tool_config.get("tools")
        if tools:
            sent["tools"] = list(tools)
            tool_choice = request.tool_choice or tool_config.get("tool_choice")
            if tool_choice is not None:
                sent["tool_choice"] = tool_choice
    return sent


def _answer_tool(request: ChatRequest) -> JsonObject:
    return {
        "type": "function",
        "function": {
            "name": ANSWER_TOOL,
            "description": ANSWER_TOOL_DESCRIPTION,
            "parameters": request.answer_schema,
        },
    }


def _message(message: ChatMessage) -> JsonObject:
    sent: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        # AX writes FUNCTION; OpenAI writes function.
        sent["tool_calls"] = [
            {**call, "type": str(call.get("type", "function")).lower()} for call in message.tool_calls
        ]
    return sent


def _reply(answer: JsonObject, mode: str, latency_ms: float) -> ChatReply:
    """Convert a chat completion to a reply.

    Raises:
        CallRejected: The answer has no message, was withheld by a content filter, or the model declined.
    """
    choice = _first(answer.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise CallRejected("the provider's answer has no message; is this an OpenAI-compatible endpoint?")
    if choice.get("finish_reason") == "content_filter":
        raise CallRejected("the provider's content filter withheld the answer")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise CallRejected("the model declined to answer", refusal[:500])
    text = _text(message.get("content"))
    tool_calls = message.get("tool_calls")
    tool_calls = [call for call in tool_calls if isinstance(call, dict)] if isinstance(tool_calls, list) else []
    structured: JsonObject | None = None
    answered_by = TEXT
    if mode == TOOL_CALL and tool_calls:
        function = tool_calls[0].get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None
        structured = parse_json_object(arguments)
        answered_by = TOOL_CALL if structured is not None else TEXT
        text = text or (arguments if isinstance(arguments, str) else "")
    elif mode == JSON_SCHEMA:
        structured = parse_json_object(text)
        answered_by = JSON_SCHEMA if structured is not None else TEXT
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    model_name = answer.get("model")
    return ChatReply(
        text=text,
        structured=structured,
        answered_by=answered_by,
        model_name=model_name if isinstance(model_name, str) else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        latency_ms=latency_ms,
        tool_calls=tool_calls or None,
        cache_read_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


def _first(items: Any) -> JsonObject:
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def _text(content: object) -> str:
    """Return the text of a message's content: the content itself, or the texts of its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return ""


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None
