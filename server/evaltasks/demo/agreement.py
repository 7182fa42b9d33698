"""Measure how far a judge agrees with known labels, compared with two trivial baselines.

A judge's figures mean little alone. It has to be better than always choosing the more frequent label, and better than
the length of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Judged:
    """One row: its true label, the judge's label (None if it abstained or was unsure), its score and its length."""

    is_right: bool
    judged_right: bool | None
    score: float | None
    words: int


@dataclass(frozen=True)
class Agreement:
    """Counts over rows with a verdict, shares from 0 to 1, and the area under the curve of the score."""

    rows: int
    unsure: int
    right_called_right: int
    right_called_wrong: int
    wrong_called_right: int
    wrong_called_wrong: int
    accuracy: float
    kappa: float
    auc: float
    majority_accuracy: float
    length_auc: float


def agreement(rows: Sequence[Judged]) -> Agreement:
    """Compare labels and scores with the true labels. There must be at least one row of each true label."""
    cells = {(truth, verdict): 0 for truth in (True, False) for verdict in (True, False)}
    for row in rows:
        if row.judged_right is not None:
            cells[row.is_right, row.judged_right] += 1
    decided = sum(cells.values())
    agreed = cells[True, True] + cells[False, False]
    by_chance = sum(
        (cells[side, True] + cells[side, False]) * (cells[True, side] + cells[False, side]) for side in (True, False)
    )
    expected = by_chance / decided**2 if decided else 0.0
    accuracy = agreed / decided if decided else 0.0
    num_right = sum(row.is_right for row in rows)
    scored = [row for row in rows if row.score is not None]
    return Agreement(
        rows=len(rows),
        unsure=len(rows) - decided,
        right_called_right=cells[True, True],
        right_called_wrong=cells[True, False],
        wrong_called_right=cells[False, True],
        wrong_called_wrong=cells[False, False],
        accuracy=accuracy,
        kappa=(accuracy - expected) / (1 - expected) if expected < 1 else 0.0,
        auc=area_under_curve([(row.score or 0.0, row.is_right) for row in scored]),
        majority_accuracy=max(num_right, len(rows) - num_right) / len(rows),
        length_auc=area_under_curve([(-float(row.words), row.is_right) for row in rows]),
    )


def area_under_curve(scored: Sequence[tuple[float, bool]]) -> float:
    """Return the probability that a right row has a higher score than a wrong one; ties count half."""
    right = [score for score, is_right in scored if is_right]
    wrong = [score for score, is_right in scored if not is_right]
    if not right or not wrong:
        return 0.5
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return wins / (len(right) * len(wrong))
