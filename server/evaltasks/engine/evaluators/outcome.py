"""What one evaluator says of one row: evaluated, failed or skipped, each with only its own fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Provenance: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A label and/or a score. `provenance` tells the kind of judge, model, tokens and latency."""

    label: str | None = None
    score: float | None = None
    explanation: str | None = None
    provenance: Provenance = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """This row could not be evaluated. `reason` is ours and groups rows; `detail` is a stranger's text: untrusted."""

    reason: str
    detail: str | None = None
    provenance: Provenance = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The evaluator abstains, for instance because there is nothing to judge; never a zero."""

    reason: str
    provenance: Provenance = field(default_factory=dict)


Outcome: TypeAlias = Evaluated | Failed | Skipped


class Evaluator(Protocol):
    """One evaluator version, ready to judge rows.

    `evaluate` takes the values of `variables` (a missing value never gets here). It raises `RetryLater` when the
    provider asks to wait and `PermanentFailure` when no row can be judged (wrong key, unknown model); everything about
    the row itself is an Outcome.
    """

    variables: tuple[str, ...]

    async def evaluate(self, values: Mapping[str, object]) -> Outcome: ...
