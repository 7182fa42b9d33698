"""What a tool's handler gets for one call: client, settings, progress, confirmation and clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evaltasks.client.client import Client
from evaltasks.edge.clock import Clock


class Progress(Protocol):
    """Sends progress notifications, if the client asked for them."""

    async def report(self, done: float, total: float | None, message: str) -> None:
        """Report progress. Values that decrease are not sent."""


class Confirm(Protocol):
    """Asks the user for confirmation."""

    async def ask(self, question: str, *, confirm_with: str) -> None:
        """Ask the user, and return if the user agrees.

        Args:
            question: The question.
            confirm_with: The value of the argument `confirm` that replaces the question in a later call.

        Raises:
            Declined: The user refused, or the client cannot ask the user. The agent reads the message.
        """


class Declined(Exception):
    """The user did not agree. The message says so, and how the user can agree."""


class Refused(Exception):
    """A deliberate refusal. The message says what is wrong, why, and what to try next."""


class ToolFailed(Exception):
    """A tool called by our own agent returned an error. The message is the text of the result."""


@dataclass(frozen=True)
class ToolSettings:
    """Settings fixed at start-up; no argument of a call can extend them.

    Attributes:
        call_wait_seconds_max: The longest time that one call waits for a task run.
        allowed_dirs: The directories below which files may be read.
        default_space: The space in which names are looked up if a call does not name one.
        environment: The environment variables, which hold the keys that integrations name.
    """

    call_wait_seconds_max: float = 45.0
    allowed_dirs: tuple[Path, ...] = ()
    default_space: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class ToolContext:
    """The context of one call.

    Attributes:
        notes: Repairs, assumptions and warnings that are added to the result.
    """

    client: Client
    settings: ToolSettings
    progress: Progress
    confirm: Confirm
    time: Clock
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note to the result, once."""
        if text not in self.notes:
            self.notes.append(text)
