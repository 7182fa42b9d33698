"""Classify a provider's failures: retry later, fail this row, or fail the task run.

The first row that matches decides:

| the provider's answer                                                | raised                                   |
| -------------------------------------------------------------------- | ---------------------------------------- |
| 401, 403                                                             | PermanentFailure: the key                |
| 402, or a 429 that says the quota is used up                         | PermanentFailure: the account            |
| 408, 409, 425, 429, 5xx except 501; connection errors and time-outs  | RetryLater, after the time it asks for   |
| 404, 405, 301–308; no such host; a bad certificate                   | PermanentFailure: the address, the model |
| a prompt over the context; 413                                       | CallRejected                             |
| a content filter                                                     | CallRejected                             |
| any other 4xx, 501                                                   | CallRejected, with the parameter         |
| a success that is a web page / that is not JSON                      | CallRejected / RetryLater                |

Reasons are our own words: rows are grouped by them and they are safe to show. The provider's message is only in
`detail`, cut short, and never in the failure of a whole task run.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, TypeAlias

import httpx2

from evaltasks.api.wire import JsonObject
from evaltasks.edge.retry_after import retry_after_seconds
from evaltasks.engine.providers.provider import CallRejected, PermanentFailure, RetryLater

ProviderError: TypeAlias = RetryLater | CallRejected | PermanentFailure

# The longest wait that a provider can ask for. The row's own retry time still applies.
RETRY_AFTER_SECONDS_MAX = 600.0
_DETAIL_CHARS_MAX = 500
_RETRIED = frozenset({408, 409, 425, 429})
_KEYS = re.compile(r"(?:sk|key|nvapi|fw|tgp|gsk|xai)[-_][\w\-*]{6,}|Bearer\s+\S+", re.IGNORECASE)

_CONTEXT = re.compile(
    r"context[_ ]length|context[_ ]size|maximum context|context window|too many tokens|prompt is too long", re.I
)
_FILTER = re.compile(r"content[_ ]filter|content management policy|safety system|responsible ?ai", re.I)
_QUOTA = re.compile(r"insufficient[_ ]quota|exceeded your current quota|billing|credit balance|payment required", re.I)
_NO_MODEL = re.compile(
    r"model_not_found|model .{0,80}(?:does not exist|not found)|no such model|unknown model"
    r"|model identifier is invalid",
    re.I,
)


class RequestFeature(Enum):
    """A feature of the request that a server may not support."""

    TOOLS = auto()
    RESPONSE_FORMAT = auto()
    MAX_TOKENS = auto()


_FEATURES: tuple[tuple[RequestFeature, re.Pattern[str]], ...] = (
    (RequestFeature.MAX_TOKENS, re.compile(r"max_completion_tokens")),
    (RequestFeature.RESPONSE_FORMAT, re.compile(r"response_format|json_schema|structured output|guided", re.I)),
    (RequestFeature.TOOLS, re.compile(r"\btools?\b|tool_choice|tool[- ]call|function[- _]?call|\bfunctions?\b", re.I)),
)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An answer that is an error.

    Attributes:
        status: The HTTP status, or the one that a gateway put into the body of a 200.
        message: The provider's error code, type and message, untrusted.
        param: The request parameter that the provider complains about.
        is_page: It is a web page.
        is_readable: It is a JSON object.
        headers: The headers, by lower-case name.
    """

    status: int
    message: str
    param: str | None
    is_page: bool
    is_readable: bool
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, status: int, headers: Mapping[str, str], document: Any, body: bytes) -> ErrorReply:
        """Parse an error reply from its status, headers, JSON document (None if it is not JSON) and body."""
        error = document.get("error") if isinstance(document, dict) else None
        error = error if error else document
        if isinstance(error, dict):
            parts = [error.get(name) for name in ("code", "type", "message", "detail")]
            message = " ".join(str(part) for part in parts if part)
            param = error.get("param")
            # Some gateways answer 200 and put the real status into the body.
            code = error.get("code")
            if status < 400 and isinstance(code, int) and 400 <= code < 600:
                status = code
        else:
            message, param = (error if isinstance(error, str) else ""), None
        return cls(
            status=status,
            message=message[:4000],
            param=param if isinstance(param, str) else None,
            is_page=is_web_page(headers.get("content-type", ""), body),
            is_readable=isinstance(document, dict),
            headers=headers,
        )

    @property
    def detail(self) -> str | None:
        """The provider's message, untrusted and cut short. Some providers repeat part of the key; it is removed."""
        return _KEYS.sub("[key]", self.message)[:_DETAIL_CHARS_MAX] or None


