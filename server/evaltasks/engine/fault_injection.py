"""Injected faults: failures as AX shows them, simulated by the engine on request, so that diagnosis can be tested.

A `FaultInjection` is passed when an engine is opened (`Engine.open(fault_injection=…)`, `evaltasks engine --stage …`).
It cannot be changed or queried afterwards. It takes no action of its own; three parts of the engine ask it one question
each:

* selection and lists: which spans are indexed? (`evaluation_index`, `list_index`)
* claiming: may this task run start? (`may_begin`)
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
    """By the names of `--stage`."""

    DELAYED_INDEXING = "delayed-indexing"
    UNINDEXED_FILTER = "unindexed-filter"
    BAD_INTEGRATION = "bad-integration"
    JUDGE_FAILURE = "judge-failure"
    CODE_CONTRACT = "code-contract"
    STUCK_PENDING = "stuck-pending"


# The lag of evaluations, or how long a task run is RUNNING before it is cancelled.
SECONDS: dict[Failure, float] = {
    Failure.DELAYED_INDEXING: 2 * 3600.0,
    Failure.BAD_INTEGRATION: 1.0,
    Failure.JUDGE_FAILURE: 180.0,
    Failure.CODE_CONTRACT: 3.0,
}
# Failures that cancel a task run: how many rows are tried before, and whether it is code that fails or whoever stands
# behind an integration. Other types of task do not know the failure.
_CANCELLATIONS = {
    Failure.BAD_INTEGRATION: (0, False),
    Failure.JUDGE_FAILURE: (3, False),
    Failure.CODE_CONTRACT: (0, True),
}


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One failure, for the tasks whose name fits a pattern (`*` stands for any text, `?` for one sign).

    `seconds` is the failure's time, the one AX takes when it is None. Raises ValueError for a failure that has none.
    """

    failure: Failure
    tasks: str = "*"
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is None:
            return
        if self.failure not in SECONDS:
            raise ValueError(f"{self.failure} takes no time: leave ={self.seconds:g} out")
        if not (isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"{self.failure} needs a number of seconds, 0 or more")

    def __str__(self) -> str:
        seconds = f"={self.time:g}" if self.failure in SECONDS else ""
        return f"{self.failure}{seconds}:{self.tasks}"

    @property
    def time(self) -> float:
        return SECONDS.get(self.failure, 0.0) if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True)
class InjectedCancellation:
    """The task run is cancelled, without a reason, after so many seconds and failed rows."""

    seconds: float
    num_calls: int

    @property
    def comes_before_rows(self) -> bool:
        """True when it never gets as far as looking for rows."""
        return self.num_calls == 0


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """All that is staged. Where one failure fits a task twice, the first counts."""

    staged: tuple[InjectedFault, ...] = ()

    def evaluation_index(self, task_name: str, now_us: int) -> Index:
        """What task runs of the task find."""
        lag = next(self._of(Failure.DELAYED_INDEXING, task_name), None)
        lacks = next(self._of(Failure.UNINDEXED_FILTER, task_name), None)
        if lag is None and lacks is None:
            return WHOLE
        return Index(
            upto_us=None if lag is None else now_us - int(lag.time * _SECOND_US), lacks_custom_columns=lacks is not None
        )

    def list_index(self, now_us: int) -> Index:
        """What lists of spans and traces find; they belong to no task."""
        lags = [staged.time for staged in self.staged if staged.failure is Failure.DELAYED_INDEXING]
        if not lags:
            return WHOLE
        return Index(upto_us=now_us - int(max(lags) * _LIST_LAG * _SECOND_US), finds_traces=True)

    def may_begin(self, task_name: str) -> bool:
        return next(self._of(Failure.STUCK_PENDING, task_name), None) is None

    def injected_cancellation(self, task: Task) -> InjectedCancellation | None:
        is_code = task.type == TaskType.CODE_EVALUATION
        for failure, (num_calls, of_code) in _CANCELLATIONS.items():
            for staged in self._of(failure, task.name):
                if of_code == is_code:
                    return InjectedCancellation(staged.time, num_calls)
        return None

    def _of(self, failure: Failure, task_name: str) -> Iterator[InjectedFault]:
        return (one for one in self.staged if one.failure is failure and fnmatchcase(task_name, one.tasks))


NO_FAULTS = FaultInjection()


def parse_fault_injection(text: str) -> FaultInjection:
    """`FAILURE[=SECONDS][:TASK_NAME]`, several by commas. Raises ValueError that names what is wrong."""
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
        plain = "could not convert" in str(error)
        raise ValueError(f"{failure} needs a number of seconds after '='" if plain else str(error)) from None
