"""What is wrong with a call, told all at once.

A fault names the argument, says what is wrong and why, and how to write it. Rules collect faults and never stop
at the first; the caller raises them together, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`argument` is a path such as `evaluators[0].query_filter`; the texts never echo what was given at length."""

    argument: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}; {self.remedy}"


class Faults(Exception):
    """One call's faults. `subject` says what was judged: `create_task (template_evaluation on a project)`."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.subject = subject
        self.faults = list(faults)
        count = "1 problem" if len(self.faults) == 1 else f"{len(self.faults)} problems"
        listed = " ".join(f"{number}. {fault}." for number, fault in enumerate(self.faults, 1))
        super().__init__(f"{count} with {subject}: {listed}")
