"""What is wrong with a call, told all at once.

A fault names the argument, says what is wrong and why, and how to write it. Rules collect faults and never stop
at the first; the caller raises them together, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """`argument` is a path such as `evaluators[0].query_filter`; the texts never echo what was given at length.

    `misplaced`: the argument does not belong in the call at all, so nothing else that is wrong with it matters.
    """

    argument: str
    problem: str
    remedy: str
    misplaced: bool = False

    @property
    def root(self) -> str:
        """The argument of the call in which the fault lies: `evaluators`."""
        return self.argument.partition(".")[0].partition("[")[0]

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}; {self.remedy}"


class ReadArguments(dict[str, Any]):
    """The arguments that could be read. `unreadable` were given as well, and are no missing ones."""

    unreadable: frozenset[str] = frozenset()


def was_given(given: Mapping[str, Any], argument: str) -> bool:
    """Whether the caller gave this argument, readable or not."""
    return argument in given or argument in getattr(given, "unreadable", ())


def together(reading: Sequence[Fault], rules: Sequence[Fault]) -> list[Fault]:
    """The faults of reading and of rules, each thing said once: a misplaced argument is told to be removed, and no
    value that could not be read is judged a second time."""
    misplaced = {fault.root for fault in rules if fault.misplaced}
    kept = [fault for fault in reading if fault.root not in misplaced]
    known = {fault.argument for fault in kept}
    return kept + [fault for fault in rules if fault.argument not in known]


class Faults(Exception):
    """One call's faults. `subject` says what was judged: `create_task (template_evaluation on a project)`."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.subject = subject
        self.faults = list(faults)
        count = "1 problem" if len(self.faults) == 1 else f"{len(self.faults)} problems"
        listed = " ".join(f"{number}. {fault}." for number, fault in enumerate(self.faults, 1))
        super().__init__(f"{count} with {subject}: {listed}")
