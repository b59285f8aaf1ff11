"""Boxes around hot parts, exact to a fraction of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from effcam import Box
from effcam.cam import heat_boxes
from effcam.cam.heat_boxes import COARSE, part_ious

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANY, LARGEST = 0, 1


def fit(
    heat: NDArray[np.floating],
    threshold: float,
    *boxes: Box,
    canvas: Box | None = None,
    size: tuple[float, float] | None = None,
) -> NDArray[np.float64]:
    """Return how well the best and the largest part fit one of the boxes, with cells of 1 px."""
    height, width = heat.shape
    found = part_ious(
        heat[None],
        [canvas or Box(0, 0, width, height)],
        [boxes],
        np.array([[threshold]]),
        [Box(0, 0, *(size or (width, height)))],
    )
    assert found.shape == (1, 2, 1)
    return found[0, :, 0]


def hot(shape: tuple[int, int], *cells: tuple[int, int]) -> NDArray[np.float64]:
    heat = np.zeros(shape)
    for cell in cells:
        heat[cell] = 1
    return heat


exactly = pytest.approx(1, abs=1e-9)


# positions of the edges


@pytest.mark.parametrize("threshold", [0.01, 0.25, 0.5, 0.8, 0.99])
def test_a_hot_cell_is_a_tent_that_ends_where_it_falls_below_the_threshold(
    threshold: float,
) -> None:
    half = 1 - threshold
    box = Box(1.5 - half, 1.5 - half, 1.5 + half, 1.5 + half)
    assert fit(hot((3, 3), (1, 1)), threshold, box) == exactly


@pytest.mark.parametrize(
    ("cell", "left", "top", "right", "bottom"),
    [
        ((0, 0), 0, 0, 1.2, 1.2),
        ((0, 1), 0.8, 0, 2.2, 1.2),
        ((1, 2), 1.8, 0.8, 3, 2.2),
        ((2, 2), 1.8, 1.8, 3, 3),
    ],
)
def test_a_part_at_the_edge_of_the_map_reaches_the_edge_of_the_canvas(
    cell: tuple[int, int], left: float, top: float, right: float, bottom: float
) -> None:
    assert fit(hot((3, 3), cell), 0.3, Box(left, top, right, bottom)) == exactly


def test_edges_lie_where_the_line_between_two_cells_passes_the_threshold() -> None:
    heat = np.array([[0.1, 0.2, 0.1], [0.2, 1, 0.6], [0, 0.3, 0]])
    # From 0.2 to 1 it passes a half at 3/8 of a cell, and from 1 to 0.3 at 5/7; 0.6 is above it.
    box = Box(0.5 + 3 / 8, 0.5 + 3 / 8, 3, 1.5 + 5 / 7)
    assert fit(heat, 0.5, box) == exactly


def test_a_cell_at_the_threshold_is_hot() -> None:
    heat = np.array([[0, 0.5, 1, 0.5, 0]])
    assert fit(heat, 0.5, Box(1.5, 0, 3.5, 1)) == exactly


def test_a_row_of_hot_cells_has_one_box() -> None:
    heat = hot((5, 6), (2, 1), (2, 2), (2, 3), (3, 3))
    assert fit(heat, 0.5, Box(1, 2, 4, 4)) == exactly


@pytest.mark.parametrize("cells", [5, COARSE + 2])
def test_a_box_in_px_follows_its_canvas(cells: int) -> None:
    heat = hot((cells, cells), (2, 3))
    canvas = Box(10, 20, 10 + 8 * cells, 20 + 3 * cells)
    box = Box(3, 2, 4, 3).scale(8, 3).shift(10, 20)
    assert fit(heat, 0.5, box, canvas=canvas, size=(300, 200)) == exactly


def test_boxes_end_where_the_image_does() -> None:
    # The canvas reaches beyond an image of 30 x 40 px on all sides.
    heat, canvas = np.full((5, 5), 0.7), Box(-10, -5, 40, 45)
    assert fit(heat, 0.5, Box(0, 0, 30, 40), canvas=canvas, size=(30, 40)) == exactly
    corner = hot((5, 5), (0, 0))
    assert fit(corner, 0.5, Box(0, 0, 10, 15), canvas=canvas, size=(30, 40)) == pytest.approx(
        0, abs=1e-9
    )
    corner[1, 1] = corner[0, 1] = corner[1, 0] = 1
    assert fit(corner, 0.5, Box(0, 0, 10, 15), canvas=canvas, size=(30, 40)) == exactly


def test_a_part_in_the_padding_has_no_box_in_the_image() -> None:
    heat, canvas = hot((5, 5), (2, 0)), Box(-20, 0, 30, 50)
    assert fit(heat, 0.5, Box(0, 0, 30, 50), canvas=canvas, size=(30, 50)).tolist() == [0, 0]


# connected parts


def test_two_blobs_are_two_parts() -> None:
    heat = hot((5, 7), (1, 1), (3, 4))
    both = (Box(1, 1, 2, 2), Box(4, 3, 5, 4))
    for box in both:
        assert fit(heat, 0.5, box)[ANY] == exactly
    assert fit(heat, 0.5, Box(1, 1, 5, 4))[ANY] < 0.2
    assert fit(heat, 0.5, Box(1, 1, 2, 2), Box(0, 0, 7, 5))[ANY] == exactly


@pytest.mark.parametrize("flip", [False, True])
def test_diagonal_cells_are_one_part_up_to_the_saddle_between_them(flip: bool) -> None:
    heat = hot((4, 4), (1, 1), (2, 2))
    heat = heat[:, ::-1] if flip else heat
    # Between four cells of 1, 0, 0, 1 the surface has a saddle of a half.
    below = 1.5 - 0.51, 2.5 + 0.51
    assert fit(heat, 0.49, Box(below[0], below[0], below[1], below[1])) == exactly
    above = fit(heat, 0.51, Box(1.01, 1.01, 2.99, 2.99))
    assert above == pytest.approx(0.98**2 / 1.98**2)
    for column, row in ((1.5, 1.5), (2.5, 2.5)):
        at = 4 - column if flip else column
        alone = Box(at - 0.49, row - 0.49, at + 0.49, row + 0.49)
        assert fit(heat, 0.51, alone)[ANY] == exactly


def test_a_higher_saddle_joins_for_longer() -> None:
    heat = np.array([[1, 0.4], [0.4, 1]])
    whole = Box(0, 0, 2, 2)
    assert fit(heat, 0.69, whole) == exactly
    assert fit(heat, 0.71, whole)[ANY] < 0.5


def test_diagonal_cells_of_fine_grids_are_one_part() -> None:
    heat = hot((COARSE, COARSE), (4, 4), (5, 5))
    assert fit(heat, 0.6, Box(4.1, 4.1, 5.9, 5.9)) == exactly
    coarse = heat[:, 1:]
    assert fit(coarse, 0.6, Box(3.1, 4.1, 4.9, 5.9))[ANY] < 0.5


@pytest.mark.parametrize("side", [7, COARSE + 1])
def test_the_largest_part_has_the_most_samples_even_if_less_hot(side: int) -> None:
    heat = 0.7 * hot((side, side), (1, 1), (1, 2), (1, 3)) + hot((side, side), (5, 4))
    share = 0.2 / 0.7
    wide = Box(1.5 - share, 1.5 - share, 3.5 + share, 1.5 + share)
    found = fit(heat, 0.5, wide)
    assert found == exactly
    point = fit(heat, 0.5, Box(4, 5, 5, 6))
    assert point[ANY] == exactly
    assert point[LARGEST] == 0
    # Above the heat of the weaker part, only the other one is left.
    assert fit(heat, 0.8, Box(4.3, 5.3, 4.7, 5.7)) == exactly


def test_no_part_fits_nothing() -> None:
    assert fit(hot((3, 3), (1, 1)), 1.01, Box(0, 0, 3, 3)).tolist() == [0, 0]


def test_a_peak_without_extent_has_a_box_without_area() -> None:
    assert fit(hot((3, 3), (1, 1)), 1.0, Box(0, 0, 3, 3)).tolist() == [0, 0]


# many at once


def several() -> tuple[NDArray[np.float64], list[Box], list[list[Box]], NDArray[np.float64]]:
    draw = np.random.default_rng(0)
    heats = draw.random((6, 5, 8)) ** 2
    canvases = [Box(-3 * at, 0, 80 - at, 50 + at) for at in range(6)]
    boxes = [[Box(10 * k, 5 * k, 30, 40) for k in range(1 + at % 3)] for at in range(6)]
    return heats, canvases, boxes, np.sort(draw.random((6, 4)), axis=1)


@pytest.mark.parametrize("at_once", [1, 1000, heat_boxes.AT_ONCE])
def test_maps_and_thresholds_are_measured_as_one_by_one(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heats, canvases, boxes, thresholds = several()
    monkeypatch.setattr(heat_boxes, "AT_ONCE", at_once)
    found = part_ious(heats, canvases, boxes, thresholds, [Box(0, 0, 70, 50)] * 6)
    assert found.shape == (6, 2, 4)
    for at, own in enumerate(thresholds):
        for level, threshold in enumerate(own):
            alone = fit(heats[at], threshold, *boxes[at], canvas=canvases[at], size=(70, 50))
            np.testing.assert_allclose(found[at, :, level], alone, atol=1e-12)
    assert (found[:, ANY] >= found[:, LARGEST]).all()
    assert (found[:, ANY] > found[:, LARGEST]).any()


def test_float32_maps_are_measured_alike() -> None:
    heats, canvases, boxes, thresholds = several()
    rough = part_ious(
        heats.astype(np.float32),
        canvases,
        boxes,
        thresholds.astype(np.float32),
        [Box(0, 0, 70, 50)] * 6,
    )
    fine = part_ious(heats, canvases, boxes, thresholds, [Box(0, 0, 70, 50)] * 6)
    np.testing.assert_allclose(rough, fine, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 8), (14, 16), (1, 6), (1, 1)])
def test_a_map_and_its_boxes_may_be_flipped_and_turned(shape: tuple[int, int]) -> None:
    heats = np.random.default_rng(1).random((20, *shape))
    height, width = shape
    box = Box(0.1 * width, 0.2 * height, 0.6 * width, 0.7 * height)
    flipped = Box(width - box.right, box.top, width - box.left, box.bottom)
    turned = Box(box.top, box.left, box.bottom, box.right)
    for heat in heats:
        for threshold in (0.3, 0.6):
            found = fit(heat, threshold, box)[ANY]
            assert fit(heat[:, ::-1], threshold, flipped)[ANY] == pytest.approx(found)
            assert fit(heat.T, threshold, turned)[ANY] == pytest.approx(found)
