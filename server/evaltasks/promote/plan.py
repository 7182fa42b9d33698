"""The plan of an application: its steps, its differences and the problems that prevent it. Planning only reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from evaltasks.promote.differences import Difference
from evaltasks.promote.folder import FileError

NAMES_MAX = 10


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    # It differs and stays as it is: only the administrators of that service change it.
    KEPT = "kept"


class ContinuousPolicy(StrEnum):
    """How continuous tasks are applied: enabled as in the file, paused, or refused until the caller decides."""

    UNDECIDED = "undecided"
    ALLOWED = "allowed"
    PAUSED = "paused"


Write = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """The planned change of one resource.

    Attributes:
        differences: From the state of the service (before) to the file (after). Empty for a creation.
        notes: Side effects that the reader should know before applying.
        writes: The requests that make the change, in order. Each is atomic.
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
    """The steps to make a space equal to the files. A plan with `issues` or `undecided` tasks must not be applied.

    Attributes:
        where: The address of the service.
        space: The name of the space.
        steps: In the order in which they are applied.
        issues: Everything in the files that this service cannot accept.
        undecided: The names of tasks that would start to evaluate new spans, which may cost money at once.
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
        """Whether applying would change something or is impossible. Resources that are kept on purpose do not count."""
        return bool(self.changes or self.issues)

    def count(self, action: Action) -> int:
        return sum(step.action is action for step in self.steps)


def shown_names(names: Iterable[str]) -> str:
    """Return the first ten names in order, and how many more there are; "none" if there are none."""
    ordered = sorted(names)
    more = len(ordered) - NAMES_MAX
    return (", ".join(ordered[:NAMES_MAX]) or "none") + (f" and {more} more" if more > 0 else "")


class ApplyFailed(Exception):
    """A write failed. Completed steps are kept; applying again continues with the remaining ones."""

    def __init__(self, step: Step, done: int, total: int, reason: str) -> None:
        super().__init__(
            f"Stopped at {step.kind.replace('_', ' ')} '{step.name}' ({step.file}), after {done} of {total} changes: "
            f"{reason}\nCompleted changes are kept. Fix the cause and apply again: the "
            "new plan holds the remaining changes."
        )
        self.done = done
