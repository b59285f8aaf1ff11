"""How much of the heat lies on the object: points, energy, boxes and pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from effcam import Box, metrics
from effcam.errors import ArgumentError
from effcam.metrics import pixel_precision
from effcam.metrics.box_overlap import THRESHOLDS
from effcam.metrics.localisation import centre_map, coverage, reachable
from effcam.metrics.pixel_precision import LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Figure = Callable[..., NDArray[Any]]

# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
imports_quantus = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
on_the_object = pytest.mark.parametrize(
    "figure",
    [
        metrics.pointing_game,
        metrics.energy_pointing_game,
        metrics.mass_area_ratio,
        metrics.relevance_rank_accuracy,
    ],
    ids=lambda figure: figure.__name__,
)


def random_heat(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.maximum(np.random.default_rng(seed).normal(0.4, 1, shape), 0)


def random_mask(*shape: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(shape) < 0.3


def point(at: tuple[int, int], shape: tuple[int, int] = (8, 10)) -> NDArray[np.float64]:
    heat = np.zeros(shape)
    heat[at] = 2
    return heat


# coverage


def test_coverage_is_the_share_of_each_pixel_that_boxes_cover() -> None:
    found = coverage([Box(0.25, 1, 2, 2.5)], 3, 4)
    np.testing.assert_allclose(found, [[0, 0, 0], [0.75, 1, 0], [0.375, 0.5, 0], [0, 0, 0]])
    assert (coverage([Box(-5, -5, 9, 9)], 3, 4) == 1).all()
    assert (coverage([Box(3, 0, 9, 4), Box(-2, 0, 0, 4)], 3, 4) == 0).all()


def test_boxes_that_overlap_cover_a_pixel_once() -> None:
    left, right = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
    assert coverage([left, left], 1, 1) == pytest.approx(0.5)
    assert coverage([left, right], 1, 1) == pytest.approx(1)
    assert coverage([left, Box(0, 0, 1, 0.5)], 1, 1) == pytest.approx(0.75)


EIGHTHS = st.integers(-8, 48).map(lambda eighth: eighth / 8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS, EIGHTHS, EIGHTHS), min_size=1, max_size=4))
def test_coverage_is_that_of_a_finer_drawing(corners: list[tuple[float, ...]]) -> None:
    boxes = [Box(min(x, u), min(y, v), max(x, u), max(y, v)) for x, y, u, v in corners]
    centres = (np.arange(40) + 0.5) / 8
    drawn = np.zeros((32, 40), bool)
    for box in boxes:
        across = (box.left < centres) & (centres < box.right)
        drawn |= ((box.top < centres) & (centres < box.bottom))[:32, None] & across
    expected = drawn.reshape(4, 8, 5, 8).mean((1, 3))
    np.testing.assert_allclose(coverage(boxes, 5, 4), expected, atol=1e-12)


# pointing game


@pytest.mark.parametrize("at", [(0, 0), (3, 4), (7, 9)])
def test_a_point_hits_where_it_lies(at: tuple[int, int]) -> None:
    row, column = at
    around = Box(column, row, column + 1, row + 1)
    mask = point(at) > 0
    others = [Box(0, 0, 10, row), Box(0, row + 1, 10, 8)]
    assert metrics.pointing_game(point(at), boxes=[around], tolerance=0)
    assert metrics.pointing_game(point(at), mask=mask, tolerance=0)
    assert not metrics.pointing_game(point(at), boxes=others, tolerance=0.4)
    assert not metrics.pointing_game(point(at), mask=~mask, tolerance=0.9)


def test_the_pointing_game_forgives_what_lies_near() -> None:
    box = [Box(2, 2, 4, 4)]
    # From the centre of the pixel in row 6, column 6 to the corner of the box: 2.5 px each way.
    distance = np.hypot(2.5, 2.5)
    assert metrics.pointing_game(point((6, 6)), boxes=box, tolerance=distance + 1e-9)
    assert not metrics.pointing_game(point((6, 6)), boxes=box, tolerance=distance - 1e-9)
    # The distance to a mask is that to its nearest pixel's centre: 3 px each way.
    mask = coverage(box, 10, 8) > 0
    assert metrics.pointing_game(point((6, 6)), mask=mask, tolerance=np.hypot(3, 3) + 1e-9)
    assert not metrics.pointing_game(point((6, 6)), mask=mask, tolerance=np.hypot(3, 3) - 1e-9)


def test_the_pointing_game_forgives_15_px_of_500() -> None:
    box = [Box(0, 0, 40, 1)]
    for column, hit in [(54, True), (55, False)]:
        assert metrics.pointing_game(point((0, column), (30, 500)), boxes=box) == hit
        assert metrics.pointing_game(point((column, 0), (500, 30)), boxes=[Box(0, 0, 1, 40)]) == hit
    for column, hit in [(42, True), (43, False)]:
        assert metrics.pointing_game(point((0, column), (30, 100)), boxes=box) == hit


def test_reachable_pixels_are_those_that_hit() -> None:
    mask = random_mask(8, 10) & random_mask(8, 10, seed=1)
    boxes = [Box(1.3, 2, 3, 2.2), Box(6, 5, 8, 8)]
    for place in ({"mask": mask}, {"boxes": boxes}):
        found = reachable(10, 8, tolerance=1.3, **place)
        hits = [
            [
                metrics.pointing_game(point((row, column)), tolerance=1.3, **place)
                for column in range(10)
            ]
            for row in range(8)
        ]
        np.testing.assert_array_equal(found, hits)
        assert 0 < found.mean() < 1


def test_of_several_hottest_pixels_the_first_counts() -> None:
    heat = point((2, 3)) + point((5, 1))
    assert metrics.pointing_game(heat, boxes=[Box(3, 2, 4, 3)], tolerance=0)
    assert not metrics.pointing_game(heat, boxes=[Box(1, 5, 2, 6)], tolerance=0)


@pytest.mark.parametrize("value", [0, 0.7])
def test_an_even_map_points_nowhere(value: float) -> None:
    assert not metrics.pointing_game(np.full((4, 5), value), mask=np.ones((4, 5), bool))


def test_an_empty_mask_is_never_hit() -> None:
    empty = np.zeros((8, 10), bool)
    assert not metrics.pointing_game(point((3, 4)), mask=empty, tolerance=100)
    assert metrics.energy_pointing_game(point((3, 4)), mask=empty) == 0
    assert np.isnan(metrics.mass_area_ratio(point((3, 4)), mask=empty))


@imports_quantus
def test_the_pointing_game_is_quantus() -> None:
    import quantus

    heats, masks = random_heat(40, 6, 7), random_mask(40, 6, 7)
    shape = (40, 1, 6, 7)
    metric = quantus.PointingGame(disable_warnings=True)
    expected = metric(
        None, np.zeros(shape), None, a_batch=heats.reshape(shape), s_batch=masks.reshape(shape)
    )
    found = [
        bool(metrics.pointing_game(heat, mask=mask, tolerance=0))
        for heat, mask in zip(heats, masks, strict=True)
    ]
    assert found == list(expected)
    assert 0 < sum(found) < 40


# energy and density


@pytest.mark.parametrize("value", [0.2, 3])
def test_even_heat_is_as_dense_on_the_object_as_elsewhere(value: float) -> None:
    mask = random_mask(6, 7)
    heat = np.full((6, 7), value)
    assert metrics.energy_pointing_game(heat, mask=mask) == pytest.approx(mask.mean())
    assert metrics.mass_area_ratio(heat, mask=mask) == pytest.approx(1)


def test_heat_equal_to_the_mask_lies_on_it() -> None:
    mask = random_mask(6, 7)
    for heat, share in ((mask, 1), (~mask, 0)):
        assert metrics.energy_pointing_game(heat, mask=mask) == pytest.approx(share)
        assert metrics.mass_area_ratio(heat, mask=mask) == pytest.approx(share / mask.mean())


def test_a_pixel_counts_by_its_share_inside_a_box() -> None:
    box = [Box(4.25, 3, 5, 3.5)]
    assert metrics.energy_pointing_game(point((3, 4)), boxes=box) == pytest.approx(0.375)
    assert metrics.mass_area_ratio(point((3, 4)), boxes=box) == pytest.approx(80)
    np.testing.assert_allclose(
        metrics.energy_pointing_game(random_heat(8, 10), boxes=box),
        metrics.energy_pointing_game(random_heat(8, 10), mask=coverage(box, 10, 8)),
    )


def test_without_heat_there_is_no_share() -> None:
    mask = random_mask(4, 5)
    assert np.isnan(metrics.energy_pointing_game(np.zeros((4, 5)), mask=mask))
    assert np.isnan(metrics.mass_area_ratio(np.zeros((4, 5)), mask=mask))


@imports_quantus
def test_energy_is_quantus_attribution_localisation_and_mass_accuracy() -> None:
    import quantus

    heats, masks = random_heat(10, 6, 7), random_mask(10, 6, 7)
    shape = (10, 1, 6, 7)
    found = [
        metrics.energy_pointing_game(heat, mask=mask)
        for heat, mask in zip(heats, masks, strict=True)
    ]
    for metric in (
        quantus.AttributionLocalisation(disable_warnings=True),
        quantus.RelevanceMassAccuracy(disable_warnings=True),
    ):
        expected = metric(
            None, np.zeros(shape), None, a_batch=heats.reshape(shape), s_batch=masks.reshape(shape)
        )
        # Quantus adds 1e-9 to one of the totals.
        np.testing.assert_allclose(found, expected, rtol=1e-8)


# the hottest pixels


def test_the_hottest_pixels_are_as_many_as_the_object_has() -> None:
    heat = np.array([[9, 8, 1], [7, 0, 2]])
    mask = np.array([[1, 0, 0], [1, 0, 1]])
    assert metrics.relevance_rank_accuracy(heat, mask=mask) == pytest.approx(2 / 3)
    assert metrics.relevance_rank_accuracy(-heat, mask=mask) == pytest.approx(1 / 3)
    assert metrics.relevance_rank_accuracy(heat, boxes=[Box(0, 0, 3, 1)]) == pytest.approx(2 / 3)


def test_a_map_that_is_its_mask_has_all_of_its_hottest_pixels_on_it() -> None:
    mask = random_mask(6, 7)
    assert metrics.relevance_rank_accuracy(mask, mask=mask) == 1
    # Of the other pixels, all tie: those for which the object's own leave no place are not counted.
    assert metrics.relevance_rank_accuracy(~mask, mask=mask) == 0


def test_pixels_that_tie_count_in_equal_parts_wherever_they_are() -> None:
    heat, mask = point((0, 0)), np.zeros((8, 10), bool)
    mask[0, :5] = True
    # One pixel is the hottest, and of 79 that tie for four places, four are on the object.
    expected = (1 + 4 * 4 / 79) / 5
    for flipped in (slice(None), slice(None, None, -1)):
        found = metrics.relevance_rank_accuracy(heat[:, flipped], mask=mask[:, flipped])
        assert found == pytest.approx(expected)


def test_a_pixel_of_which_a_part_is_in_a_box_counts_by_it() -> None:
    # 1.5 pixels: the hottest one, which is inside, and half of the next, of which half is.
    found = metrics.relevance_rank_accuracy([[4, 3, 2, 1]], boxes=[Box(0, 0, 1.5, 1)])
    assert found == pytest.approx((1 + 0.5 * 0.5) / 1.5)
    whole = metrics.relevance_rank_accuracy([[4, 3, 2, 1]], boxes=[Box(-1, -1, 9, 9)])
    assert whole == pytest.approx(1)


@pytest.mark.parametrize("value", [0, 0.7, float("nan")])
def test_a_map_without_an_order_has_no_hottest_pixels(value: float) -> None:
    heats = np.stack([np.full((6, 7), value), random_heat(6, 7)])
    found = metrics.relevance_rank_accuracy(heats, mask=random_mask(6, 7))
    assert np.isnan(found).tolist() == [True, False]


def test_an_object_without_pixels_has_no_rank_accuracy() -> None:
    found = metrics.relevance_rank_accuracy(random_heat(3, 6, 7), mask=np.zeros((6, 7)))
    assert found.shape == (3,)
    assert np.isnan(found).all()


@imports_quantus
def test_rank_accuracy_is_quantus_where_no_pixels_tie() -> None:
    import quantus

    heats, masks = np.random.default_rng(3).random((10, 6, 7)), random_mask(10, 6, 7)
    shape = (10, 1, 6, 7)
    found = [
        metrics.relevance_rank_accuracy(heat, mask=mask)
        for heat, mask in zip(heats, masks, strict=True)
    ]
    metric = quantus.RelevanceRankAccuracy(disable_warnings=True)
    expected = metric(
        None, np.zeros(shape), None, a_batch=heats.reshape(shape), s_batch=masks.reshape(shape)
    )
    np.testing.assert_allclose(found, expected)
    assert np.ptp(found) > 0.1


# measures of one object


@on_the_object
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_stack_gives_the_measures_of_its_single_maps(figure: Figure, dtype: Any) -> None:
    heats = (10 * random_heat(2, 3, 8, 10)).astype(dtype)
    heats[1, 0] = 0
    for place in ({"mask": random_mask(8, 10)}, {"boxes": [Box(1.5, 2, 5, 4), Box(6, 6, 9, 8)]}):
        found = figure(heats, **place)
        assert found.shape == (2, 3)
        assert found.dtype == (bool if figure is metrics.pointing_game else np.float64)
        one_by_one = [[figure(heat, **place) for heat in row] for row in heats]
        np.testing.assert_allclose(found, one_by_one, rtol=1e-6)


@on_the_object
def test_either_boxes_or_a_mask_are_needed(figure: Figure) -> None:
    box, mask = Box(0, 0, 1, 1), np.ones((2, 2), bool)
    for place in ({}, {"boxes": [box], "mask": mask}):
        with pytest.raises(ArgumentError, match="either boxes around the object or a mask of it"):
            figure(np.ones((2, 2)), **place)


@on_the_object
def test_a_mask_of_another_shape_is_refused(figure: Figure) -> None:
    with pytest.raises(ArgumentError, match=r"mask's shape is \(2, 3\), the map's \(3, 2\)"):
        figure(np.ones((3, 2)), mask=np.ones((2, 3), bool))


@on_the_object
@pytest.mark.parametrize("shape", [(3,), (0, 3)])
def test_arrays_that_are_not_maps_are_refused(figure: Figure, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ArgumentError, match=r"heat must be \(\.\.\., height, width\), not of shape"
    ):
        figure(np.zeros(shape), boxes=[Box(0, 0, 1, 1)])


# boxes around heat


def test_boxes_of_a_point_in_closed_form() -> None:
    heat = point((1, 1), (3, 3))
    # A triangle over the middle cell: above a threshold t it extends 1 - t cells to each side.
    for threshold in (0.2, 0.5, 0.9):
        half = 1 - threshold
        box = Box(1.5 - half, 1.5 - half, 1.5 + half, 1.5 + half)
        assert metrics.box_ious(heat, [box], thresholds=[threshold]) == pytest.approx(1)
        wider = Box(box.left - half, box.top, box.right, box.bottom)
        assert metrics.box_ious(heat, [wider], thresholds=[threshold]) == pytest.approx(2 / 3)


def test_a_constant_map_has_one_box_around_the_whole() -> None:
    found = metrics.box_ious(np.full((4, 6), 3.0), [Box(0, 0, 3, 4)])
    assert found.tolist() == [0.5, *[0] * 19]


def test_the_whole_is_at_or_above_the_lowest_threshold() -> None:
    found = metrics.box_ious(random_heat(6, 5), [Box(0, 0, 5, 3)], thresholds=[0])
    assert found == pytest.approx(0.5)


def test_the_best_box_counts_or_on_request_that_of_the_largest_part() -> None:
    heat = np.zeros((9, 9))
    heat[1:3, 1:3], heat[6, 7] = 1, 1
    small, large = Box(7, 6, 8, 7), Box(1, 1, 3, 3)
    for boxes in ([small], [small, Box(0, 8, 1, 9)]):
        assert metrics.box_ious(heat, boxes, thresholds=[0.5]) == pytest.approx(1)
        assert metrics.box_ious(heat, boxes, thresholds=[0.5], largest=True) == 0
    assert metrics.box_ious(heat, [large], thresholds=[0.5], largest=True) == pytest.approx(1)


def test_boxes_are_refused_where_they_miss_or_the_map_is_a_stack() -> None:
    with pytest.raises(ArgumentError, match="boxes around the object"):
        metrics.box_ious(np.ones((2, 2)), [])
    with pytest.raises(ArgumentError, match=r"heat must be \(height, width\), not of shape"):
        metrics.box_ious(np.ones((1, 2, 2)), [Box(0, 0, 1, 1)])


# against OpenCV's contours, which Choe et al. 2020 use to draw boxes around heat

FINE = 25  # px per cell; an odd number puts a px on each cell's centre, where the extremes are


def blobs(cells: int, seed: int) -> NDArray[np.float64]:
    """Return a map of one to four Gaussians, scaled to [0, 1]."""
    draw = np.random.default_rng(seed)
    centres = np.arange(cells) + 0.5
    heat = np.zeros((cells, cells))
    for _ in range(draw.integers(1, 5)):
        (y, x), spread = draw.uniform(0, cells, 2), draw.uniform(0.6, 1.8)
        squared = (centres[:, None] - y) ** 2 + (centres - x) ** 2
        heat += draw.uniform(0.3, 1) * np.exp(-squared / (2 * spread**2))
    return (heat - heat.min()) / np.ptp(heat)


def some_box(cells: int, seed: int) -> Box:
    left, top, width, height = np.random.default_rng(seed).uniform([0, 0, 1.5, 1.5], [4, 4, 4, 4])
    return Box(left, top, left + width, top + height).clip(cells, cells)


def contours(heat: NDArray[np.float64], threshold: float) -> tuple[list[Box], list[float]]:
    """Return the boxes around heat drawn at 25 px per cell, in cells, and the parts' areas."""
    cells = heat.shape[0]
    drawn = cv2.resize(heat, (cells * FINE, cells * FINE), interpolation=cv2.INTER_LINEAR)
    hot = cv2.threshold(drawn, threshold, 255, cv2.THRESH_BINARY)[1].astype(np.uint8)
    found, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for left, top, width, height in map(cv2.boundingRect, found):
        boxes.append(Box(left, top, left + width, top + height).scale(1 / FINE, 1 / FINE))
    return boxes, [cv2.contourArea(each) for each in found]


