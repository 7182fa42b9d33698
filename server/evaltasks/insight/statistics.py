"""Statistics of the scores of one group of evaluations, as `task_run_results` returns them.

`STATISTICS` is the only list of them. A statistic computes the properties that it adds to `score` in the structured
answer, and describes them in the text answer; nothing else has to know it (CONTRIBUTING.md, "A statistic").

The mean has an honest interval: the Wilson interval for scores that are only 0 or 1 (it is right at the edges, where
evaluators often are), Student's t for other scores. Where no interval can be computed, it is missing and `method` says
why. Decision 17 compares these functions with the libraries that offer them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TypeAlias

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
# From here on Student's t differs from the normal by less than 0.3 % of the interval's width.
_NORMAL_FROM_DEGREES = 1000
_DECIMALS = 4

Scale: TypeAlias = tuple[float, float]
"""The lowest and the highest possible score."""

Properties: TypeAlias = dict[str, float | int | str]
"""What statistics add to `score` in the structured answer, by JSON property name."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic of a group's scores.

    Attributes:
        compute: Returns its properties for one or more scores and their scale (None if unknown); `{}` if it does not
            apply to them. Two statistics must not use the same property name.
        describe: Returns its part of the text answer, from the properties that all statistics computed; an empty text
            if its own are missing.
    """

    compute: Callable[[Sequence[float], Scale | None], Properties]
    describe: Callable[[Properties], str]


@dataclass(frozen=True, slots=True)
class MeanScore:
    """A mean with its 95 % interval; `low` and `high` are None if `method` says that there is no interval."""

    n: int
    mean: float
    low: float | None
    high: float | None
    method: str


def score_properties(scores: Sequence[float], scale: Scale | None) -> Properties | None:
    """Compute every statistic of a group's scores, or return None without scores."""
    if not scores:
        return None
    properties: Properties = {}
    for statistic in STATISTICS:
        properties |= statistic.compute(scores, scale)
    return properties


def score_text(properties: Properties) -> str:
    """Describe the properties of `score_properties` in one line."""
    return ", ".join(filter(None, (statistic.describe(properties) for statistic in STATISTICS)))


def mean_score(scores: Sequence[float], *, scale: Scale | None = None) -> MeanScore | None:
    """Compute the mean of scores of one kind and its interval, or return None without scores.

    Args:
        scores: Scores that one judge gave; scores of different judges must not be mixed.
        scale: The interval is cut to this range, if known.
    """
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
    # Rounding may put the mean of nearly equal scores an ulp outside; the interval contains it by definition.
    low, high = min(mean - half, mean), max(mean + half, mean)
    if scale is not None:
        low, high = min(max(low, scale[0]), mean), max(min(high, scale[1]), mean)
    return MeanScore(n, mean, low, high, "Student's t, 95 %")


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of the share `successes / n`, as (low, high)."""
    share = successes / n
    spread = 1 + _Z * _Z / n
    centre = (share + _Z * _Z / (2 * n)) / spread
    half = _Z / spread * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def student_t(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t with `degrees` degrees of freedom."""
    if degrees >= _NORMAL_FROM_DEGREES:
        return _Z
    low, high = _Z, 13.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _probability_within(middle, degrees) < CONFIDENCE else (low, middle)
    return (low + high) / 2


def _probability_within(t: float, degrees: int) -> float:
    """Return P(|T| ≤ t) for whole degrees of freedom: the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
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


def _mean_properties(scores: Sequence[float], scale: Scale | None) -> Properties:
    mean = mean_score(scores, scale=scale)
    assert mean is not None, "there is at least one score"
    properties: Properties = {"mean": round(mean.mean, _DECIMALS)}
    if mean.low is not None and mean.high is not None:
        properties |= {"low": round(mean.low, _DECIMALS), "high": round(mean.high, _DECIMALS)}
    return {**properties, "n": mean.n, "method": mean.method}


def _mean_text(properties: Properties) -> str:
    bounds = f" [{properties['low']:.3g}, {properties['high']:.3g}]" if "low" in properties else ""
    return f"mean {properties['mean']:.3g}{bounds} (n {properties['n']}, {properties['method']})"


STATISTICS: tuple[Statistic, ...] = (Statistic(_mean_properties, _mean_text),)
"""Every statistic of scores, in the order of the answer."""
