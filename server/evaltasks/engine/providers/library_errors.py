"""Classify errors of `pydantic-ai` and of the providers' libraries below it: retry later, fail the row, fail the run.

The library knows each provider's own errors (a daily quota of Google, a throttle of Bedrock, a balance of Anthropic)
and has a class for each kind. What a kind means for a row is the same for all providers:

| error of the library                                | raised                                   |
| --------------------------------------------------- | ---------------------------------------- |
| quota exceeded                                      | PermanentFailure: the account            |
| authentication; no credentials of a cloud           | PermanentFailure: the key, the chain     |
| not found                                           | PermanentFailure: the model, the address |
| rate limit, unavailable, overloaded, server error   | RetryLater, after the time it asks for   |
| connection, time-out                                | RetryLater                               |
| context window exceeded; rejected; content filter   | CallRejected                             |
| any other error                                     | CallRejected: it could not be parsed     |
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import httpx2

# A heavy import: only `library_call` imports this module, and it is itself loaded at the first call.
from pydantic_ai import exceptions as library

from evaltasks.engine.providers.provider import CallRejected, PermanentFailure, RetryLater
from evaltasks.engine.providers.provider_errors import (
    RETRY_AFTER_SECONDS_MAX,
    ErrorReply,
    ProviderError,
    capped_retry_after,
    error_chain,
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
    """Return the provider's error reply behind an error of the library; None when there is none."""
    if not isinstance(error, library.ModelHTTPError):
        return None
    body = error.body
    document = body if isinstance(body, dict) else {}
    # Bedrock's error document has its own form, with capital letters.
    inner = document.get("Error")
    if isinstance(inner, dict):
        document = {"error": {"code": inner.get("Code"), "message": inner.get("Message")}}
    text = body.encode("utf-8", "replace") if isinstance(body, str) else b""
    return ErrorReply.parse(error.status_code, error.headers or {}, document, text)


def error_for(error: Exception, model_name: str, now: datetime) -> ProviderError:  # noqa: PLR0911  the table above
    """Return the failure that an error of the library means.

    Args:
        error: The error; a failure of ours among its causes is returned as it is.
        model_name: The model that was requested, for messages.
        now: The current time, to read a date in `Retry-After`.
    """
    for cause in error_chain(error):
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
            f"the provider answered {status}: the key or the credentials are wrong or have no access to this model; "
            "check the variable that the AI integration names, or the cloud's credential chain (docs/providers.md)"
        )
    if isinstance(error, library.ModelRateLimitError | library.ModelUnavailableError | library.ModelServerError):
        word = "asks to wait" if isinstance(error, library.ModelRateLimitError) else "is overloaded or down"
        status_words = f" ({reply.status})" if reply else ""
        return RetryLater(f"the provider {word}{status_words}", _wait(error, reply, now))
    if reply is not None:
        return error_for_reply(reply, model_name, {}, now)
    return _connection_or_credentials_error(error) or _unclassified_error(error)


def _connection_or_credentials_error(error: Exception) -> ProviderError | None:
    """Return the failure of a connection or of a cloud's credential chain; None when it is neither."""
    for cause in error_chain(error):
        if isinstance(cause, httpx2.HTTPError | httpx2.InvalidURL):
            return error_for_connection(cause)
        if type(cause).__name__ in _NO_CREDENTIALS:
            return PermanentFailure(
                "no usable credentials of the cloud were found where the engine runs; set them up as for the cloud's "
                "own tools (docs/providers.md), or name a key with api_key_env"
            )
        if type(cause).__module__ == "google.auth.exceptions" and type(cause).__name__ == "TransportError":
            return RetryLater("Google's token service could not be reached")
    return None


def _unclassified_error(error: Exception) -> ProviderError:
    if isinstance(error, library.ModelTimeoutError):
        return RetryLater("the provider did not answer in time")
    if isinstance(error, library.ModelConnectionError):
        return RetryLater("the connection to the provider was lost")
    if isinstance(error, library.ContentFilterError):
        return CallRejected("the provider's content filter withheld the answer")
    if isinstance(error, library.UserError):
        return CallRejected("the provider's library refused the call", str(error)[:500])
    # The libraries build their objects without validation, so an answer of the wrong shape can cause any error.
    # Its text may quote the answer, so only its type is logged.
    logger.debug("the library could not parse an answer: %s", type(error).__name__)
    return CallRejected("the provider's answer could not be parsed; is base_url the address of its API?")


def _wait(error: Any, reply: ErrorReply | None, now: datetime) -> float | None:
    """Return how long the answer asks to wait, from its headers or from a body that the library parsed (Google's)."""
    seconds = capped_retry_after(reply.headers, now) if reply is not None else None
    if seconds is None:
        seconds = error.retry_after
    return None if seconds is None else min(max(float(seconds), 0.0), RETRY_AFTER_SECONDS_MAX)
