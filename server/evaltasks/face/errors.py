"""The one table from error class to the words a model reads.

A row says what is so, why, and what to try next, and is complete by itself: of an error result hosts show the
model the text and nothing else. What has no row is a bug of ours: it is logged with its stack under a reference
number, and the number is all that leaves the process.
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

# Hosts cut error texts at about 11,000 characters; a longer one would lose its end unsaid.
ERROR_CHARACTERS_MAX = 8_000
CANDIDATES_MAX = 8

Words = Callable[[Any], str]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "»")) else f"{text}."


def _with(advice: str) -> Words:
    return lambda error: f"{_sentence(str(error))} {advice}"


def _rate_limited(error: RateLimited) -> str:
    when = _seconds(error.retry_after_seconds)
    return f"Too many requests: {_sentence(str(error))} Nothing was changed. Try again {when}; do not try in parallel."


def _unavailable(error: Unavailable) -> str:
    when = _seconds(error.retry_after_seconds)
    return f"The service is not available for the moment: {_sentence(str(error))} Try again {when}."


def _seconds(seconds: float | None) -> str:
    return "in about a minute" if seconds is None else f"in {max(1, round(seconds))} s"


def _unreachable(error: Unreachable) -> str:
    if error.may_have_taken_effect:
        return (
            f"{_sentence(str(error))} The change may have happened all the same: look first (get_task, list_tasks or "
            "list_task_runs) and repeat the call only if it did not."
        )
    return f"{_sentence(str(error))} Nothing was changed; try again, and if it stays so, tell the person."


def _not_resolved(error: NotResolved) -> str:
    if not error.candidates:
        return f"{_sentence(str(error))} Use find to look it up by name, or pass its id."
    shown = "; ".join(f"{name} ({identifier})" for name, identifier in error.candidates[:CANDIDATES_MAX])
    more = len(error.candidates) - CANDIDATES_MAX
    rest = f"; and {more} more" if more > 0 else ""
    return f"{_sentence(str(error))} Candidates, as name (id): {shown}{rest}. Call again with one of these ids."


def _server_error_message(error: ServerError) -> str:
    return (
        f"The service failed ({error.status}): {_sentence(str(error))} This is on its side, not in the call. "
        "Try once more; before repeating a change, look whether it happened."
    )


# Looked up along the class's bases, so a subclass without a row of its own has its parent's words.
WORDS: dict[type[Exception], Words] = {
    ValidationErrors: str,
    Refused: str,
    Declined: str,
    NotResolved: _not_resolved,
    WrongValue: _with("Look the id up with find; names and ids come from there and from the list_ tools."),
    TimedOut: _unreachable,
    Unreachable: _unreachable,
    Unreadable: _with(
        "Something other than the service answered, or it answers in a form that is not known here (a proxy, a login "
        "page, a wrong address). Tell the person to check the address the server was started with."
    ),
    ClientError: str,
    BadRequest: _with("The service refused the request as it stands; correct what it names."),
    WrongMethod: _with(
        "The service does not offer this at its address: it is another service, an older one, or behind a proxy that "
        "holds it back. Tell the person to check the address the server was started with."
    ),
    TooLarge: _with("Send less at once: the same in several calls, or shorter values."),
    UnknownMedia: _with("No argument changes that; a person has to look at what stands between here and the service."),
    Unauthorized: _with(
        "Either no valid key reached the service (missing, mistyped, expired), or the key is valid but belongs to "
        "another account or host, or may not see this space (find, with kind 'space', shows those it sees). Otherwise "
        "no argument changes that: a person must set the key (ARIZE_API_KEY) in the environment the server is started "
        "with and start it again."
    ),
    Forbidden: _with("It exists, but the key in use may not do this; a person with more rights has to do or grant it."),
    NotFound: _with(
        "Either it does not exist (deleted, or the id is mistyped or of another kind), or the key in use cannot see "
        "its space; the service does not say which. Use find to see what is visible."
    ),
    Conflict: _with(
        "What is there now stands against it: look at it first (find, get_task, list_task_runs), then choose another "
        "name, or wait for or cancel what is in the way."
    ),
    Unprocessable: _with("The request is well formed, but it cannot be right like this; correct what it names."),
    RateLimited: _rate_limited,
    NotBuilt: _with("Trying again will not help; use another way, or the AX service where this exists."),
    Unavailable: _unavailable,
    ServerError: _server_error_message,
    Problem: _with("The service refused the request."),
}


def message_for(error: BaseException) -> str | None:
    """What to tell the model about an error, or None when it is a crash of ours.

    A group of errors (several requests at once) is told by its first member, if all of them have words.
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
        f"evaltasks itself failed in {subject}; this is a bug of the server, not of the call (reference {reference}). "
        "If the call was to change something, look first whether it did. Otherwise try once more, and if it fails "
        "again, give the person the reference: the server's log (stderr) has the details under it."
    )


def cut(text: str, characters_max: int) -> str:
    """The text, or its beginning with a remark on what is missing."""
    if len(text) <= characters_max:
        return text
    return f"{text[:characters_max]}… ({len(text) - characters_max:,} more characters were cut)"
