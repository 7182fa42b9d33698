"""Validation issues of a call, reported all at once.

An issue names the argument, what is wrong with it and why, and the remedy. Rules collect issues and never stop at the
first one; the caller raises them together, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ValidationIssue:
    """One problem with one argument of a call.

    Attributes:
        argument: The path of the argument, such as `evaluators[0].query_filter`.
        problem: What is wrong; it does not quote the argument's value at length.
        remedy: How to correct the call.
        misplaced: The argument does not belong in the call at all, so other problems with it do not matter.
    """

    argument: str
    problem: str
    remedy: str
    misplaced: bool = False

    @property
    def root(self) -> str:
        """The argument of the call that contains the problem, such as `evaluators`."""
        return self.argument.partition(".")[0].partition("[")[0]

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}; {self.remedy}"


class ReadArguments(dict[str, Any]):
    """The arguments that could be read. Those in `unreadable` are not missing, but have no value here."""

    unreadable: frozenset[str] = frozenset()


def is_provided(arguments: Mapping[str, Any], argument: str) -> bool:
    """Return whether the caller provided this argument, readable or not."""
    return argument in arguments or argument in getattr(arguments, "unreadable", ())


def merge_issues(reading: Sequence[ValidationIssue], rules: Sequence[ValidationIssue]) -> list[ValidationIssue]:
    """Merge the issues of reading the arguments with those of the rules, so that each problem is reported once.

    Of a misplaced argument only that is reported; a value that could not be read is not reported by the rules again.
    """
    misplaced = {issue.root for issue in rules if issue.misplaced}
    kept = [issue for issue in reading if issue.root not in misplaced]
    known = {issue.argument for issue in kept}
    return kept + [issue for issue in rules if issue.argument not in known]


class ValidationErrors(Exception):
    """All issues of one call. `subject` names what was validated: `create_task (template_evaluation on a project)`."""

    def __init__(self, subject: str, issues: Sequence[ValidationIssue]) -> None:
        self.subject = subject
        self.issues = list(issues)
        count = "1 problem" if len(self.issues) == 1 else f"{len(self.issues)} problems"
        listed = " ".join(f"{number}. {issue}." for number, issue in enumerate(self.issues, 1))
        super().__init__(f"{count} with {subject}: {listed}")
