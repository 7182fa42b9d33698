"""Reports all problems of a request in one response.

A handler adds the problems and raises at the end. The status is the first one present in the order 400, 404, 422, 409:
problems of syntax come before those of content.
"""

from __future__ import annotations

from evaltasks.api.problems import BadRequest, Conflict, NotFound, Problem, Unprocessable

_ORDER: tuple[type[Problem], ...] = (BadRequest, NotFound, Unprocessable, Conflict)


class ProblemList:
    """Collects problems (RFC 9457) of a request."""

    def __init__(self) -> None:
        self._problems: list[tuple[type[Problem], str]] = []

    def bad_request(self, text: str) -> None:
        self._problems.append((BadRequest, text))

    def not_found(self, text: str) -> None:
        self._problems.append((NotFound, text))

    def unprocessable(self, text: str) -> None:
        self._problems.append((Unprocessable, text))

    def conflict(self, text: str) -> None:
        self._problems.append((Conflict, text))

    def add(self, problem: Problem) -> None:
        """Add a problem that was raised by another function, for a filter for example."""
        kind = type(problem) if type(problem) in _ORDER else Unprocessable
        self._problems.append((kind, problem.detail))

    def raise_any(self) -> None:
        """Raise one Problem with the details of all; do nothing if there is none."""
        if not self._problems:
            return
        kinds = {kind for kind, _ in self._problems}
        worst = next(kind for kind in _ORDER if kind in kinds)
        raise worst("; ".join(text for _, text in self._problems))
