"""Agreement of two maps, by ranks and by hottest areas; agreement of a comparison's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from effcam import metrics
from effcam.cam.explanation import Explanation
from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.metrics.agreement import (
    AGREEMENT_TITLES,
    MEASURES,
    agreement_matrix,
    correlation,
    least_agreed,
    pair_agreements,
)
from tests.cells import explain

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
    # The indicators of two different samples of n have the correlation -1 / (n - 1).
    assert metrics.spearman(one, other) == pytest.approx(-1 / 19)
    assert metrics.top_iou(one, other, share=1 / 20) == 0
    assert metrics.top_iou(one, one, share=1 / 20) == 1


def test_tied_samples_share_the_hottest_area_equally() -> None:
    # The hottest of four samples is in both areas; the other three share the rest of the two
    # places.
    heat = [[1, 0], [0, 0]]
    assert metrics.top_iou(heat, heat, share=0.5) == pytest.approx(1)
    other = [[1, 0.5], [0, 0]]
    common = 1 + Fraction(1, 3)
    assert metrics.top_iou(heat, other, share=0.5) == pytest.approx(float(common / (4 - common)))


def test_half_of_the_hottest_area_in_common() -> None:
    one, other = np.arange(20.0).reshape(4, 5), np.arange(20.0).reshape(4, 5)
    other[3, 1:3], other[0, 0:2] = 0, (30, 31)
    # Two areas of four samples have two in common: 2 / (4 + 4 - 2).
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
def test_a_stack_gives_the_figures_of_its_single_pairs(figure: Figure) -> None:
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
    with pytest.raises(ArgumentError, match="two maps to compare must have one shape"):
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
    # Over random orders of the tied samples, the share of orders with a sample in the area is its
    # membership.
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


# Quantus 0.6 has "\\e" and the like in docstrings, of which Python warns when it compiles them.
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


# columns of a comparison


def noise(seed: int, shape: tuple[int, int] = (7, 7)) -> Any:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


NAN = float("nan")


def test_the_same_map_agrees_and_its_reverse_does_not() -> None:
    same, reverse = noise(0), 1 - noise(0)
    pairs = pair_agreements([[explain(same), explain(3 * same), explain(reverse)]], "spearman")
    expected = [[[1, 1, -1], [1, 1, -1], [-1, -1, 1]]]
    np.testing.assert_allclose(pairs, expected, atol=1e-3)


def test_hottest_fifths_overlap_wholly_or_not_at_all() -> None:
    left, right = np.zeros((5, 5)), np.zeros((5, 5))
    left[:, 0] = right[:, -1] = 1
    pairs = pair_agreements([[explain(left), explain(2 * left), explain(right)]], "iou")
    np.testing.assert_allclose(pairs, [[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], atol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_each_image_is_measured_by_itself(measure: Any) -> None:
    rows = [[explain(noise(3 * row + at)) for at in range(3)] for row in range(4)]
    pairs = pair_agreements(rows, measure)
    assert pairs.shape == (4, 3, 3)
    np.testing.assert_array_equal(pairs, pairs.transpose(0, 2, 1))
    assert (pairs[:, range(3), range(3)] == 1).all()
    for at, row in enumerate(rows):
        np.testing.assert_allclose(pair_agreements([row], measure)[0], pairs[at])
    assert np.unique(pairs).size > 9


def test_maps_of_two_grids_agree_where_they_are_the_same() -> None:
    coarse = np.add.outer(np.arange(4), np.arange(4)) + 1.0
    fine = np.add.outer(np.arange(16), np.arange(16)) + 1.0
    assert pair_agreements([[explain(coarse), explain(fine)]], "spearman")[0, 0, 1] > 0.98


def test_crops_are_compared_on_their_common_region() -> None:
    """Two crops of one slope agree; without their positions they would not."""
    left, right = Box(0, 0, 100, 100), Box(20, 0, 120, 100)

    def peak(box: Box) -> Explanation:
        centres = box.left + 2 * np.arange(50) + 1
        return explain(np.tile(np.exp(-(((centres - 60) / 15) ** 2)), (50, 1)), (120, 100), box)

    apart = replace(peak(right), canvas=left, region=left)
    assert pair_agreements([[peak(left), peak(right)]], "spearman")[0, 0, 1] > 0.999
    assert pair_agreements([[peak(left), apart]], "spearman")[0, 0, 1] < 0.9


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("state", ["flat", "nan"])
def test_without_evidence_nothing_is_compared(measure: Any, state: str) -> None:
    row = [explain(noise(0)), explain(noise(1), state=state), explain(noise(0))]
    expected = [[[1, NAN, 1], [NAN, NAN, NAN], [1, NAN, 1]]]
    np.testing.assert_allclose(pair_agreements([row], measure), expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_map_that_is_constant_in_the_common_region_is_not_compared(measure: Any) -> None:
    heatmap = np.zeros((16, 16))
    heatmap[0] = 1
    row = [explain(heatmap, (96, 48), Box(0, -24, 96, 72)), explain(noise(0), (96, 48))]
    assert np.isnan(pair_agreements([row], measure)[0, 0, 1])


def test_crops_without_a_common_part_are_not_compared() -> None:
    halves = Box(0, 0, 48, 96), Box(48, 0, 96, 96)
    row = [explain(noise(0), canvas=half) for half in halves]
    np.testing.assert_array_equal(pair_agreements([row], "spearman"), [[[1, NAN], [NAN, 1]]])


def test_no_images_or_one_column_give_a_trivial_matrix() -> None:
    assert pair_agreements([], "spearman").shape == (0, 0, 0)
    np.testing.assert_array_equal(pair_agreements([[explain(noise(0))]], "iou"), [[[1]]])


def test_a_measure_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(
        ArgumentError, match=r"^measure must be one of spearman, iou, not 'cosine'$"
    ):
        pair_agreements([[explain(noise(0))]], "cosine")  # type: ignore[arg-type]
    assert set(MEASURES) == set(AGREEMENT_TITLES)


# over the images


def test_the_matrix_is_the_mean_over_the_images_that_count() -> None:
    pairs = np.array(
        [
            [[1, 0.5, NAN], [0.5, 1, NAN], [NAN, NAN, NAN]],
            [[1, -0.1, 0.3], [-0.1, 1, NAN], [0.3, NAN, 1]],
        ]
    )
    np.testing.assert_allclose(
        agreement_matrix(pairs, 3), [[1, 0.2, 0.3], [0.2, 1, NAN], [0.3, NAN, 1]]
    )


def test_the_matrix_of_no_images_holds_no_numbers() -> None:
    assert np.isnan(agreement_matrix(np.zeros((0, 2, 2)), 2)).all()
    assert agreement_matrix(pair_agreements([], "spearman"), 0).shape == (0, 0)


def as_pairs(*means: float) -> Any:
    return np.array([[[1, mean], [mean, 1]] for mean in means])


def test_images_are_ordered_by_agreement_the_lowest_first() -> None:
    assert least_agreed(as_pairs(0.5, -0.2, 0.9, 0.0)) == [1, 3, 0, 2]


def test_images_of_equal_agreement_keep_their_order() -> None:
    assert least_agreed(as_pairs(0.5, 0.2, 0.5, 0.2)) == [1, 3, 0, 2]


def test_images_in_which_nothing_can_be_compared_are_last() -> None:
    order = least_agreed(as_pairs(NAN, 1.0, NAN, -1.0))
    assert order == [3, 1, 0, 2]
    assert all(type(at) is int for at in order)


def test_the_agreement_of_an_image_is_the_mean_over_its_pairs_without_its_diagonal() -> None:
    pairs = np.full((2, 3, 3), NAN)
    pairs[:, range(3), range(3)] = 1
    pairs[0, [0, 0, 1], [1, 2, 2]] = [0.9, 0.0, 0.0]  # 0.3
    pairs[1, [0, 0], [1, 2]] = [0.0, 0.4]  # 0.2, with the third left out
    assert least_agreed(pairs) == [1, 0]
