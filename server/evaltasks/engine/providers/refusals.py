"""What a provider's failure means: later, never this row, or never at all.

The table, in the order it is read (the first that fits decides):

| the other side                                                     | means                         |
| ------------------------------------------------------------------ | ----------------------------- |
| 401, 403                                                           | PermanentFailure: the key               |
| 402, or a 429 that says the quota is used up                       | PermanentFailure: the account           |
| 408, 409, 425, 429, 5xx but 501; connection problems and time-outs   | RetryLater, as long as it asks |
| 404, 405, 301–308; no such host; a bad certificate                 | PermanentFailure: the address, the model |
| a prompt over the context; 413                                     | CallRejected                   |
| a content filter                                                   | CallRejected                   |
| any other 4xx, 501                                                 | CallRejected, with the parameter |
| a success that is a web page or no JSON                            | CallRejected / RetryLater      |

Reasons are ours: they group rows and are safe to show. The provider's own words travel only as `detail`, cut short,
and never where the whole run fails.
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

# A provider that asks for more is obeyed no further: the run's own patience decides then.
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


class Refusal(Enum):
    """A feature of the request that a server may not have."""

    TOOLS = auto()
    RESPONSE_FORMAT = auto()
    MAX_TOKENS = auto()


_FEATURES: tuple[tuple[Refusal, re.Pattern[str]], ...] = (
    (Refusal.MAX_TOKENS, re.compile(r"max_completion_tokens")),
    (Refusal.RESPONSE_FORMAT, re.compile(r"response_format|json_schema|structured output|guided", re.I)),
    (Refusal.TOOLS, re.compile(r"\btools?\b|tool_choice|tool[- ]call|function[- _]?call|\bfunctions?\b", re.I)),
)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An answer that is an error: its status, what it says, and how long it asks to wait."""

    status: int
    said: str
    param: str | None
    is_page: bool
    is_readable: bool
    headers: Mapping[str, str]

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], document: Any, body: bytes) -> ErrorReply:
        error = document.get("error") if isinstance(document, dict) else None
        error = error if error else document
        if isinstance(error, dict):
            parts = [error.get(name) for name in ("code", "type", "message", "detail")]
            said = " ".join(str(part) for part in parts if part)
            param = error.get("param")
            # Gateways answer 200 and put the real status into the body.
            code = error.get("code")
            if status < 400 and isinstance(code, int) and 400 <= code < 600:
                status = code
        else:
            said, param = (error if isinstance(error, str) else ""), None
        start = body[:200].lstrip().lower()
        is_page = "html" in headers.get("content-type", "") or start.startswith((b"<!doctype", b"<html"))
        return cls(
            status=status,
            said=said[:4000],
            param=param if isinstance(param, str) else None,
            is_page=is_page,
            is_readable=isinstance(document, dict),
            headers=headers,
        )

    @property
    def detail(self) -> str | None:
        """The provider's words, untrusted; some providers repeat part of the key, which is taken out."""
        return _KEYS.sub("[key]", self.said)[:_DETAIL_CHARS_MAX] or None


def refused_feature(reply: ErrorReply) -> Refusal | None:
    """The feature a server refuses with this reply, or None when it complains of something else.

    Some servers answer a request for tools with 500 or 501 and a sentence.
    """
    if reply.status not in {400, 404, 405, 415, 422, 500, 501} or _CONTEXT.search(reply.said):
        return None
    said = f"{reply.param or ''} {reply.said}"
    return next((feature for feature, pattern in _FEATURES if pattern.search(said)), None)


def error_for_reply(reply: ErrorReply, model_name: str, sent: JsonObject, now: datetime) -> ProviderError:  # noqa: PLR0911  the table above
    """The failure an error reply stands for."""
    status, said = reply.status, reply.said
    if status in {401, 403}:
        return PermanentFailure(
            f"the provider answered {status}: the key is wrong, or may not use this model; "
            "check the variable that the AI integration names"
        )
    if status == 402 or (status == 429 and _QUOTA.search(said)):
        return PermanentFailure("the provider's account has no quota left; add credit, or use another AI integration")
    if status in _RETRIED or (status >= 500 and status != 501):
        word = "asks to wait" if status == 429 else "is overloaded or down"
        return RetryLater(f"the provider {word} ({status})", capped_retry_after(reply.headers, now))
    if status == 404 and not _CONTEXT.search(said):
        return PermanentFailure(
            f"the provider answered 404: no model {_short(model_name)}, or base_url is not its address"
            if not _NO_MODEL.search(said)
            else f"the provider knows no model {_short(model_name)}"
        )
    if 300 <= status < 400 or status == 405:
        return PermanentFailure(f"the provider's address answered {status}; set base_url to the API's own address")
    if status < 300:
        return _unreadable(reply)
    if status == 413 or _CONTEXT.search(said):
        return CallRejected("the prompt is longer than the model's context", reply.detail)
    if _FILTER.search(said):
        return CallRejected("the provider's content filter refused the prompt", reply.detail)
    if _NO_MODEL.search(said):
        return PermanentFailure(f"the provider knows no model {_short(model_name)}")
    if reply.param in sent:
        return CallRejected(f"the provider refuses the parameter '{reply.param}' ({status})", reply.detail)
    return CallRejected(f"the provider refused the call ({status})", reply.detail)


def error_for_connection(error: Exception) -> ProviderError:  # noqa: PLR0911
    """The failure a transport error stands for. Its own text may hold an address with a key, so it is not repeated."""
    if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol)):
        return PermanentFailure("base_url is not an address that can be called")
    for cause in causes(error):
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
    return RetryLater("the connection to the provider broke off")


def capped_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds the response asks to wait, at most `RETRY_AFTER_SECONDS_MAX`; None if it does not."""
    seconds = retry_after_seconds(headers, now)
    return None if seconds is None else min(seconds, RETRY_AFTER_SECONDS_MAX)


def _unreadable(reply: ErrorReply) -> ProviderError:
    if reply.is_page:
        return CallRejected("the provider answered with a web page; is base_url the address of its API?")
    if reply.is_readable:
        return CallRejected("the provider answered with an error", reply.detail)
    return RetryLater("the provider's answer is not JSON, or was cut off")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, nearest first."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _short(name: str) -> str:
    return f"'{name[:80]}'"
