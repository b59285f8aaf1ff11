"""Bootstrap intervals of means over images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats

from effcam.metrics import bootstrap
from effcam.metrics.bootstrap import estimate, estimate_by

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


# values and counts


def test_values_are_means_over_the_images_that_have_one() -> None:
    samples = with_gaps()
    found = estimate(samples)
    np.testing.assert_allclose(found.values, np.nanmean(samples, 0))
    assert found.counts.tolist() == [50, 25, 60]
    assert found.counts.dtype == np.int64
    assert found.low.shape == found.high.shape == (3,)
    assert found.difference_low.shape == found.difference_high.shape == (3, 3)
    assert (found.low < found.values).all()
    assert (found.values < found.high).all()


def test_infinite_values_count_as_none() -> None:
    samples = images_and_columns()
    gaps, infinite = samples.copy(), samples.copy()
    gaps[3, 1], infinite[3, 1] = np.nan, np.inf
    for name in ("values", "low", "high", "counts", "difference_low", "difference_high"):
        one, other = getattr(estimate(infinite), name), getattr(estimate(gaps), name)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("constant", [0.3, -2])
def test_equal_values_have_an_interval_of_width_0(constant: float) -> None:
    found = estimate(np.full((9, 2), constant))
    for each in (found.values, found.low, found.high):
        np.testing.assert_allclose(each, constant)
    assert found.difference_low[0, 1] == found.difference_high[0, 1] == 0


def test_one_value_gives_no_interval_and_none_gives_no_mean() -> None:
    samples = np.full((5, 3), np.nan)
    samples[:, 0], samples[2, 1] = np.arange(5), 7
    found = estimate(samples)
    np.testing.assert_array_equal(found.values, [2, 7, np.nan])
    assert found.counts.tolist() == [5, 1, 0]
    assert np.isfinite([found.low[0], found.high[0]]).all()
    assert np.isnan([*found.low[1:], *found.high[1:]]).all()
    # The two columns have one image in common.
    assert np.isnan(found.difference_low).all()


def test_no_images_give_no_figures() -> None:
    found = estimate(np.zeros((0, 2)))
    assert np.isnan([found.values, found.low, found.high]).all()
    assert found.counts.tolist() == [0, 0]


# intervals


def loop(samples: NDArray[np.float64], draws: int, seed: int) -> tuple[NDArray, NDArray]:
    """Return the intervals of the means and of the differences, computed draw by draw."""
    images, columns = samples.shape
    picked = np.random.default_rng(seed).integers(images, size=(draws, images))
    means, gaps = [], []
    for pick in picked:
        drawn = samples[pick]
        means.append(np.nanmean(drawn, 0))
        gaps.append(
            [
                [np.nanmean(drawn[:, i] - drawn[:, j]) for j in range(columns)]
                for i in range(columns)
            ]
        )
    return np.percentile(means, [2.5, 97.5], axis=0), np.percentile(gaps, [2.5, 97.5], axis=0)


def test_intervals_are_percentiles_of_the_means_of_resampled_images() -> None:
    samples = with_gaps()
    found = estimate(samples, draws=200, seed=4)
    ends, gaps = loop(samples, draws=200, seed=4)
    np.testing.assert_allclose([found.low, found.high], ends)
    apart = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.difference_low[apart], gaps[0][apart])
    np.testing.assert_allclose(found.difference_high[apart], gaps[1][apart])


def test_intervals_are_scipys() -> None:
    values = np.random.default_rng(1).exponential(1, 50)
    expected = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10000,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    found = estimate(values[:, None], draws=10000)
    error = values.std() / np.sqrt(50)
    # Each end of an interval of 10,000 draws has an error of 0.03 standard errors itself.
    assert found.low[0] == pytest.approx(expected.low, abs=0.15 * error)
    assert found.high[0] == pytest.approx(expected.high, abs=0.15 * error)


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
    assert np.isnan(np.diag(found.difference_low)).all()
    assert np.isfinite(found.difference_low).sum() == 6


def test_the_interval_covers_the_true_mean_at_its_stated_rate() -> None:
    draw = np.random.default_rng(0)
    covered = difference = 0
    for _ in range(300):
        samples = draw.normal(0, 1, (40, 1)) + draw.normal([2.0, 2.5], 0.5, (40, 2))
        found = estimate(samples)
        covered += found.low[0] <= 2 <= found.high[0]
        difference += found.difference_low[1, 0] <= 0.5 <= found.difference_high[1, 0]
    # 95 %, less a little for 40 images, with a standard deviation of 1.3 % over 300 rounds.
    assert 0.9 < covered / 300 < 0.99
    assert 0.9 < difference / 300 < 0.99


# random numbers


def test_results_depend_on_the_seed() -> None:
    samples = images_and_columns()
    once, again, other = estimate(samples), estimate(samples), estimate(samples, seed=1)
    np.testing.assert_array_equal(once.low, again.low)
    assert (once.low != other.low).all()
    np.testing.assert_allclose(once.low, other.low, atol=0.05)


def test_a_column_has_the_same_interval_whatever_is_beside_it() -> None:
    samples = with_gaps()
    found, alone = estimate(samples), estimate(samples[:, [2]])
    assert found.low[2] == pytest.approx(alone.low[0], rel=1e-12)
    turned = estimate(samples[:, ::-1])
    np.testing.assert_allclose(turned.high, found.high[::-1])
    np.testing.assert_allclose(turned.difference_low, found.difference_low[::-1, ::-1])


def test_draws_in_several_parts_have_the_full_number_and_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = images_and_columns()
    whole = estimate(samples)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 60 * 300)
    drawn = list(bootstrap._draw(60, 1000, 0))
    assert [len(each) for each in drawn] == [300, 300, 300, 100]
    assert not np.array_equal(drawn[0], drawn[1])
    assert all((each.sum(1) == 60).all() for each in drawn)
    found = estimate(samples)
    np.testing.assert_allclose(found.low, whole.low, atol=0.05)
    np.testing.assert_array_equal(found.values, whole.values)


# figures of sums


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / sums[..., 1]


def test_a_mean_as_a_figure_of_sums_has_the_same_interval() -> None:
    samples = images_and_columns()
    counts = np.stack([samples, np.ones_like(samples)], axis=-1)
    found, expected = estimate_by(counts, ratio), estimate(samples)
    for name in ("values", "low", "high", "difference_low", "difference_high"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
    assert found.counts.tolist() == [60, 60, 60]


def test_a_figure_of_sums_is_that_of_a_loop() -> None:
    counts = np.random.default_rng(0).integers(1, 50, (20, 2, 3, 4)).astype(float)

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums[..., 0, 0] ** 2 / (sums[..., 1, :].sum(-1) + sums[..., 2, 3])

    found = estimate_by(counts, statistic, draws=100, seed=3)
    picked = np.random.default_rng(3).integers(20, size=(100, 20))
    drawn = np.array([statistic(counts[pick].sum(0)) for pick in picked])
    np.testing.assert_allclose(found.values, statistic(counts.sum(0)))
    np.testing.assert_allclose([found.low, found.high], np.percentile(drawn, [2.5, 97.5], axis=0))
    ends = np.percentile(drawn[:, 0] - drawn[:, 1], [2.5, 97.5])
    np.testing.assert_allclose([found.difference_low[0, 1], found.difference_high[0, 1]], ends)


def test_a_figure_without_value_in_any_draw_is_nan() -> None:
    counts = np.zeros((5, 1, 2))
    found = estimate_by(counts, lambda sums: np.full(sums.shape[:-1], np.nan))
    assert np.isnan([found.values, found.low, found.high]).all()
