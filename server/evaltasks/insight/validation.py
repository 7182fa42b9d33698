"""What is wrong with a call, told all at once.

A problem names the argument, says what is wrong and why, and how to write it. Rules collect problems and never stop
at the first; the caller raises them together, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ValidationIssue:
    """`argument` is a path such as `evaluators[0].query_filter`; the texts never echo what was given at length.

    `misplaced`: the argument does not belong in the call at all, so nothing else that is wrong with it matters.
    """

    argument: str
    problem: str
    remedy: str
    misplaced: bool = False

    @property
    def root(self) -> str:
        """The argument of the call in which the problem lies: `evaluators`."""
        return self.argument.partition(".")[0].partition("[")[0]

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}; {self.remedy}"


class ReadArguments(dict[str, Any]):
    """The arguments that could be read. `unreadable` were given as well, and are not missing ones."""

    unreadable: frozenset[str] = frozenset()


def is_provided(given: Mapping[str, Any], argument: str) -> bool:
    """Whether the caller gave this argument, readable or not."""
    return argument in given or argument in getattr(given, "unreadable", ())


def merge_issues(reading: Sequence[ValidationIssue], rules: Sequence[ValidationIssue]) -> list[ValidationIssue]:
    """The problems of reading and of rules, each thing said once: a misplaced argument is told to be removed, and no
    value that could not be read is judged a second time."""
    misplaced = {issue.root for issue in rules if issue.misplaced}
    kept = [issue for issue in reading if issue.root not in misplaced]
    known = {issue.argument for issue in kept}
    return kept + [issue for issue in rules if issue.argument not in known]


class ValidationErrors(Exception):
    """One call's problems. `subject` says what was judged: `create_task (template_evaluation on a project)`."""

    def __init__(self, subject: str, issues: Sequence[ValidationIssue]) -> None:
        self.subject = subject
        self.issues = list(issues)
        count = "1 problem" if len(self.issues) == 1 else f"{len(self.issues)} problems"
        listed = " ".join(f"{number}. {issue}." for number, issue in enumerate(self.issues, 1))
        super().__init__(f"{count} with {subject}: {listed}")
