"""Statistics of scores against published tables, and their laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.insight.statistics import STATISTICS, mean_score, score_properties, student_t, wilson


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (10, 2.228139), (29, 2.045230), (30, 2.042272), (999, 1.962341)],
)
def test_student_t_equals_published_tables(degrees: int, quantile: float) -> None:
    assert student_t(degrees) == pytest.approx(quantile, abs=1e-5)


def test_wilson_equals_the_textbook() -> None:
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27754), abs=1e-5)


def test_mean_score_uses_wilson_for_zeros_and_ones_and_students_t_otherwise() -> None:
    share = mean_score([0, 1, 1, 1])
    shaded = mean_score([0.2, 0.4, 0.9])
    assert share is not None and shaded is not None
    assert (share.mean, share.method) == (0.75, "Wilson, 95 %")
    assert shaded.method == "Student's t, 95 %"
    assert (shaded.low, shaded.high) == pytest.approx((-0.39569, 1.39569), abs=1e-4)


def test_mean_score_cuts_the_interval_to_a_known_scale() -> None:
    mean = mean_score([0.2, 0.4, 0.9], scale=(0, 1))
    assert mean is not None
    assert (mean.low, mean.high) == (0, 1)


@pytest.mark.parametrize(("scores", "method"), [([0.4], "one score"), ([0.4, 0.4, 0.4], "all scores are equal")])
def test_mean_score_has_no_interval_for_one_score_or_equal_scores(scores: list[float], method: str) -> None:
    mean = mean_score(scores)
    assert mean is not None
    assert mean.low is None
    assert method in mean.method


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60) | st.lists(st.sampled_from([0.0, 1.0]), min_size=1))
def test_mean_score_interval_contains_the_mean(scores: list[float]) -> None:
    mean = mean_score(scores)
    assert mean is not None
    if mean.low is not None and mean.high is not None:
        assert mean.low <= mean.mean <= mean.high


def test_two_statistics_do_not_write_the_same_property() -> None:
    for scores in ([0.0, 1.0], [0.2, 0.4, 0.9], [0.5]):
        names = [name for statistic in STATISTICS for name in statistic.compute(scores, (0, 1))]
        assert len(names) == len(set(names)) == len(score_properties(scores, (0, 1)) or {})


def test_score_properties_are_missing_without_scores() -> None:
    assert score_properties([], None) is None