def iou(one: Box, other: Box) -> float:
    common = one.intersect(other)
    shared = 0 if common is None else common.width * common.height
    return shared / (one.width * one.height + other.width * other.height - shared)


def slack(drawn: Sequence[Box], wanted: Box) -> float:
    """Return the error of an intersection over union when each edge of a box is half a px off.

    An area that is added to a box or taken from it changes the figure by at most its share of the
    union, and so of the box that is wanted.
    """
    edge = 0.5 / FINE
    rims = [2 * edge * (box.width + box.height) + 4 * edge**2 for box in drawn]
    return max(rims) / (wanted.width * wanted.height) + 1e-6


@pytest.mark.parametrize("cells", [5, 7, 11, 14])
def test_boxes_are_those_of_contours(cells: int) -> None:
    off, off_largest, told = [], [], 0
    for seed in range(40):
        heat, wanted = blobs(cells, seed), some_box(cells, seed)
        found = metrics.box_ious(heat, [wanted])
        largest = metrics.box_ious(heat, [wanted], largest=True)
        for at, threshold in enumerate(THRESHOLDS[1:], 1):
            drawn, areas = contours(heat, threshold)
            expected = [iou(box, wanted) for box in drawn]
            allowed = slack(drawn, wanted)
            off.append(abs(found[at] - max(expected)) > allowed)
            order = np.argsort(areas)
            if len(areas) == 1 or areas[order[-1]] > 2 * areas[order[-2]]:
                off_largest.append(abs(largest[at] - expected[order[-1]]) > allowed)
                told += len(areas) > 1
    # Where two parts almost touch diagonally, only one of the drawings may join them.
    assert np.mean(off) < 0.005
    assert np.mean(off_largest) < 0.01
    assert told > 20


