"""What a failure of `pydantic-ai`, or of a provider's library below it, means: later, never this row, or never at all.

The library knows each provider's own words (a daily quota of Google, a throttle of Bedrock, an Anthropic balance) and
tells them apart by class; what those mean for a row is the same as everywhere:

| the library says                                 | means                          |
| ------------------------------------------------ | ------------------------------ |
| quota exceeded                                   | PermanentFailure: the account            |
| authentication; no credentials of a cloud found  | PermanentFailure: the key, the chain     |
| not found                                        | PermanentFailure: the model, the address |
| rate limit, unavailable, overloaded, server error | RetryLater, as long as it asks |
| connection, time-out                             | RetryLater                     |
| context window exceeded; rejected; content filter | CallRejected                    |
| anything else                                    | CallRejected: not understood    |
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import httpx2

# Heavy: this module is imported only by `library_call`, which is itself loaded at the first call.
from pydantic_ai import exceptions as library

from evaltasks.engine.providers.provider import CallRejected, PermanentFailure, RetryLater
from evaltasks.engine.providers.refusals import (
    RETRY_AFTER_SECONDS_MAX,
    ErrorReply,
    ProviderError,
    capped_retry_after,
    causes,
    error_for_connection,
    error_for_reply,
)

logger = logging.getLogger(__name__)

# By name, so that botocore and google.auth are loaded only where they are used.
_NO_CREDENTIALS = frozenset(
    {
        "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
        "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError", "ProfileNotFound",
        "DefaultCredentialsError", "RefreshError", "MalformedError",
    }
)  # fmt: skip


def error_reply(error: Exception) -> ErrorReply | None:
    """The answer behind the library's error, or None when there was none."""
    if not isinstance(error, library.ModelHTTPError):
        return None
    body = error.body
    document = body if isinstance(body, dict) else {}
    # Bedrock's document is its own, with its words under a capital letter.
    inner = document.get("Error")
    if isinstance(inner, dict):
        document = {"error": {"code": inner.get("Code"), "message": inner.get("Message")}}
    text = body.encode("utf-8", "replace") if isinstance(body, str) else b""
    return ErrorReply.read(error.status_code, error.headers or {}, document, text)


def error_for(error: Exception, model_name: str, now: datetime) -> ProviderError:  # noqa: PLR0911  the table above
    """The failure an error of the library stands for."""
    for cause in causes(error):
        if isinstance(cause, RetryLater | CallRejected | PermanentFailure):
            return cause
    if isinstance(error, library.ModelQuotaExceededError):
        return PermanentFailure("the provider's account has no quota left; add credit, or use another AI integration")
    reply = error_reply(error)
    if isinstance(error, library.ModelContextWindowExceededError):
        return CallRejected("the prompt is longer than the model's context", reply.detail if reply else None)
    if isinstance(error, library.ModelAuthenticationError):
        status = reply.status if reply else 401
        return PermanentFailure(
            f"the provider answered {status}: the key or the credentials are wrong, or may not use this model; "
            "check the variable that the AI integration names, or the cloud's own chain (docs/providers.md)"
        )
    if isinstance(error, library.ModelRateLimitError | library.ModelUnavailableError | library.ModelServerError):
        word = "asks to wait" if isinstance(error, library.ModelRateLimitError) else "is overloaded or down"
        status_words = f" ({reply.status})" if reply else ""
        return RetryLater(f"the provider {word}{status_words}", _wait(error, reply, now))
    if reply is not None:
        return error_for_reply(reply, model_name, {}, now)
    return _of_environment(error) or _of_the_rest(error)


def _of_environment(error: Exception) -> ProviderError | None:
    """The failure of a connection, or of a cloud's chain of credentials."""
    for cause in causes(error):
        if isinstance(cause, httpx2.HTTPError | httpx2.InvalidURL):
            return error_for_connection(cause)
        if type(cause).__name__ in _NO_CREDENTIALS:
            return PermanentFailure(
                "no usable credentials of the cloud were found where the engine runs; set them up as its own tools "
                "want them (docs/providers.md), or name a key with api_key_env"
            )
        if type(cause).__module__ == "google.auth.exceptions" and type(cause).__name__ == "TransportError":
            return RetryLater("Google's token service could not be reached")
    return None


def _of_the_rest(error: Exception) -> ProviderError:
    if isinstance(error, library.ModelTimeoutError):
        return RetryLater("the provider did not answer in time")
    if isinstance(error, library.ModelConnectionError):
        return RetryLater("the connection to the provider broke off")
    if isinstance(error, library.ContentFilterError):
        return CallRejected("the provider's content filter withheld the answer")
    if isinstance(error, library.UserError):
        return CallRejected("the library that speaks to the provider refuses the call", str(error)[:500])
    # The libraries build their objects without looking closely, so an answer of the wrong shape may surface as any
    # error at all. Its text may quote the answer, so only its kind is kept.
    logger.debug("an answer was not understood: %s", type(error).__name__)
    return CallRejected("the provider's answer was not understood; is base_url the address of its API?")


def _wait(error: Any, reply: ErrorReply | None, now: datetime) -> float | None:
    """How long the answer asks to wait: by its headers, or by a body only the library can read (Google's)."""
    seconds = capped_retry_after(reply.headers, now) if reply is not None else None
    if seconds is None:
        seconds = error.retry_after
    return None if seconds is None else min(max(float(seconds), 0.0), RETRY_AFTER_SECONDS_MAX)
