"""Failures that are not responses of the API, such as network errors.

Problems of the API are in `api.problems`.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base. The text says what is so, why, and what to do; never a key, never a body."""


class Unreachable(ClientError):
    """No connection could be made or it broke. `may_have_taken_effect` says whether a change may have happened."""

    def __init__(self, text: str, *, may_have_taken_effect: bool = False) -> None:
        super().__init__(text)
        self.may_have_taken_effect = may_have_taken_effect


class TimedOut(Unreachable):
    """No answer within the time-out."""


class Unreadable(ClientError):
    """An answer came, but it is not what the operation answers (HTML of a proxy, half a body, other fields)."""


class NotResolved(ClientError):
    """A name stands for no resource or for several; `candidates` are the nearest (name, id)."""

    def __init__(self, text: str, *, candidates: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text)
        self.candidates = candidates or []


class WrongValue(ClientError):
    """A value can never be sent: an id that is empty, `.` or `..`."""