def is_web_page(content_type: str, body: bytes) -> bool:
    """Return True for HTML, by the content type or by the start of the body."""
    return "html" in content_type or body[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))


def refused_feature(reply: ErrorReply) -> RequestFeature | None:
    """Return the feature that a server refuses with this reply; None when the error is about something else.

    Some servers answer a request for tools with 500 or 501 and a sentence.
    """
    if reply.status not in {400, 404, 405, 415, 422, 500, 501} or _CONTEXT.search(reply.message):
        return None
    text = f"{reply.param or ''} {reply.message}"
    return next((feature for feature, pattern in _FEATURES if pattern.search(text)), None)


def error_for_reply(reply: ErrorReply, model_name: str, sent: JsonObject, now: datetime) -> ProviderError:  # noqa: PLR0911  the table above
    """Return the failure that an error reply means.

    Args:
        reply: The error reply.
        model_name: The model that was requested, for messages.
        sent: The request body; a parameter is named in the message only if it was sent.
        now: The current time, to read a date in `Retry-After`.
    """
    status, message = reply.status, reply.message
    if status in {401, 403}:
        return PermanentFailure(
            f"the provider answered {status}: the key is wrong or has no access to this model; "
            "check the variable that the AI integration names"
        )
    if status == 402 or (status == 429 and _QUOTA.search(message)):
        return PermanentFailure("the provider's account has no quota left; add credit, or use another AI integration")
    if status in _RETRIED or (status >= 500 and status != 501):
        word = "asks to wait" if status == 429 else "is overloaded or down"
        return RetryLater(f"the provider {word} ({status})", capped_retry_after(reply.headers, now))
    if status == 404 and not _CONTEXT.search(message):
        return PermanentFailure(
            f"the provider answered 404: no model {_quoted(model_name)}, or base_url is not the address of its API"
            if not _NO_MODEL.search(message)
            else f"the provider has no model {_quoted(model_name)}"
        )
    if 300 <= status < 400 or status == 405:
        return PermanentFailure(f"the provider's address answered {status}; set base_url to the API's own address")
    if status < 300:
        return _unreadable(reply)
    if status == 413 or _CONTEXT.search(message):
        return CallRejected("the prompt is longer than the model's context", reply.detail)
    if _FILTER.search(message):
        return CallRejected("the provider's content filter refused the prompt", reply.detail)
    if _NO_MODEL.search(message):
        return PermanentFailure(f"the provider has no model {_quoted(model_name)}")
    if reply.param in sent:
        return CallRejected(f"the provider refuses the parameter '{reply.param}' ({status})", reply.detail)
    return CallRejected(f"the provider refused the call ({status})", reply.detail)


def error_for_connection(error: Exception) -> ProviderError:  # noqa: PLR0911
    """Return the failure that a transport error means. Its text may contain a URL with a key, so it is not repeated."""
    if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol)):
        return PermanentFailure("base_url is not a valid URL")
    for cause in error_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PermanentFailure("the certificate of the provider's address could not be verified")
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return PermanentFailure("the host of base_url does not exist")
    if isinstance(error, httpx2.TimeoutException):
        return RetryLater("the provider did not answer in time")
    if isinstance(error, httpx2.DecodingError):
        return CallRejected("the provider's answer could not be decoded")
    if isinstance(error, httpx2.ConnectError):
        return RetryLater("the provider could not be reached")
    return RetryLater("the connection to the provider was lost")


def capped_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds the response asks to wait, at most `RETRY_AFTER_SECONDS_MAX`; None if it does not."""
    seconds = retry_after_seconds(headers, now)
    return None if seconds is None else min(seconds, RETRY_AFTER_SECONDS_MAX)


def _unreadable(reply: ErrorReply) -> ProviderError:
    if reply.is_page:
        return CallRejected("the provider answered with a web page; is base_url the address of its API?")
    if reply.is_readable:
        return CallRejected("the provider answered with an error", reply.detail)
    return RetryLater("the provider's answer is not JSON, or is cut off")


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, the error first."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _quoted(name: str) -> str:
    return f"'{name[:80]}'"
