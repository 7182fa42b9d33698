"""Messages for the model by error class, in one table.

A message says what is wrong, why, and what to do next, and is complete, because hosts show the model only the text of
an error result. An error without a row is an internal error: it is logged with its stack under a reference number, and
only the number leaves the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from evaltasks.api.problems import (
    BadRequest,
    Conflict,
    Forbidden,
    NotBuilt,
    NotFound,
    Problem,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownMedia,
    Unprocessable,
    WrongMethod,
)
from evaltasks.client.errors import ClientError, NotResolved, TimedOut, Unreachable, Unreadable, WrongValue
from evaltasks.edge.internal_error import log_internal_error
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools.context import Declined, Refused

log = logging.getLogger(__name__)

# Hosts truncate error texts at about 11,000 characters without saying so.
ERROR_CHARACTERS_MAX = 8_000
CANDIDATES_MAX = 8

MessageOf = Callable[[Any], str]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "»")) else f"{text}."


def _with(advice: str) -> MessageOf:
    return lambda error: f"{_sentence(str(error))} {advice}"


def _rate_limited(error: RateLimited) -> str:
    when = _seconds(error.retry_after_seconds)
    return f"Rate limited: {_sentence(str(error))} Nothing was changed. Try again {when}, not in parallel."


def _unavailable(error: Unavailable) -> str:
    when = _seconds(error.retry_after_seconds)
    return f"The service is temporarily unavailable: {_sentence(str(error))} Try again {when}."


def _seconds(seconds: float | None) -> str:
    return "in about a minute" if seconds is None else f"in {max(1, round(seconds))} s"


def _unreachable(error: Unreachable) -> str:
    if error.may_have_taken_effect:
        return (
            f"{_sentence(str(error))} The change may have happened: look first (get_task, list_tasks or "
            "list_task_runs) and repeat the call only if it did not."
        )
    return f"{_sentence(str(error))} Nothing was changed; try again, and if it fails again, tell the user."


def _not_resolved(error: NotResolved) -> str:
    if not error.candidates:
        return f"{_sentence(str(error))} Use find to look it up by name, or pass its id."
    shown = "; ".join(f"{name} ({identifier})" for name, identifier in error.candidates[:CANDIDATES_MAX])
    more = len(error.candidates) - CANDIDATES_MAX
    rest = f"; and {more} more" if more > 0 else ""
    return f"{_sentence(str(error))} Candidates, as name (id): {shown}{rest}. Call again with one of these ids."


def _server_error_message(error: ServerError) -> str:
    return (
        f"The service failed ({error.status}): {_sentence(str(error))} The error is in the service, not in the call. "
        "Try once more; before repeating a change, check whether it happened."
    )


# Looked up along the bases of the class, so a subclass without a row has the message of its parent.
WORDS: dict[type[Exception], MessageOf] = {
    ValidationErrors: str,
    Refused: str,
    Declined: str,
    NotResolved: _not_resolved,
    WrongValue: _with("Look up the id with find or one of the list_ tools."),
    TimedOut: _unreachable,
    Unreachable: _unreachable,
    Unreadable: _with(
        "Something other than the service answered (a proxy, a login page, another address), or the service uses an "
        "unknown format. Tell the user to check the address that the server was started with."
    ),
    ClientError: str,
    BadRequest: _with("The service rejected the request; correct what the message names."),
    WrongMethod: _with(
        "The service does not support this operation at its address: it is another service, an older version, or "
        "behind a proxy that blocks it. Tell the user to check the address that the server was started with."
    ),
    TooLarge: _with("Send less at once: split the data into several calls, or shorten the values."),
    UnknownMedia: _with(
        "No argument changes that; ask the user to check for a proxy between this server and the service."
    ),
    Unauthorized: _with(
        "Either no valid key reached the service (missing, mistyped, expired), or the key is valid but belongs to "
        "another account or host, or has no access to this space (find with kind 'space' lists those it can see). "
        "Otherwise no argument changes that: the user must set the key (ARIZE_API_KEY) in the environment of the "
        "server and restart it."
    ),
    Forbidden: _with(
        "The resource exists, but the key in use does not have this permission; someone with it must do or grant this."
    ),
    NotFound: _with(
        "Either it does not exist (deleted, or the id is mistyped or of another kind), or the key in use cannot see "
        "its space; the service does not say which. Use find to see what is visible."
    ),
    Conflict: _with(
        "This conflicts with the current state; inspect it first (find, get_task, list_task_runs), then choose another "
        "name, or wait for or cancel the conflicting task run."
    ),
    Unprocessable: _with("The request is well formed, but violates a rule; correct what the message names."),
    RateLimited: _rate_limited,
    NotBuilt: _with("A retry does not help; use another tool, or AX, which supports this."),
    Unavailable: _unavailable,
    ServerError: _server_error_message,
    Problem: _with("The service rejected the request."),
}


def message_for(error: BaseException) -> str | None:
    """Return the message for the model about an error; None if it is an internal error.

    A group of errors (of concurrent requests) has the message of its first error, unless one of them is internal.
    """
    if isinstance(error, BaseExceptionGroup):
        messages = [message_for(member) for member in error.exceptions]
        return messages[0] if None not in messages else None
    for kind in type(error).__mro__:
        if kind in WORDS:
            return cut(WORDS[kind](error), ERROR_CHARACTERS_MAX)
    return None


def internal_error_message(error: BaseException, subject: str) -> str:
    """Log an internal error, and return a message that has only its reference number."""
    reference = log_internal_error(log, subject, error)
    return (
        f"Internal error of evaltasks in {subject}; the call is not the cause (reference {reference}). "
        "If the call changes something, check first whether it did. Otherwise try once more, and if it fails again, "
        "tell the user the reference: the server's log (stderr) has the details under it."
    )


def cut(text: str, characters_max: int) -> str:
    """Return the text or, if it is too long, its start with the number of omitted characters."""
    if len(text) <= characters_max:
        return text
    return f"{text[:characters_max]}… ({len(text) - characters_max:,} more characters omitted)"
