"""Where telemetry of applications enters, whatever it was sent with.

A parcel is what one request brought: rows by the name of their project. Storing it makes projects that are absent,
all in one transaction, and wakes the executor, because continuous tasks may want the new spans.

Backpressure: only so many requests are worked on at once. The next one is told to come back, which every exporter
does by itself, instead of waiting in our memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from evaltasks.api.problems import NotFound, Unavailable
from evaltasks.api.projects import Project, ProjectType
from evaltasks.api.spaces import Space
from evaltasks.api.spans import IngestedSpans
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.creation import create_project
from evaltasks.engine.handlers.spaces import require_default_space
from evaltasks.engine.store import projects, spaces, spans
from evaltasks.engine.store.spans import SpanRow
from evaltasks.engine.store.store import StoreError, Transaction

IN_HAND_MAX = 16
RETRY_AFTER_SECONDS = 1
# What the store may take to be free again after it could not be written.
STORE_RETRY_AFTER_SECONDS = 5
_REASONS_SHOWN_MAX = 5


@dataclass
class IngestBatch:
    """Rows to store by the name of their project, and why others of the same request cannot be."""

    rows: dict[str, list[SpanRow]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, project_name: str, row: SpanRow) -> None:
        self.rows.setdefault(project_name, []).append(row)

    @property
    def num_rejected(self) -> int:
        return self.rejected.total()

    @property
    def reasons(self) -> str:
        """Why rows were rejected, commonest first; empty when none was."""
        shown = [f"{number} × {reason}" for reason, number in self.rejected.most_common(_REASONS_SHOWN_MAX)]
        more = len(self.rejected) - len(shown)
        return "; ".join(shown) + (f"; and {more} more reasons" if more > 0 else "")


class Ingestor:
    """One for an engine. Every receiver holds a `place` while it decodes and stores."""

    def __init__(self, services: Services, in_hand_max: int = IN_HAND_MAX) -> None:
        self.services = services
        self._in_hand_max = in_hand_max
        self._in_hand = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises Unavailable at once, with a time to come back, when all places are taken."""
        self.refuse_when_full()
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    def refuse_when_full(self) -> None:
        """Raises Unavailable, before a body is read for which there would be no place."""
        if self._in_hand >= self._in_hand_max:
            raise Unavailable(
                f"The engine is taking in {self._in_hand} requests already; send this one again.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    async def put(self, space: str | None, rows: Mapping[str, Sequence[SpanRow]]) -> IngestedSpans:
        """Store the rows in projects of the space (its name or id; the default one without), all or none.

        Raises NotFound for an unknown space, Unavailable when the store cannot be written now.
        """
        if not rows:
            return IngestedSpans(num_added=0, num_replaced=0)
        services = self.services
        now_us = to_us(services.clock.now())

        def work(tx: Transaction) -> IngestedSpans:
            home = space_named(tx, space)
            num_added = num_replaced = 0
            for name, rows_of_project in rows.items():
                project = ensure_project(tx, services, home.id, name)
                done = spans.put_spans(tx, project.id, rows_of_project, now_us)
                num_added += done.num_added
                num_replaced += done.num_replaced
            return IngestedSpans(num_added=num_added, num_replaced=num_replaced)

        try:
            ingested = await services.store.write(work)
        except StoreError as error:
            raise Unavailable(str(error), retry_after_seconds=STORE_RETRY_AFTER_SECONDS) from error
        services.wake_signal.notify()
        return ingested


def space_named(tx: Transaction, space: str | None) -> Space:
    """The space of that id or name; the default one when neither is given. Raises NotFound."""
    if not space:
        return require_default_space(tx)
    found = spaces.find_space(tx, space) or spaces.find_space_by_name(tx, space)
    if found is None:
        raise NotFound("There is no space with this id or name.")
    return found


def project_named(tx: Transaction, space_id: str, project: str) -> Project:
    """The project of that name or id in the space. Raises NotFound."""
    found = projects.find_project_by_name(tx, space_id, project) or projects.find_project(tx, project)
    if found is None or found.space_id != space_id:
        raise NotFound("There is no project with this name or id in this space.")
    return found


def ensure_project(
    tx: Transaction, services: Services, space_id: str, name: str, type_: ProjectType = ProjectType.APPLICATION
) -> Project:
    """The project of that name in the space, made when it is absent."""
    return projects.find_project_by_name(tx, space_id, name) or create_project(tx, services, space_id, name, type_)
