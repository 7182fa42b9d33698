"""Errors of the REST API, with the same classes in the engine and in the client.

The engine raises one of these classes and sends it as a problem document (RFC 9457, `application/problem+json`); the
client raises the same class. Failures without an answer of the API (no connection, a timeout, an unreadable body) have
classes in `client.errors`. Bugs have no class.

    Problem
      BadRequest 400         the request is malformed, or a field does not apply
        WrongMethod 405      the path does not support this method
        TooLarge 413         the body is larger than the limit
        UnknownMedia 415     the content type is not supported
      Unauthorized 401       the key is missing, invalid, or not for this space
      Forbidden 403          the caller is not allowed to do this
      NotFound 404           the resource does not exist or is hidden from this key
      Conflict 409           a name is taken, or the resource is in use
      Unprocessable 422      the request is well-formed but invalid
      RateLimited 429        rate limit exceeded; retry after `retry_after_seconds`
      ServerError 5xx        the service failed
        NotBuilt 501         the embedded engine does not support this
        Unavailable 503      temporarily unavailable
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

MEDIA_TYPE = "application/problem+json"
_DOCS = "https://arize.com/docs/ax/rest-reference/errors#"


class ProblemDocument(BaseModel):
    """Why a request failed (RFC 9457). `detail` is the explanation. Some problems have further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


class Problem(Exception):
    """An error that is sent as a problem document.

    Attributes:
        detail: What is wrong and why, for the client. It never contains a secret or untrusted text of spans and models.
        extra: Further members of the problem document.
    """

    status: int = 500
    title: ClassVar[str] = "Internal Server Error"
    anchor: ClassVar[str] = "internal-error"

    def __init__(self, detail: str, *, extra: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra or {}

    def document(self) -> dict[str, Any]:
        """Return the problem document. It contains `status`, because a published client reads it from the body."""
        return {
            **self.extra,
            "type": _DOCS + self.anchor,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


class BadRequest(Problem):
    """The request is malformed."""

    status = 400
    title = "Bad Request"
    anchor = "invalid-request"


class WrongMethod(BadRequest):
    """The path does not support the method."""

    status = 405
    title = "Method Not Allowed"


class TooLarge(BadRequest):
    """The body is too large."""

    status = 413
    title = "Content Too Large"


class UnknownMedia(BadRequest):
    """The content type of the body is not supported."""

    status = 415
    title = "Unsupported Media Type"


class Unauthorized(Problem):
    """The key is missing or not valid."""

    status = 401
    title = "Authentication required"
    anchor = "authentication-required"


class Forbidden(Problem):
    """The key does not permit the request."""

    status = 403
    title = "Access forbidden"
    anchor = "access-forbidden"


class NotFound(Problem):
    """The resource does not exist, or the key cannot see it."""

    status = 404
    title = "Resource not found"
    anchor = "resource-not-found"


class Conflict(Problem):
    """The request conflicts with the current state."""

    status = 409
    title = "Resource conflict"
    anchor = "resource-conflict"


class Unprocessable(Problem):
    """The request is well-formed, but its values are not valid."""

    status = 422
    title = "Unprocessable Entity"
    anchor = "validation-error"


class RateLimited(Problem):
    """There were too many requests. `retry_after_seconds` is how long the service asks to wait."""

    status = 429
    title = "Rate limit exceeded"
    anchor = "rate-limit-exceeded"

    def __init__(
        self, detail: str, *, extra: dict[str, Any] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail, extra=extra)
        self.retry_after_seconds = retry_after_seconds


class ServerError(Problem):
    """The service failed. `status` is the status code of its answer."""

    def __init__(self, detail: str, *, extra: dict[str, Any] | None = None, status: int | None = None) -> None:
        super().__init__(detail, extra=extra)
        if status is not None:
            self.status = status


class NotBuilt(ServerError):
    """The service does not implement the request."""

    status = 501
    title = "Not Implemented"
    anchor = "not-implemented"


class Unavailable(ServerError):
    """The service is temporarily unavailable. `retry_after_seconds` is how long it asks to wait."""

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
    """Return the exception for an error response.

    Args:
        status: The status code, which selects the class.
        document: The parsed body. If it is not a problem document, the detail says that the reason is missing.
        retry_after_seconds: The value of `Retry-After`, for the classes that have it.
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
