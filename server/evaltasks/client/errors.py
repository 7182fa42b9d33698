"""Errors that are not responses of the API, such as network errors.

Errors of the API are in `api.problems`.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base class. The message says what is wrong, why, and what to do; it never contains an API key or a body."""


class Unreachable(ClientError):
    """No connection could be made, or it was closed.

    Attributes:
        may_have_taken_effect: Whether the call may have changed something.
    """

    def __init__(self, text: str, *, may_have_taken_effect: bool = False) -> None:
        super().__init__(text)
        self.may_have_taken_effect = may_have_taken_effect


class TimedOut(Unreachable):
    """No complete response within the timeout."""


class Unreadable(ClientError):
    """The response is not a reply of the operation (a proxy's HTML, a truncated body, other fields)."""


class NotResolved(ClientError):
    """A name is that of no resource or of several.

    Attributes:
        candidates: The most similar resources, as (name, id).
    """

    def __init__(self, text: str, *, candidates: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text)
        self.candidates = candidates or []


class WrongValue(ClientError):
    """A value cannot be sent, such as an id that is empty, `.` or `..`."""
