"""Figures over images with intervals and tests: small and large, whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats

from effcam.metrics.estimates import PLACES, Means, Sums, estimate
from effcam.metrics.inference import ANY, HITS, SHARE, Estimate, Range
from effcam.metrics.pixel_precision import average_precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS = ("values", "low", "high", "counts", "difference_low", "difference_high", "p_values")


def images_and_columns(images: int = 60, columns: int = 3) -> NDArray[np.float64]:
    """Values that differ far more between images than between columns."""
    draw = np.random.default_rng(0)
    hard = draw.normal(0, 1, (images, 1))
    return hard + 0.1 * draw.normal(0, 1, (images, columns)) + np.arange(columns)


def with_gaps() -> NDArray[np.float64]:
    samples = images_and_columns()
    samples[:10, 0] = np.nan
    samples[5:40, 1] = np.nan
    return samples


def assert_equal(one: Estimate, other: Estimate) -> None:
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


# values and counts


def test_values_are_means_over_the_images_that_have_one() -> None:
    samples = with_gaps()
    found = estimate(samples)
    np.testing.assert_allclose(found.values, np.nanmean(samples, 0))
    assert found.counts.tolist() == found.units.tolist() == [50, 25, 60]
    assert found.counts.dtype == np.int64
    assert found.low.shape == found.high.shape == (3,)
    assert found.difference_low.shape == found.p_values.shape == (3, 3)
    assert (found.low < found.values).all()
    assert (found.values < found.high).all()


def test_infinite_values_count_as_none() -> None:
    samples = images_and_columns()
    gaps, infinite = samples.copy(), samples.copy()
    gaps[3, 1], infinite[3, 1] = np.nan, np.inf
    assert_equal(estimate(infinite), estimate(gaps))


def test_no_images_give_no_figures() -> None:
    found = estimate(np.zeros((0, 2)))
    assert np.isnan([found.values, found.low, found.high]).all()
    assert np.isnan(found.p_values).all()
    assert found.counts.tolist() == [0, 0]


def test_fewer_than_six_images_have_neither_interval_nor_test() -> None:
    samples = np.full((9, 3), np.nan)
    samples[:, 0], samples[:5, 1], samples[:6, 2] = np.arange(9), np.arange(5), np.arange(6) ** 2
    found = estimate(samples)
    assert np.isfinite([found.low, found.high]).tolist() == [[True, False, True]] * 2
    assert np.isfinite(found.p_values[0]).tolist() == [False, False, True]
    assert np.isfinite(found.difference_low[0]).tolist() == [False, False, True]
    for possible in (ANY, SHARE, HITS):
        five = estimate(np.ones((5, 2)), possible)
        assert five.values.tolist() == [1, 1]
        assert np.isnan([five.low, five.high]).all()


# intervals


def test_hits_have_exact_intervals_that_are_never_a_point() -> None:
    samples = np.ones((12, 3))
    samples[:6, 1], samples[:, 2] = 0, 0
    found = estimate(samples, HITS)
    for column, hits in enumerate((12, 6, 0)):
        expected = scipy.stats.binomtest(hits, 12).proportion_ci()
        ends = found.low[column], found.high[column]
        assert ends == pytest.approx((expected.low, expected.high))
    assert found.p_values[0, 1] == pytest.approx(2 * 2 / 64)  # the second step of three
    assert found.difference_low[0, 1] > 0


@pytest.mark.parametrize(
    ("possible", "constant"),
    [(HITS, 0.0), (HITS, 1.0), (SHARE, 0.0), (SHARE, 0.3), (SHARE, 1.0), (Range(-1, 1), 0.3)],
)
def test_equal_values_have_an_interval_within_the_range(possible: Range, constant: float) -> None:
    found = estimate(np.full((9, 2), constant), possible)
    assert (found.high - found.low > 0.2).all()
    assert (found.low >= possible.low).all()
    assert (found.high <= possible.high).all()
    assert found.difference_low[0, 1] < 0 < found.difference_high[0, 1]
    assert found.p_values[0, 1] == 1


def test_a_difference_that_is_the_same_in_every_image_is_significant() -> None:
    one = np.random.default_rng(0).random((20, 1))
    found = estimate(np.hstack([one, one - 0.05]), SHARE)
    assert found.difference_low[0, 1] == pytest.approx(0.05)
    assert found.p_values[0, 1] < 0.001


def test_intervals_stay_within_the_possible_values() -> None:
    samples = np.array([[0, 0, 0, 0, 0, 0, 0.9]]).T
    assert estimate(samples, SHARE).low == 0
    assert estimate(samples).low < 0


def test_differences_are_paired() -> None:
    samples = images_and_columns()
    found = estimate(samples)
    assert found.values[1] - found.values[0] == pytest.approx(1, abs=0.1)
    # The intervals of the means overlap widely, yet one mean is certainly higher: each image is
    # equally hard for both.
    width = found.high - found.low
    paired = found.difference_high[1, 0] - found.difference_low[1, 0]
    assert paired < 0.25 * width.min()
    shuffled = samples.copy()
    shuffled[:, 0] = np.random.default_rng(1).permutation(samples[:, 0])
    loose = estimate(shuffled)
    unpaired = loose.difference_high[1, 0] - loose.difference_low[1, 0]
    assert unpaired > 4 * paired
    assert found.difference_low[1, 0] > 0.9


def test_differences_are_antisymmetric_and_none_with_itself() -> None:
    found = estimate(with_gaps())
    np.testing.assert_array_equal(found.difference_low, -found.difference_high.T)
    np.testing.assert_array_equal(found.p_values, found.p_values.T)
    assert np.isnan(np.diag(found.difference_low)).all()
    assert np.isfinite(found.difference_low).sum() == np.isfinite(found.p_values).sum() == 6


def test_the_order_of_the_columns_does_not_matter() -> None:
    samples = with_gaps()
    found, turned = estimate(samples), estimate(samples[:, ::-1])
    np.testing.assert_allclose(turned.high, found.high[::-1])
    np.testing.assert_allclose(turned.difference_low, found.difference_low[::-1, ::-1])
    np.testing.assert_allclose(turned.p_values, found.p_values[::-1, ::-1])


def test_p_values_are_corrected_for_the_pairs_that_are_tested() -> None:
    samples = images_and_columns(8, 2)
    alone = estimate(samples).p_values[0, 1]
    twin = estimate(np.hstack([samples, np.full((8, 1), np.nan)]))
    assert twin.p_values[0, 1] == alone
    beside = estimate(np.hstack([samples, samples[:, :1] + images_and_columns(8, 1)]))
    assert beside.p_values[0, 1] > alone


@pytest.mark.parametrize("images", [6, 10, 13])
@pytest.mark.parametrize("kind", ["normal", "skewed", "hits", "thirds"])
def test_columns_that_do_not_differ_are_seldom_called_different(images: int, kind: str) -> None:
    rng = np.random.default_rng(images)
    shape = images, 4
    draws = {
        "normal": lambda: rng.normal(0, 1, shape),
        "skewed": lambda: rng.lognormal(0, 1, shape),
        "hits": lambda: rng.binomial(1, 0.8, shape).astype(float),
        "thirds": lambda: rng.binomial(3, 0.8, shape) / 3,
    }
    possible = {"hits": HITS, "thirds": SHARE}.get(kind, ANY)
    called = [(estimate(draws[kind](), possible).p_values <= 0.05).any() for _ in range(150)]
    # 5 % over all six pairs, and three standard errors of 150 rounds.
    assert np.mean(called) <= 0.05 + 3 * 0.018


# units of several images


def test_copies_of_an_image_in_one_unit_add_nothing() -> None:
    samples = images_and_columns(12)
    once = estimate(samples)
    units = np.repeat(np.arange(12), 5)
    five = estimate(np.repeat(samples, 5, 0), units=units)
    assert five.counts.tolist() == [60] * 3
    assert five.units.tolist() == [12] * 3
    for name in ("values", "low", "high", "difference_low", "p_values"):
        np.testing.assert_allclose(getattr(five, name), getattr(once, name))


def test_hits_of_frames_are_no_independent_hits() -> None:
    samples = np.repeat([[1.0], [1], [0], [1], [1], [0], [1], [1]], 50, 0)
    units = np.repeat(np.arange(8), 50)
    wide, narrow = estimate(samples, HITS, units), estimate(samples, HITS)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    few = estimate(samples, HITS, units % 5)
    assert np.isnan(few.low).all()


# in parts and in constant memory


def test_parts_have_the_figures_of_all_at_once() -> None:
    samples = with_gaps()
    means = Means(3)
    for part in np.array_split(samples, 7):
        means.add(part)
    assert_equal(means.estimate(), estimate(samples))
    np.testing.assert_allclose(means.values(), np.nanmean(samples, 0))


def test_many_images_share_places_and_have_nearly_students_intervals() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(1, (5 * PLACES + 100, 2)) + np.array([0, 0.02])
    means = Means(2)
    for part in np.array_split(samples, 9):
        means.add(part)
    found = means.estimate()
    assert len(means._sums) == PLACES
    assert found.counts.tolist() == found.units.tolist() == [len(samples)] * 2
    for column, values in enumerate(samples.T):
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval()
        width = expected.high - expected.low
        ends = found.low[column], found.high[column]
        assert ends == pytest.approx((expected.low, expected.high), abs=0.05 * width)


def test_many_hits_have_exact_intervals_too() -> None:
    samples = np.zeros((3000, 1))
    samples[:3] = 1
    found = estimate(samples, HITS)
    expected = scipy.stats.binomtest(3, 3000).proportion_ci()
    assert (found.low[0], found.high[0]) == pytest.approx((expected.low, expected.high))


def test_the_variance_survives_a_large_mean() -> None:
    samples = 1e9 + np.random.default_rng(0).standard_normal((10_000, 1))
    means = Means(1)
    for part in np.array_split(samples, 10):
        means.add(part)
    found = means.estimate()
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(10_000), rel=0.1)


# figures of sums


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / sums[..., 1]


def test_a_mean_as_a_figure_of_sums_has_the_same_interval_and_test() -> None:
    samples = images_and_columns()
    sums = Sums(ratio)
    for part in np.array_split(np.stack([samples, np.ones_like(samples)], axis=-1), 4):
        sums.add(part)
    assert_equal(sums.estimate(), estimate(samples))


def test_the_interval_of_a_figure_of_sums_is_as_wide_as_its_figures_spread() -> None:
    rng = np.random.default_rng(0)

    def draw(images: int) -> NDArray[np.float64]:
        levels = rng.poisson(3 * rng.gamma(2, 1, (images, 1, 1, 1)), (images, 2, 2, 16))
        levels[:, :, 1] *= np.arange(1, 17)
        return levels.astype(float)

    values = [average_precision(draw(40).sum(0)) for _ in range(300)]
    widths = []
    for _ in range(20):
        sums = Sums(average_precision)
        sums.add(draw(40))
        found = sums.estimate(SHARE)
        widths.append(found.high - found.low)
    assert np.mean(widths, 0) == pytest.approx(4 * np.std(values, 0), rel=0.25)


def test_few_images_have_no_interval_of_sums() -> None:
    sums = Sums(average_precision)
    sums.add(np.ones((5, 2, 2, 8)))
    found = sums.estimate(SHARE)
    assert np.isfinite(found.values).all()
    assert np.isnan([found.low, found.high]).all()
