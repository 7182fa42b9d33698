"""Means with an honest interval, from the standard library alone.

Scores that are only 0 or 1 get the Wilson interval (right at the edges, where evaluators live); other scores
Student's t. Where no interval can be had, it is absent and the method says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
# From here on Student's t differs from the normal by less than 0.3 % of the interval's width.
_NORMAL_FROM = 1000


@dataclass(frozen=True, slots=True)
class MeanScore:
    """`low` and `high` bound the mean with 95 % confidence; both are None when `method` says there is no interval."""

    n: int
    mean: float
    low: float | None
    high: float | None
    method: str


def mean_score(scores: Sequence[float], *, scale: tuple[float, float] | None = None) -> MeanScore | None:
    """The mean of scores of one kind, or None without scores. `scale` is the lowest and highest possible score."""
    n = len(scores)
    if n == 0:
        return None
    mean = fmean(scores)
    if all(score in (0, 1) for score in scores):
        low, high = wilson(round(sum(scores)), n)
        return MeanScore(n, mean, low, high, "Wilson, 95 %")
    if n == 1:
        return MeanScore(n, mean, None, None, "no interval: one score")
    deviation = stdev(scores)
    if deviation == 0:
        return MeanScore(n, mean, None, None, "no interval: all scores are equal")
    half = student_t(n - 1) * deviation / math.sqrt(n)
    # Rounding may put the mean of nearly equal scores an ulp outside; the interval holds it by definition.
    low, high = min(mean - half, mean), max(mean + half, mean)
    if scale is not None:
        low, high = min(max(low, scale[0]), mean), max(min(high, scale[1]), mean)
    return MeanScore(n, mean, low, high, "Student's t, 95 %")


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The Wilson score interval for a share, 95 %."""
    share = successes / n
    spread = 1 + _Z * _Z / n
    centre = (share + _Z * _Z / (2 * n)) / spread
    half = _Z / spread * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def student_t(degrees: int) -> float:
    """The two-sided 95 % quantile of Student's t."""
    if degrees >= _NORMAL_FROM:
        return _Z
    low, high = _Z, 13.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < CONFIDENCE else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """P(|T| ≤ t) for whole degrees of freedom, the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(degrees))
    cos2 = math.cos(theta) ** 2
    if degrees == 1:
        return 2 * theta / math.pi
    odd = degrees % 2 == 1
    term = math.cos(theta) if odd else 1.0
    total = term
    for k in range(3 if odd else 2, degrees, 2):
        term *= cos2 * (k - 1) / k
        total += term
    series = math.sin(theta) * total
    return 2 / math.pi * (theta + series) if odd else series
