"""All problems of one request in one answer.

A handler adds what it finds and raises at the end. The answer's class is that of the first kind present in the
order 400, 404, 422, 409: what cannot be read comes before what cannot be right.
"""

from __future__ import annotations

from evaltasks.api.problems import BadRequest, Conflict, NotFound, Problem, Unprocessable

_ORDER: tuple[type[Problem], ...] = (BadRequest, NotFound, Unprocessable, Conflict)


class ProblemList:
    def __init__(self) -> None:
        self._found: list[tuple[type[Problem], str]] = []

    def bad_request(self, text: str) -> None:
        self._found.append((BadRequest, text))

    def not_found(self, text: str) -> None:
        self._found.append((NotFound, text))

    def unprocessable(self, text: str) -> None:
        self._found.append((Unprocessable, text))

    def conflict(self, text: str) -> None:
        self._found.append((Conflict, text))

    def add(self, problem: Problem) -> None:
        """A problem raised by a part that judges one thing alone (a filter, for instance)."""
        kind = type(problem) if type(problem) in _ORDER else Unprocessable
        self._found.append((kind, problem.detail))

    def raise_any(self) -> None:
        if not self._found:
            return
        kinds = {kind for kind, _ in self._found}
        worst = next(kind for kind in _ORDER if kind in kinds)
        raise worst("; ".join(text for _, text in self._found))