def test_max_box_acc_is_that_of_a_loop() -> None:
    heats = [blobs(7, seed) for seed in range(20)]
    boxes = [[some_box(7, seed), some_box(7, seed + 100)] for seed in range(20)]

    @cache
    def overlaps(threshold: float, *, largest: bool) -> list[float]:
        return [
            metrics.box_ious(heat, own, thresholds=[threshold], largest=largest)[0]
            for heat, own in zip(heats, boxes, strict=True)
        ]

    def best(overlap: float, *, largest: bool) -> float:
        found = [np.array(overlaps(each, largest=largest)) for each in THRESHOLDS]
        return float(max((each >= overlap).mean() for each in found))

    for overlap in (0.3, 0.5):
        assert metrics.max_box_acc(heats, boxes, overlap=overlap) == best(overlap, largest=True)
    expected = np.mean([best(overlap, largest=False) for overlap in (0.3, 0.5, 0.7)])
    found = metrics.max_box_acc_v2(heats, boxes)
    assert found == pytest.approx(expected)
    assert 0 < found < metrics.max_box_acc_v2(heats, boxes, overlaps=[0.3]) < 1


def test_each_overlap_has_one_threshold_for_all_images() -> None:
    heat = point((2, 2), (5, 5))
    # The triangle fits one box at 0.2 and the other at 0.8.
    boxes = [[Box(2.5 - half, 2.5 - half, 2.5 + half, 2.5 + half)] for half in (0.8, 0.2)]
    for accuracy in (metrics.max_box_acc, metrics.max_box_acc_v2):
        assert accuracy([heat, heat], boxes) == 0.5
        assert accuracy([heat, heat], [boxes[0], boxes[0]]) == 1
    assert metrics.max_box_acc([heat, heat], boxes, thresholds=[0.2]) == 0.5
    assert metrics.max_box_acc([heat, heat], boxes, thresholds=[0.5]) == 0


