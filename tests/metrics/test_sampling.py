"""Maps and ground truths of one image at the measured size, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from effcam.errors import AnnotationError
from effcam.images.geometry import Box
from effcam.images.truth import Truth
from effcam.metrics.concentration import SAMPLES, effective_area, gini, half_mass_area, match
from effcam.metrics.sampling import (
    COMMON,
    LONGEST,
    focus_samples,
    measured_size,
    on_common_region,
    place_object,
)
from tests.cells import explain

SIZE = (256, 128)
MASK = np.zeros((128, 256), bool)
MASK[32:64, 64:128] = True
BOX = Box(64, 32, 128, 64)
FINE = (1.0, 1.0)
"""Cells so small that no map is brought to their resolution."""


# objects


@pytest.mark.parametrize(
    ("size", "measured"),
    [
        ((256, 128), (128, 64)),
        ((100, 200), (64, 128)),
        ((LONGEST, LONGEST), (LONGEST, LONGEST)),
        ((40, 30), (40, 30)),
        ((1000, 2), (128, 1)),
        ((5000, 5001), (128, 128)),
    ],
)
def test_images_are_measured_at_most_at_128_px(
    size: tuple[int, int], measured: tuple[int, int]
) -> None:
    assert measured_size(size) == measured


def test_a_box_is_scaled_with_its_image() -> None:
    thing = place_object(Truth(boxes=(BOX,)), SIZE, "photo.png")
    assert thing is not None
    assert (thing.width, thing.height) == (128, 64)
    assert thing.boxes == (Box(32, 16, 64, 32),)
    expected = np.zeros((64, 128))
    expected[16:32, 32:64] = 1
    np.testing.assert_array_equal(thing.inside, expected)
    assert thing.mask is thing.ignored is None


def test_a_box_keeps_its_fractions_of_a_px() -> None:
    thing = place_object(Truth(boxes=(Box(3, 1, 6, 2),)), SIZE, "photo.png")
    assert thing is not None
    assert thing.boxes == (Box(1.5, 0.5, 3, 1),)
    np.testing.assert_allclose(thing.inside[0, :4], [0, 0.25, 0.5, 0])
    assert thing.inside.mean() == pytest.approx(3 * 1 / (256 * 128))


def test_boxes_end_where_the_image_does() -> None:
    thing = place_object(Truth(boxes=(Box(-20, 64, 64, 900), BOX)), SIZE, "photo.png")
    assert thing is not None
    assert thing.boxes == (Box(0, 32, 32, 64), Box(32, 16, 64, 32))
    assert thing.inside.mean() == pytest.approx((64 * 64 + 64 * 32) / (256 * 128))


def test_boxes_that_overlap_cover_a_pixel_once() -> None:
    thing = place_object(Truth(boxes=(BOX, BOX)), SIZE, "photo.png")
    assert thing is not None
    assert thing.inside.max() == 1


@pytest.mark.parametrize(
    "box", [Box(256, 0, 300, 50), Box(-9, 0, 0, 50), Box(0, 128, 9, 130), Box(9, -9, 12, 0)]
)
def test_a_box_outside_of_its_image_is_an_error(box: Box) -> None:
    message = r"^image 'photo\.png': the box \(.*\) lies outside its 256 x 128 px$"
    with pytest.raises(AnnotationError, match=message):
        place_object(Truth(boxes=(BOX, box)), SIZE, "photo.png")


def test_a_mask_is_scaled_with_its_image() -> None:
    thing = place_object(Truth(mask=MASK), SIZE, "photo.png")
    assert thing is not None
    assert thing.boxes == ()
    expected = np.zeros((64, 128), bool)
    expected[16:32, 32:64] = True
    np.testing.assert_array_equal(thing.inside, expected)
    assert thing.mask is not None
    assert thing.mask.dtype == bool
    np.testing.assert_array_equal(thing.mask, expected)


def test_a_pixel_is_on_the_mask_if_half_of_it_is() -> None:
    mask = np.zeros((128, 256), bool)
    mask[0, 0] = mask[0, 2] = mask[1, 2] = mask[0, 4] = mask[1, 4] = mask[0, 5] = True
    thing = place_object(Truth(mask=mask), SIZE, "photo.png")
    assert thing is not None
    np.testing.assert_allclose(thing.inside[0, :4], [0.25, 0.5, 0.75, 0], atol=1 / 255)
    assert thing.mask is not None
    assert thing.mask[0, :4].tolist() == [False, True, True, False]


def test_a_pixel_that_is_partly_ignored_is_ignored() -> None:
    ignored = np.zeros_like(MASK)
    ignored[0, 0] = True
    thing = place_object(Truth(mask=MASK, ignored=ignored), SIZE, "photo.png")
    assert thing is not None
    assert thing.ignored is not None
    assert np.argwhere(thing.ignored).tolist() == [[0, 0]]


def test_boxes_take_precedence_over_a_mask() -> None:
    truth = Truth(boxes=(Box(0, 0, 64, 64),), mask=MASK)
    thing = place_object(truth, SIZE, "photo.png")
    assert thing is not None
    assert thing.inside[:32, :32].all()
    assert not thing.inside[:, 32:].any()
    assert thing.mask is not None
    assert thing.mask[16:32, 32:64].all()


def test_an_image_without_annotations_has_no_object() -> None:
    assert place_object(Truth(label=3), SIZE, "photo.png") is None
    assert place_object(Truth(mask=np.zeros_like(MASK)), SIZE, "photo.png") is None


@pytest.mark.parametrize("truth", [Truth(mask=MASK.T), Truth(mask=MASK, ignored=MASK.T)])
def test_a_mask_of_another_size_is_an_error(truth: Truth) -> None:
    message = r"^image 'photo\.png' is 256 x 128 px \(width x height\), its mask 128 x 256 px$"
    with pytest.raises(AnnotationError, match=message):
        place_object(truth, SIZE, "photo.png")


# focus


def test_an_even_map_over_the_whole_image_has_even_samples() -> None:
    samples, areas = focus_samples([explain(np.ones((7, 7)))], [FINE])
    assert samples.shape == (1, SAMPLES, SAMPLES)
    np.testing.assert_allclose(samples, samples[0, 0, 0])
    assert samples[0, 0, 0] > 0
    np.testing.assert_allclose(areas, [SAMPLES**2])


def test_the_image_is_larger_than_the_samples_of_a_crop() -> None:
    cell = explain(np.ones((7, 7)), (200, 100), Box(50, 0, 150, 100))
    _, areas = focus_samples([cell], [FINE])
    np.testing.assert_allclose(areas, [2 * SAMPLES**2])


def test_samples_lie_on_the_image_and_not_on_padding() -> None:
    heat = np.zeros((8, 8))
    heat[:2] = 1  # above the image
    cell = explain(heat, (200, 100), Box(0, -50, 200, 150))
    samples, areas = focus_samples([cell], [FINE])
    # The map falls to 0 between the centres of the second row and the third.
    assert samples[0, 0].max() < 0.5
    assert (samples[0, SAMPLES // 4 :] == 0).all()
    np.testing.assert_allclose(areas, [SAMPLES**2])


@pytest.mark.parametrize("height", [120, 30, 7])
def test_even_heat_on_a_padded_panorama_covers_the_image_and_no_more(height: int) -> None:
    side = 1000
    top = -(side - height) / 2
    cell = explain(np.ones((7, 7)), (side, height), Box(0, top, side, top + side))
    samples, areas = focus_samples([cell], [FINE])
    assert effective_area(samples, area=areas) == pytest.approx(1)
    assert half_mass_area(samples, area=areas) == pytest.approx(0.5)
    assert gini(samples, area=areas) == pytest.approx(0, abs=1e-9)


def test_a_map_is_brought_to_the_coarsest_grids_cells() -> None:
    point = np.zeros((16, 16))
    point[8, 8] = 1
    cell = explain(point, (160, 80))
    samples, _ = focus_samples([cell], [(80 / 4, 160 / 4)])
    expected = match(point[None].astype(np.float32), (0.25, 0.25))
    np.testing.assert_allclose(samples, np.maximum(expected, 0))
    fine, _ = focus_samples([cell], [FINE])
    assert fine.max() > 2 * samples.max()


def test_cells_of_several_grids_and_shapes_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    cells = [
        explain(rng.random((7, 7))),
        explain(rng.random((4, 6)), (96, 64)),
        explain(rng.random((7, 7)), (96, 96), Box(0, -24, 96, 120)),
        explain(rng.random((7, 7))),
    ]
    coarsest = [(24.0, 24.0), FINE, (30.0, 30.0), (24.0, 24.0)]
    samples, areas = focus_samples(cells, coarsest)
    for at, (cell, coarse) in enumerate(zip(cells, coarsest, strict=True)):
        alone, area = focus_samples([cell], [coarse])
        np.testing.assert_allclose(samples[at], alone[0])
        assert areas[at] == area[0]


# the region that two models saw


def test_maps_of_one_region_are_sampled_on_it() -> None:
    heatmap = np.arange(49).reshape(7, 7)
    ((key, (one, other)),) = on_common_region([explain(heatmap), explain(heatmap)]).items()
    assert key == (0, 1)
    assert one.shape == other.shape == (COMMON, COMMON)
    np.testing.assert_array_equal(one, other)
    across = np.arange(COMMON) + 0.5
    inside = (across > COMMON / 14) & (across < COMMON - COMMON / 14)
    np.testing.assert_allclose(np.diff(one[24, inside]), 7 / COMMON, rtol=1e-3)


def test_two_crops_are_compared_where_both_saw_the_image() -> None:
    # The value of both maps is the position in the image; their cells are 2 x 2 px.
    centres = 1 + 2 * np.arange(50)
    cells = [
        explain(np.add.outer(3 * (box.top + centres), box.left + centres), (150, 120), box)
        for box in (Box(0, 0, 100, 100), Box(50, 20, 150, 120))
    ]
    one, other = on_common_region(cells)[0, 1]
    # They have 50 x 80 px in common, starting at (50, 20).
    steps = (np.arange(COMMON) + 0.5) / COMMON
    place = np.add.outer(3 * (20 + 80 * steps), 50 + 50 * steps)
    for found in (one, other):
        # From half a cell inside its edge, a map is unchanged.
        np.testing.assert_allclose(found[1:-1, 1:-1], place[1:-1, 1:-1], rtol=1e-5)


def test_padding_is_not_in_the_common_region() -> None:
    # All heat is on the padding above: on the image both maps are even.
    heatmap = np.zeros((16, 16))
    heatmap[0] = 1
    padded = explain(heatmap, (96, 48), Box(0, -24, 96, 72))
    whole = explain(np.ones((7, 7)), (96, 48))
    one, other = on_common_region([padded, whole])[0, 1]
    assert np.ptp(one) == 0
    assert np.ptp(other) == 0


def test_each_pair_of_several_maps_has_its_own_region() -> None:
    rng = np.random.default_rng(0)
    boxes = [Box(0, 0, 60, 60), Box(0, 0, 60, 60), Box(50, 50, 96, 96), Box(70, 70, 96, 96)]
    cells = [explain(rng.random((5, 5)), canvas=box) for box in boxes]
    found = on_common_region(cells)
    assert set(found) == {(0, 1), (0, 2), (1, 2), (2, 3)}
    for (i, j), (one, other) in found.items():
        alone = on_common_region([cells[i], cells[j]])[0, 1]
        np.testing.assert_array_equal(one, alone[0])
        np.testing.assert_array_equal(other, alone[1])


@pytest.mark.parametrize("state", ["flat", "nan"])
def test_maps_without_evidence_are_left_out(state: str) -> None:
    cells = [explain(np.eye(5)), explain(np.eye(5), state=state), explain(np.eye(5))]
    assert set(on_common_region(cells)) == {(0, 2)}


def test_one_cell_alone_has_nothing_in_common() -> None:
    assert on_common_region([explain(np.eye(5))]) == {}
