"""How far two maps agree, by ranks and by their hottest areas."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from effcam import metrics
from effcam.errors import ArgumentError
from effcam.metrics.agreement import correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Figure = Callable[..., NDArray[np.float64]]

each_figure = pytest.mark.parametrize(
    "figure", [metrics.spearman, metrics.top_iou], ids=lambda figure: figure.__name__
)


def random_maps(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(shape)


def tied_maps(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    """Maps of few values, half of them 0."""
    return np.maximum(np.random.default_rng(seed).integers(-4, 5, shape), 0).astype(float)


# closed forms


@each_figure
def test_a_map_agrees_with_itself_whatever_its_scale(figure: Figure) -> None:
    heat = random_maps(6, 5)
    assert figure(heat, heat) == pytest.approx(1)
    assert figure(heat, np.exp(3 * heat)) == pytest.approx(1)


def test_a_map_and_its_opposite() -> None:
    heat = random_maps(6, 5)
    assert metrics.spearman(heat, -heat) == pytest.approx(-1)
    assert metrics.top_iou(heat, -heat) == 0


def test_two_points_apart() -> None:
    one, other = np.zeros((2, 4, 5))
    one[0, 0] = other[2, 3] = 1
    # A pair of indicators: the correlation of two different samples of n is -1 / (n - 1).
    assert metrics.spearman(one, other) == pytest.approx(-1 / 19)
    assert metrics.top_iou(one, other, share=1 / 20) == 0
    assert metrics.top_iou(one, one, share=1 / 20) == 1


def test_samples_that_tie_take_equal_parts_in_the_hottest_area() -> None:
    # Of four samples the hottest is in both areas; the three others share what is left of two.
    heat = [[1, 0], [0, 0]]
    assert metrics.top_iou(heat, heat, share=0.5) == pytest.approx(1)
    other = [[1, 0.5], [0, 0]]
    common = 1 + Fraction(1, 3)
    assert metrics.top_iou(heat, other, share=0.5) == pytest.approx(float(common / (4 - common)))


def test_half_of_the_hottest_area_in_common() -> None:
    one, other = np.arange(20.0).reshape(4, 5), np.arange(20.0).reshape(4, 5)
    other[3, 1:3], other[0, 0:2] = 0, (30, 31)
    # Of four samples each, two are common: 2 / (4 + 4 - 2).
    assert metrics.top_iou(one, other) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("share", "count"), [(0.01, 1), (0.07, 1), (0.1, 2), (0.2, 3), (0.5, 8), (0.99, 15)]
)
def test_the_share_rounds_to_at_least_one_sample(share: float, count: int) -> None:
    one, other = np.arange(15.0).reshape(3, 5), np.arange(15.0).reshape(3, 5)
    other[0, 0] = 100  # which pushes the last of the hottest samples out, unless all count
    common = count - (count < 15)
    expected = common / (2 * count - common)
    assert metrics.top_iou(one, other, share=share) == pytest.approx(expected)


@each_figure
def test_an_even_map_agrees_with_none(figure: Figure) -> None:
    heat, even = random_maps(4, 4), np.full((4, 4), 0.1)
    for one, other in [(heat, even), (even, heat), (even, even)]:
        assert np.isnan(figure(one, other))


@each_figure
def test_the_order_of_the_two_does_not_matter(figure: Figure) -> None:
    one, other = tied_maps(10, 5, 5), tied_maps(10, 5, 5, seed=1)
    np.testing.assert_allclose(figure(one, other), figure(other, one), rtol=1e-12)


@each_figure
def test_where_samples_lie_does_not_matter(figure: Figure) -> None:
    one, other = tied_maps(5, 6), tied_maps(5, 6, seed=1)
    order = np.random.default_rng(2).permutation(30)
    shuffled = (each.ravel()[order].reshape(3, 10) for each in (one, other))
    assert figure(*shuffled) == pytest.approx(figure(one, other), rel=1e-12)


@each_figure
def test_a_stack_is_figured_as_its_pairs_are_one_by_one(figure: Figure) -> None:
    one, other = tied_maps(2, 3, 5, 4), tied_maps(2, 3, 5, 4, seed=1)
    other[1, 0] = 3
    found = figure(one, other)
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    one_by_one = [
        [float(figure(a, b)) for a, b in zip(*rows, strict=True)]
        for rows in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-12)
    assert np.isnan(found).sum() == 1


# refused


@each_figure
@pytest.mark.parametrize(
    ("one", "other"), [((2, 3), (3, 2)), ((3,), (3,)), ((0, 2), (0, 2)), ((1, 2, 2), (2, 2))]
)
def test_maps_of_other_shapes_are_refused(
    figure: Figure, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    with pytest.raises(ArgumentError, match="two maps to compare are of one shape"):
        figure(np.ones(one), np.ones(other))


@pytest.mark.parametrize("share", [0, 1, -0.2, 20, float("nan")])
def test_impossible_shares_are_refused(share: Any) -> None:
    with pytest.raises(ArgumentError, match="share must lie between 0 and 1, not"):
        metrics.top_iou(random_maps(2, 2), random_maps(2, 2), share=share)


# against other implementations


@pytest.mark.parametrize("maps", [random_maps, tied_maps])
def test_spearman_is_scipys(maps: Callable[..., NDArray[np.float64]]) -> None:
    for one, other in zip(maps(20, 6, 7), maps(20, 6, 7, seed=1), strict=True):
        expected = scipy.stats.spearmanr(one.ravel(), other.ravel()).statistic
        assert metrics.spearman(one, other) == pytest.approx(expected, abs=1e-12)


def test_correlation_is_numpys() -> None:
    one, other = random_maps(5, 30), random_maps(5, 30, seed=1)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(correlation(one, other), expected, atol=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_top_iou_is_that_of_sets_of_samples(share: float) -> None:
    for one, other in zip(random_maps(20, 6, 7), random_maps(20, 6, 7, seed=1), strict=True):
        count = int(share * 42 + 0.5)
        first, second = (set(np.argsort(each.ravel())[-count:].tolist()) for each in (one, other))
        expected = len(first & second) / len(first | second)
        assert metrics.top_iou(one, other, share=share) == pytest.approx(expected, abs=1e-12)


def test_top_iou_of_ties_is_the_mean_membership_over_all_orders() -> None:
    # Drawing orders of tied samples at random, each sample is in the area as often as it says.
    draw = np.random.default_rng(0)
    one, other = tied_maps(4, 5), tied_maps(4, 5, seed=1)
    often = np.zeros((2, 20))
    for _ in range(4000):
        for times, values in zip(often, (one, other), strict=True):
            order = np.lexsort((draw.random(20), -values.ravel()))
            times[order[:8]] += 1 / 4000
    expected = np.minimum(*often).sum() / np.maximum(*often).sum()
    # The standard deviation of a share of 4000 is at most 0.008.
    assert metrics.top_iou(one, other, share=0.4) == pytest.approx(expected, abs=0.03)


# Quantus 0.6 has "\\e" and the like in docstrings, which Python tells of where it compiles them.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
def test_top_iou_follows_from_quantus_top_k_intersection() -> None:
    import quantus

    one, other = random_maps(12, 6, 7), random_maps(12, 6, 7, seed=1)
    count = 8
    last = np.sort(other.reshape(12, -1))[:, -count]
    hottest = other >= last[:, None, None]
    metric = quantus.TopKIntersection(k=count, disable_warnings=True)
    shape = (12, 1, 6, 7)
    share = metric(
        None, np.zeros(shape), None, a_batch=one.reshape(shape), s_batch=hottest.reshape(shape)
    )
    common = count * np.array(share)
    expected = common / (2 * count - common)
    np.testing.assert_allclose(metrics.top_iou(one, other, share=count / 42), expected, atol=1e-12)