@pytest.mark.parametrize("accuracy", [metrics.max_box_acc, metrics.max_box_acc_v2])
@pytest.mark.parametrize(("heats", "boxes"), [(0, 0), (1, 2), (2, 1)])
def test_one_set_of_boxes_an_image_is_needed(accuracy: Figure, heats: int, boxes: int) -> None:
    with pytest.raises(
        ArgumentError, match=f"one set of boxes per image, not {boxes} for {heats} images"
    ):
        accuracy([np.ones((2, 2))] * heats, [[Box(0, 0, 1, 1)]] * boxes)


# pixels


def test_pixel_average_precision_in_closed_form() -> None:
    mask = random_mask(6, 7)
    even = np.full((6, 7), 0.3)
    assert metrics.pixel_average_precision([mask.astype(float)], [mask]) == pytest.approx(1)
    # All pixels at once, and those off the object first.
    assert metrics.pixel_average_precision([even], [mask]) == pytest.approx(mask.mean())
    assert metrics.pixel_average_precision([(~mask).astype(float)], [mask]) == pytest.approx(
        mask.mean()
    )
    # A point on the object: precision 1 for the first pixel; for the others, that of all pixels.
    at = tuple(np.argwhere(mask)[0])
    first = 1 / mask.sum()
    found = metrics.pixel_average_precision([point(at, (6, 7))], [mask])  # type: ignore[arg-type]
    assert found == pytest.approx(first + (1 - first) * mask.mean())


