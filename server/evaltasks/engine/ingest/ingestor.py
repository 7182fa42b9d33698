"""Stores the telemetry of applications, for every protocol that receives it.

The rows of a request are stored in one transaction, which also creates the projects that do not exist. The executor is
woken afterwards, because continuous tasks may select the new spans.

Backpressure: the number of requests that are processed at once is limited. Further requests are answered with a time
after which to retry, which every exporter does, instead of being queued in memory.
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

IN_FLIGHT_MAX = 16
RETRY_AFTER_SECONDS = 1
# How long the store may take to be writable again.
STORE_RETRY_AFTER_SECONDS = 5
_REASONS_SHOWN_MAX = 5


@dataclass
class IngestBatch:
    """The rows of one request.

    Attributes:
        rows: Rows to store by the name of their project.
        rejected: How many spans cannot be stored, by reason.
    """

    rows: dict[str, list[SpanRow]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, project_name: str, row: SpanRow) -> None:
        self.rows.setdefault(project_name, []).append(row)

    @property
    def num_rejected(self) -> int:
        return self.rejected.total()

    @property
    def reasons(self) -> str:
        """The reasons of rejected spans, most frequent first; empty if none was rejected."""
        shown = [f"{number} × {reason}" for reason, number in self.rejected.most_common(_REASONS_SHOWN_MAX)]
        more = len(self.rejected) - len(shown)
        return "; ".join(shown) + (f"; and {more} more reasons" if more > 0 else "")


class Ingestor:
    """Stores incoming spans and limits how many requests are processed at once.

    An engine has one. Every receiver holds a `place` while it decodes and stores a request.
    """

    def __init__(self, services: Services, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self.services = services
        self._in_flight_max = in_flight_max
        self._in_flight = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for requests.

        Raises:
            Unavailable: All places are in use; the error has a time after which to retry.
        """
        self.refuse_when_full()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def refuse_when_full(self) -> None:
        """Raise Unavailable if all places are in use. Receivers call it before they read a body."""
        if self._in_flight >= self._in_flight_max:
            raise Unavailable(
                f"The engine is already processing {self._in_flight} requests; retry after {RETRY_AFTER_SECONDS} s.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    async def put(self, space: str | None, rows: Mapping[str, Sequence[SpanRow]]) -> IngestedSpans:
        """Store all rows or none, and create projects that do not exist.

        Args:
            space: Name or id of the space; the default space if None or empty.
            rows: Rows by the name of their project.

        Raises:
            NotFound: There is no such space.
            Unavailable: The store cannot be written now.
        """
        if not rows:
            return IngestedSpans(num_added=0, num_replaced=0)
        services = self.services
        now_us = to_us(services.clock.now())

        def work(tx: Transaction) -> IngestedSpans:
            space_id = space_by_name_or_id(tx, space).id
            num_added = num_replaced = 0
            for name, project_rows in rows.items():
                project = ensure_project(tx, services, space_id, name)
                stored = spans.put_spans(tx, project.id, project_rows, now_us)
                num_added += stored.num_added
                num_replaced += stored.num_replaced
            return IngestedSpans(num_added=num_added, num_replaced=num_replaced)

        try:
            ingested = await services.store.write(work)
        except StoreError as error:
            raise Unavailable(str(error), retry_after_seconds=STORE_RETRY_AFTER_SECONDS) from error
        services.wake_signal.notify()
        return ingested


def space_by_name_or_id(tx: Transaction, space: str | None) -> Space:
    """Return the space with this id or name, or the default space if it is None or empty.

    Raises:
        NotFound: There is no such space.
    """
    if not space:
        return require_default_space(tx)
    found_space = spaces.find_space(tx, space) or spaces.find_space_by_name(tx, space)
    if found_space is None:
        raise NotFound("There is no space with this id or name.")
    return found_space


def project_by_name_or_id(tx: Transaction, space_id: str, project: str) -> Project:
    """Return the project with this name or id in the space.

    Raises:
        NotFound: There is no such project.
    """
    found_project = projects.find_project_by_name(tx, space_id, project) or projects.find_project(tx, project)
    if found_project is None or found_project.space_id != space_id:
        raise NotFound("There is no project with this name or id in this space.")
    return found_project


def ensure_project(
    tx: Transaction, services: Services, space_id: str, name: str, type_: ProjectType = ProjectType.APPLICATION
) -> Project:
    """Return the project with this name in the space, creating it if it does not exist."""
    return projects.find_project_by_name(tx, space_id, name) or create_project(tx, services, space_id, name, type_)
