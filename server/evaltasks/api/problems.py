"""The one error vocabulary, the same on both sides of the wire.

The engine raises one of these classes; it leaves as a problem document (RFC 9457, `application/problem+json`);
the client raises the *same class* again. What is not an answer of the API at all (no connection, a time-out,
an unreadable body) has classes of its own in `client.errors`, and a bug of ours has no class.

    Problem
      BadRequest 400         the request cannot be read, or a field does not apply
        WrongMethod 405      the path is there, but not for this method
        TooLarge 413         more than is taken at once
        UnknownMedia 415     a kind of body that is not read here
      Unauthorized 401       no key, a wrong key, or a key that cannot see this space
      Forbidden 403          seen, but not allowed
      NotFound 404           absent, or hidden from this key
      Conflict 409           a name is taken, or something still uses it
      Unprocessable 422      well formed, but it cannot be right
      RateLimited 429        wait `retry_after_seconds`
      ServerError 5xx        theirs
        NotBuilt 501         the embedded engine does not do this yet, and says so
        Unavailable 503      for a while
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

MEDIA_TYPE = "application/problem+json"
_DOCS = "https://arize.com/docs/ax/rest-reference/errors#"


class ProblemDocument(BaseModel):
    """Why a request was not done (RFC 9457): `detail` says what is so. Some problems have more members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


class Problem(Exception):
    """A failure that crosses the wire.

    `detail` is what is so and why, for whoever reads the answer: never a secret, never text of a stranger's
    span or model. `extra` holds further members of the problem document.
    """

    status: int = 500
    title: ClassVar[str] = "Internal Server Error"
    anchor: ClassVar[str] = "internal-error"

    def __init__(self, detail: str, *, extra: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra or {}

    def document(self) -> dict[str, Any]:
        """The problem document; `status` is in the body because a published client reads it there."""
        return {
            **self.extra,
            "type": _DOCS + self.anchor,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


class BadRequest(Problem):
    status = 400
    title = "Bad Request"
    anchor = "invalid-request"


class WrongMethod(BadRequest):
    status = 405
    title = "Method Not Allowed"


class TooLarge(BadRequest):
    status = 413
    title = "Content Too Large"


class UnknownMedia(BadRequest):
    status = 415
    title = "Unsupported Media Type"


class Unauthorized(Problem):
    status = 401
    title = "Authentication required"
    anchor = "authentication-required"


class Forbidden(Problem):
    status = 403
    title = "Access forbidden"
    anchor = "access-forbidden"


class NotFound(Problem):
    status = 404
    title = "Resource not found"
    anchor = "resource-not-found"


class Conflict(Problem):
    status = 409
    title = "Resource conflict"
    anchor = "resource-conflict"


class Unprocessable(Problem):
    status = 422
    title = "Unprocessable Entity"
    anchor = "validation-error"


class RateLimited(Problem):
    status = 429
    title = "Rate limit exceeded"
    anchor = "rate-limit-exceeded"

    def __init__(
        self, detail: str, *, extra: dict[str, Any] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail, extra=extra)
        self.retry_after_seconds = retry_after_seconds


class ServerError(Problem):
    """Theirs; `status` is the code that came."""

    def __init__(self, detail: str, *, extra: dict[str, Any] | None = None, status: int | None = None) -> None:
        super().__init__(detail, extra=extra)
        if status is not None:
            self.status = status


class NotBuilt(ServerError):
    status = 501
    title = "Not Implemented"
    anchor = "not-implemented"


class Unavailable(ServerError):
    status = 503
    title = "Service Unavailable"
    anchor = "service-unavailable"

    def __init__(
        self, detail: str, *, extra: dict[str, Any] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail, extra=extra)
        self.retry_after_seconds = retry_after_seconds


_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        BadRequest, Unauthorized, Forbidden, NotFound, WrongMethod, Conflict, TooLarge, UnknownMedia, Unprocessable,
        RateLimited, NotBuilt, Unavailable,
    )
}  # fmt: skip

_KNOWN_MEMBERS = {"type", "title", "status", "detail"}


def problem_from(status: int, document: object, *, retry_after_seconds: float | None = None) -> Problem:
    """The exception for an error answer.

    `document` is the parsed body, or anything else when the body was not a problem document: then the class
    comes from the status alone and the detail says that no reason was given.
    """
    members = document if isinstance(document, dict) else {}
    detail = members.get("detail") or members.get("title") or f"The service answered {status} without a reason."
    extra = {key: value for key, value in members.items() if key not in _KNOWN_MEMBERS}
    kind = _BY_STATUS.get(status)
    if kind is RateLimited:
        return RateLimited(str(detail), extra=extra, retry_after_seconds=retry_after_seconds)
    if kind is Unavailable:
        return Unavailable(str(detail), extra=extra, retry_after_seconds=retry_after_seconds)
    if kind is not None:
        return kind(str(detail), extra=extra)
    if 400 <= status < 500:
        problem = BadRequest(str(detail), extra=extra)
        problem.status = status
        return problem
    return ServerError(str(detail), extra=extra, status=status)