def test_no_pixel_on_any_object_gives_no_precision() -> None:
    assert np.isnan(metrics.pixel_average_precision([random_heat(3, 3)], [np.zeros((3, 3), bool)]))


def in_levels(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.minimum(np.floor((heat - heat.min()) / np.ptp(heat) * LEVELS), LEVELS - 1)


@pytest.mark.parametrize("ignoring", [False, True])
def test_pixel_average_precision_is_scikit_learns(ignoring: bool) -> None:
    shapes = [(20, 30), (11, 7), (25, 25)]
    heats = [
        scale * random_heat(*shape, seed=9)
        for scale, shape in zip((1, 9, 0.1), shapes, strict=True)
    ]
    masks = [
        random_mask(*shape, seed=3) | (heat > 1.5 * scale)
        for shape, heat, scale in zip(shapes, heats, (1, 9, 0.1), strict=True)
    ]
    unknown = [random_mask(*shape, seed=4) for shape in shapes]
    kept = [~each if ignoring else np.ones_like(each) for each in unknown]
    found = metrics.pixel_average_precision(
        heats, masks, ignored=[unknown[0], unknown[1], unknown[2]] if ignoring else None
    )
    truth = np.concatenate([mask[keep] for mask, keep in zip(masks, kept, strict=True)])
    for scaled, allowed in ((in_levels, 1e-12), (lambda heat: heat / heat.max(), 0.01)):
        scores = np.concatenate(
            [scaled(heat)[keep] for heat, keep in zip(heats, kept, strict=True)]
        )
        assert found == pytest.approx(average_precision_score(truth, scores), abs=allowed)


def test_some_images_may_have_nothing_to_ignore() -> None:
    heats, masks = random_heat(2, 6, 7), random_mask(2, 6, 7)
    unknown = random_mask(6, 7, seed=8)
    found = metrics.pixel_average_precision(heats, masks, ignored=[unknown, None])
    nowhere = np.zeros_like(unknown)
    assert found == metrics.pixel_average_precision(heats, masks, ignored=[unknown, nowhere])
    assert found != metrics.pixel_average_precision(heats, masks)


def test_pixels_of_a_stack_are_those_of_its_single_maps() -> None:
    heats, mask, unknown = random_heat(2, 3, 6, 7), random_mask(6, 7), random_mask(6, 7, seed=1)
    for ignored in (None, unknown):
        found = pixel_precision.pixel_levels(heats, mask, ignored)
        assert found.shape == (2, 3, 2, LEVELS)
        one_by_one = [
            [pixel_precision.pixel_levels(heat, mask, ignored) for heat in row] for row in heats
        ]
        np.testing.assert_array_equal(found, one_by_one)
        counted = np.ones_like(mask) if ignored is None else ~ignored
        expected = [(~mask & counted).sum(), (mask & counted).sum()]
        assert (found.sum(-1) == expected).all()
    averages = pixel_precision.average_precision(pixel_precision.pixel_levels(heats, mask))
    assert averages.shape == (2, 3)
    alone = metrics.pixel_average_precision([heats[1, 2]], [mask])
    assert averages[1, 2] == pytest.approx(alone)


@pytest.mark.parametrize(
    ("masks", "ignored"),
    [(1, None), (3, None), (2, 1), (0, 0)],
    ids=["few", "many", "ignored", "none"],
)
def test_one_mask_an_image_is_needed(masks: int, ignored: int | None) -> None:
    heats = [np.eye(2)] * (2 if masks else 0)
    with pytest.raises(ArgumentError, match="give one mask per image, not"):
        metrics.pixel_average_precision(
            heats, [np.eye(2)] * masks, ignored=None if ignored is None else [None] * ignored
        )


# the centre baseline


def test_the_centre_map_is_a_gaussian_of_a_quarter_of_the_sides() -> None:
    found = centre_map(9, 5)
    assert found.shape == (5, 9)
    assert found.dtype == np.float32
    assert found[2, 4] == 1
    np.testing.assert_array_equal(found, found[::-1, ::-1])
    # Two px from the middle of nine, and one px from the middle of five.
    assert found[1, 6] == pytest.approx(np.exp(-((2 / 9 / 0.25) ** 2 + (1 / 5 / 0.25) ** 2) / 2))


@pytest.mark.parametrize("measure", ["energy_pointing_game", "mass_area_ratio"])
def test_shares_of_negative_heat_are_refused(measure: str) -> None:
    with pytest.raises(ArgumentError, match="heat must be >= 0: the share of negative heat"):
        getattr(metrics, measure)([[2.0, 0.0], [0.0, -5.0]], boxes=[Box(0, 0, 1, 1)])
