"""Injected faults: failures as AX shows them, simulated by the engine on request, so that diagnosis can be tested.

A `FaultInjection` is passed when an engine is opened (`Engine.open(fault_injection=…)`, `evaltasks engine --stage …`).
It cannot be changed or queried afterwards. It takes no action of its own; three parts of the engine ask it one question
each:

* selection and lists: which spans are indexed? (`evaluation_index`, `list_index`)
* claiming: may this task run start? (`may_start`)
* processing it: is it cancelled? (`injected_cancellation`)

Without `--stage` the answers are "everything", "yes" and "no".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from math import isfinite

from evaltasks.api.tasks import Task, TaskType
from evaltasks.engine.filters.index import WHOLE, Index

_SECOND_US = 1_000_000
# Lists of spans lag 6 to 12 hours where evaluations lag 1 to 2.
_LIST_LAG = 6


class Failure(StrEnum):
    """The failures that can be injected, by their names in `--stage`."""

    DELAYED_INDEXING = "delayed-indexing"
    UNINDEXED_FILTER = "unindexed-filter"
    BAD_INTEGRATION = "bad-integration"
    JUDGE_FAILURE = "judge-failure"
    CODE_CONTRACT = "code-contract"
    STUCK_PENDING = "stuck-pending"


# By default: the lag of evaluations, or how long a task run is RUNNING before it is cancelled, as in AX.
DEFAULT_SECONDS: dict[Failure, float] = {
    Failure.DELAYED_INDEXING: 2 * 3600.0,
    Failure.BAD_INTEGRATION: 1.0,
    Failure.JUDGE_FAILURE: 180.0,
    Failure.CODE_CONTRACT: 3.0,
}
# Failures that cancel a task run: how many rows fail before, and whether code fails, or else the provider behind an
# integration. Tasks of the other types do not have the failure.
_CANCELLATIONS = {
    Failure.BAD_INTEGRATION: (0, False),
    Failure.JUDGE_FAILURE: (3, False),
    Failure.CODE_CONTRACT: (0, True),
}


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One failure, for the tasks whose name matches a pattern (`*` matches any text, `?` any character).

    Attributes:
        failure: The failure.
        tasks: The pattern of task names.
        seconds: The time of the failure; None for the time that AX takes.

    Raises:
        ValueError: `seconds` is set for a failure without a time, or is not a number of 0 or more.
    """

    failure: Failure
    tasks: str = "*"
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is None:
            return
        if self.failure not in DEFAULT_SECONDS:
            raise ValueError(f"{self.failure} does not take a time: remove ={self.seconds:g}")
        if not (isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"{self.failure} needs a number of seconds, 0 or more")

    def __str__(self) -> str:
        seconds = f"={self.effective_seconds:g}" if self.failure in DEFAULT_SECONDS else ""
        return f"{self.failure}{seconds}:{self.tasks}"

    @property
    def effective_seconds(self) -> float:
        return DEFAULT_SECONDS.get(self.failure, 0.0) if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True)
class InjectedCancellation:
    """Cancels the task run, without a reason, after so many seconds and failed rows."""

    seconds: float
    num_failed_rows: int

    @property
    def is_before_selection(self) -> bool:
        """True if the task run is cancelled before its rows are selected."""
        return self.num_failed_rows == 0


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """All injected faults. If a failure matches a task twice, the first one is used."""

    injected: tuple[InjectedFault, ...] = ()

    def evaluation_index(self, task_name: str, now_us: int) -> Index:
        """Return which spans task runs of the task find."""
        lag = next(self._matching(Failure.DELAYED_INDEXING, task_name), None)
        unindexed = next(self._matching(Failure.UNINDEXED_FILTER, task_name), None)
        if lag is None and unindexed is None:
            return WHOLE
        return Index(
            upto_us=None if lag is None else now_us - int(lag.effective_seconds * _SECOND_US),
            lacks_custom_columns=unindexed is not None,
        )

    def list_index(self, now_us: int) -> Index:
        """Return which spans lists of spans and traces find, whatever the task."""
        lags = [
            injected.effective_seconds for injected in self.injected if injected.failure is Failure.DELAYED_INDEXING
        ]
        if not lags:
            return WHOLE
        return Index(upto_us=now_us - int(max(lags) * _LIST_LAG * _SECOND_US), finds_traces=True)

    def may_start(self, task_name: str) -> bool:
        return next(self._matching(Failure.STUCK_PENDING, task_name), None) is None

    def injected_cancellation(self, task: Task) -> InjectedCancellation | None:
        is_code = task.type == TaskType.CODE_EVALUATION
        for failure, (num_failed_rows, of_code) in _CANCELLATIONS.items():
            for injected in self._matching(failure, task.name):
                if of_code == is_code:
                    return InjectedCancellation(injected.effective_seconds, num_failed_rows)
        return None

    def _matching(self, failure: Failure, task_name: str) -> Iterator[InjectedFault]:
        return (
            injected
            for injected in self.injected
            if injected.failure is failure and fnmatchcase(task_name, injected.tasks)
        )


NO_FAULTS = FaultInjection()


def parse_fault_injection(text: str) -> FaultInjection:
    """Parse `FAILURE[=SECONDS][:TASK_NAME]`, several separated by commas.

    Raises:
        ValueError: The text cannot be parsed; the message names what is wrong.
    """
    return FaultInjection(tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip()))


def _parse_one(text: str) -> InjectedFault:
    what, _, tasks = text.partition(":")
    name, has_time, seconds = what.strip().partition("=")
    try:
        failure = Failure(name.strip().lower())
    except ValueError:
        raise ValueError(f"unknown failure '{name.strip()}'; use one of {', '.join(Failure)}") from None
    try:
        return InjectedFault(failure, tasks.strip() or "*", float(seconds) if has_time else None)
    except ValueError as error:
        is_not_a_number = "could not convert" in str(error)
        raise ValueError(f"{failure} needs a number of seconds after '='" if is_not_a_number else str(error)) from None
