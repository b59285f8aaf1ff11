"""Intervals of shares, means and differences, against exact methods, scipy and known truths."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from effcam.metrics.intervals import (
    constant_interval,
    mean_interval,
    mean_p,
    share_difference_interval,
    share_interval,
)
from effcam.metrics.significance import hits_p


def ends(hits: float, count: float) -> tuple[float, float]:
    low, high = share_interval(np.array([hits]), np.array([count]))
    return float(low[0]), float(high[0])


# shares


@pytest.mark.parametrize(("hits", "count"), [(0, 6), (6, 6), (12, 12), (7, 20), (999, 1000)])
def test_shares_have_the_exact_interval_of_scipy(hits: int, count: int) -> None:
    expected = scipy.stats.binomtest(hits, count).proportion_ci(0.95, "exact")
    assert ends(hits, count) == pytest.approx((expected.low, expected.high))


def test_twelve_hits_of_twelve_are_not_certain() -> None:
    assert ends(12, 12) == pytest.approx((0.735, 1), abs=1e-3)


def test_the_difference_of_shares_excludes_zero_wherever_the_exact_test_does() -> None:
    for count in (6, 7, 10, 25, 80, 1000):
        both = [(i, j) for i in range(min(count, 50) + 1) for j in range(i) if i + j <= count]
        more, fewer = np.array(both, float).T
        counts = np.full(len(more), float(count))
        low, high = share_difference_interval(more - fewer, more + fewer, counts)
        significant = hits_p(more - fewer, more + fewer) <= 0.05
        assert significant.any()
        assert (low[significant] > 0).all()
        assert ((low >= -1) & (low < high) & (high <= 1)).all()


# means


def deviations(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.array([values.mean()]), (values - values.mean())[:, None]


def test_values_without_skew_have_students_interval_and_test() -> None:
    values = np.array([0.3, 0.1, 0.5, 0.2, 0.4, 0.3, 0.3])
    low, high = mean_interval(*deviations(values))
    expected = scipy.stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert (low[0], high[0]) == pytest.approx((interval.low, interval.high))
    assert mean_p(*deviations(values)) == pytest.approx([expected.pvalue])


def test_skewed_values_have_an_interval_that_reaches_further_to_their_tail() -> None:
    values = np.array([0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 2.0])
    low, high = mean_interval(*deviations(values))
    interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert low[0] == pytest.approx(interval.low)
    assert high[0] > interval.high + 0.2
    left, right = mean_interval(*deviations(-values))
    assert (left[0], right[0]) == pytest.approx((-high[0], -low[0]))


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_excludes_zero_where_its_test_is_significant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.exponential(1, (9, 400)) - rng.uniform(0, 2, 400)
    means = values.mean(0)
    low, high = mean_interval(means, values - means)
    np.testing.assert_array_equal((low > 0) | (high < 0), mean_p(means, values - means) < 0.05)


@pytest.mark.parametrize(
    ("draw", "true"),
    [
        (lambda rng, size: rng.normal(2, 1, size), 2),
        (lambda rng, size: rng.exponential(1, size), 1),
        (lambda rng, size: rng.standard_t(3, size), 0),
        (lambda rng, size: rng.beta(0.5, 4, size), 0.5 / 4.5),
    ],
    ids=["normal", "exponential", "t", "beta"],
)
def test_eight_images_cover_the_true_mean(draw: object, true: float) -> None:
    values = draw(np.random.default_rng(0), (8, 4000))  # type: ignore[operator]
    means = values.mean(0)
    low, high = mean_interval(means, values - means)
    # Student's covers it in 90 % of exponential samples of this size, a bootstrap in 85 %.
    assert ((low <= true) & (true <= high)).mean() > 0.93


# values that are all the same


def test_equal_values_leave_room_for_the_images_that_were_not_seen() -> None:
    low, high = constant_interval(np.array([1.0, 0.0, 0.3]), np.array([12, 12, 12]), 0, 1)
    assert (low[0], high[0]) == pytest.approx(ends(12, 12))
    assert (low[1], high[1]) == pytest.approx(ends(0, 12))
    assert low[2] < 0.3 < high[2]


def test_equal_values_without_a_range_have_no_interval() -> None:
    found = constant_interval(np.array([3.0]), np.array([9]), 0, np.inf)
    assert np.isnan(found).all()
