"""What applying would do, step by step, and what is in its way. Making a plan only reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from evaltasks.promote.differences import Difference
from evaltasks.promote.folder import FileError


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    # It differs, and applying leaves it so: what it is belongs to the people of that service.
    KEPT = "kept"


class Continuous(StrEnum):
    """What becomes of tasks that would begin to evaluate new spans by themselves."""

    UNDECIDED = "undecided"
    ALLOWED = "allowed"
    PAUSED = "paused"


Write = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """One resource. `writes` are the requests that do it, in order; each is whole in itself.

    `differences` are of the service's (before) and the file's (after); a creation has none.
    """

    kind: str
    name: str
    file: str
    action: Action
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


@dataclass
class Plan:
    """`steps` are in the order in which they are done. With `issues` or `undecided` nothing may be applied.

    `undecided` names the tasks that would begin to evaluate new spans, which may cost money at once.
    """

    where: str
    space: str
    steps: list[Step] = field(default_factory=list)
    issues: list[FileError] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[Step]:
        return [step for step in self.steps if step.action in {Action.CREATE, Action.UPDATE}]

    @property
    def differs(self) -> bool:
        """Whether applying would change anything, or cannot; what is left as it is on purpose does not count."""
        return bool(self.changes or self.issues)

    def count(self, action: Action) -> int:
        return sum(step.action is action for step in self.steps)


class Stopped(Exception):
    """A write failed. What was done before it stays; applying again does the rest."""

    def __init__(self, step: Step, done: int, total: int, reason: str) -> None:
        super().__init__(
            f"Stopped at {step.kind.replace('_', ' ')} '{step.name}' ({step.file}), after {done} of {total} changes: "
            f"{reason}\nWhat was done stays. When the cause is fixed, apply again: it looks at what is there and does "
            "the rest."
        )
        self.done = done
