"""The outcome of one evaluator on one row (evaluated, failed or skipped), and the protocol of evaluators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Provenance: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A label, a score or both. `provenance` holds the kind of judge, the model, tokens and latency."""

    label: str | None = None
    score: float | None = None
    explanation: str | None = None
    provenance: Provenance = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The row could not be evaluated.

    Attributes:
        reason: Our own text, equal for rows that failed alike, so that failures can be counted by it.
        detail: Text of a model or of user code, such as its reply. Untrusted.
    """

    reason: str
    detail: str | None = None
    provenance: Provenance = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The evaluator abstains, for example because a value is empty. A skipped row has no score, not a score of 0."""

    reason: str
    provenance: Provenance = field(default_factory=dict)


Outcome: TypeAlias = Evaluated | Failed | Skipped


class Evaluator(Protocol):
    """One evaluator version, ready to evaluate rows.

    Attributes:
        variables: The names of the values that `evaluate` takes.
    """

    variables: tuple[str, ...]

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        """Evaluate one row.

        Args:
            values: A value for every name of `variables`; rows that lack one are not passed.

        Returns:
            The outcome. Whatever is wrong with the row itself is an outcome, not an error.

        Raises:
            RetryLater: The provider asks to wait.
            PermanentFailure: No row can be evaluated, such as after a wrong key or an unknown model.
        """
        ...

    async def close(self) -> None:
        """Release what evaluating took, such as a sandbox worker. Called once, after the last row."""
        return
