"""What a tool's handler works with: the client, the person, the progress line. Made again for each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evaltasks.client.client import Client
from evaltasks.edge.clock import Clock


class Progress(Protocol):
    """Reports to whoever watches the call; silent when no one asked. Values only ever rise."""

    async def report(self, done: float, total: float | None, message: str) -> None: ...


class Confirm(Protocol):
    """Asks the person behind the agent.

    `ask` returns when the person agreed. It raises `Declined` when the person refused or the client cannot be
    asked and no argument confirmed; the text of that error is what the agent then reads.
    """

    async def ask(self, question: str, *, confirm_with: str) -> None: ...


class Declined(Exception):
    """Not done because no one agreed to it; the text says so and how a person can agree."""


class Refused(Exception):
    """A deliberate refusal in our own words: what is so, why, and what to try next."""


class ToolFailed(Exception):
    """A tool answered an agent of ours with its error flag; the text is what the agent read."""


@dataclass(frozen=True)
class ToolSettings:
    """Fixed at start-up; nothing a model says widens them.

    `call_wait_seconds_max` bounds one waiting call. `allowed_dirs` are the directories under which files may be read.
    `default_space` scopes names when a call gives no space. `environment` holds the keys integrations name.
    """

    call_wait_seconds_max: float = 45.0
    allowed_dirs: tuple[Path, ...] = ()
    default_space: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class ToolContext:
    """`notes` collects what must be said aloud with the answer: repairs, assumptions, warnings."""

    client: Client
    settings: ToolSettings
    progress: Progress
    confirm: Confirm
    time: Clock
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
