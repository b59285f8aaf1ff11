"""Rectangles: moved, cut and intersected; and heatmaps laid on them as OpenCV and torch do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from effcam.images.geometry import Box, interpolation

if TYPE_CHECKING:
    from numpy.typing import NDArray

properties = settings(deadline=None, derandomize=True)


# heatmaps


def heat(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((height, width), dtype=np.float32)


def torch_resize(heatmap: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    maps = torch.from_numpy(heatmap)[None, None]
    size = (height, width)
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)[0, 0].numpy()


@pytest.mark.parametrize(
    ("cells", "height", "width"),
    [((7, 7), 224, 224), ((7, 5), 61, 200), ((1, 1), 9, 8), ((1, 6), 30, 40), ((14, 14), 14, 14)],
)
def test_a_map_over_the_whole_image_is_resized_as_opencv_and_torch_do(
    cells: tuple[int, int], height: int, width: int
) -> None:
    heatmap = heat(*cells)
    values, mask = Box(0, 0, width, height).spread(heatmap, width, height)
    assert (values.dtype, values.shape, mask.dtype) == (np.float32, (height, width), np.bool_)
    assert mask.all()
    opencv = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(values, opencv, atol=1e-5)
    np.testing.assert_allclose(values, torch_resize(heatmap, height, width), atol=1e-5)


@properties
@given(
    left=st.integers(-40, 60),
    top=st.integers(-40, 60),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_a_map_over_a_part_is_the_resized_map_pasted_there(
    left: int, top: int, width: int, height: int, cells: tuple[int, int]
) -> None:
    heatmap = heat(*cells) + 1
    values, mask = Box(left, top, left + width, top + height).spread(heatmap, 50, 40)
    # A ground so large that every box lies on it; the image is a part of it.
    ground = np.zeros((240, 240), np.float32)
    ground[top + 60 : top + 60 + height, left + 60 : left + 60 + width] = torch_resize(
        heatmap, height, width
    )
    expected = ground[60:100, 60:110]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert np.array_equal(mask, expected > 0)


@properties
@given(
    box=st.tuples(*[st.floats(-30, 80)] * 4),
    cells=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_the_mask_holds_the_pixels_whose_centres_lie_in_the_box(
    box: tuple[float, float, float, float], cells: tuple[int, int]
) -> None:
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    assume(right - left > 0.1 and bottom - top > 0.1)
    values, mask = Box(left, top, right, bottom).spread(heat(*cells) + 1, 50, 40)
    x, y = np.arange(50) + 0.5, np.arange(40) + 0.5
    surely = ((x > left + 1e-6) & (x < right - 1e-6))[None] & (
        (y > top + 1e-6) & (y < bottom - 1e-6)
    )[:, None]
    perhaps = ((x > left - 1e-6) & (x < right + 1e-6))[None] & (
        (y > top - 1e-6) & (y < bottom + 1e-6)
    )[:, None]
    assert np.all(mask[surely])
    assert not np.any(mask[~perhaps])
    assert np.all(values[~mask] == 0)
    assert np.all((values[mask] >= 1 - 1e-6) & (values[mask] <= 2 + 1e-6))


def test_a_constant_map_stays_constant_on_fractional_boxes() -> None:
    values, mask = Box(3.3, 2.7, 41.9, 33.1).spread(np.full((7, 7), 0.5, np.float32), 50, 40)
    np.testing.assert_allclose(values[mask], 0.5, atol=1e-6)
    assert mask.sum() == 39 * 30


def test_the_weights_of_interpolation_are_shared_and_cannot_be_changed() -> None:
    weights, inside = interpolation(0.0, 8.0, 4, 8)
    assert interpolation(0.0, 8.0, 4, 8)[0] is weights
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        inside[0] = False


# rectangles


def test_boxes_know_their_sizes_and_parts() -> None:
    box = Box(2, 3, 12, 8)
    assert (box.width, box.height, box.as_tuple()) == (10, 5, (2, 3, 12, 8))
    assert box.scale(2, 10) == Box(4, 30, 24, 80)
    assert box.clip(10, 7) == Box(2, 3, 10, 7)
    assert Box(-5, -6, 50, 60).clip(40, 30) == Box(0, 0, 40, 30)


def test_a_shifted_box_keeps_its_size() -> None:
    assert Box(2, 3, 12, 8).shift(10, -5) == Box(12, -2, 22, 3)
    assert Box(2, 3, 12, 8).shift(10, -5).shift(-10, 5) == Box(2, 3, 12, 8)


@pytest.mark.parametrize(
    ("other", "common"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10)),
        (Box(-5, -5, 20, 20), Box(0, 0, 10, 10)),
        (Box(2, 3, 4, 5), Box(2, 3, 4, 5)),
        (Box(5, -5, 15, 5), Box(5, 0, 10, 5)),
        (Box(9.5, 9.5, 15, 15), Box(9.5, 9.5, 10, 10)),
        (Box(10, 0, 20, 10), None),  # they share an edge, which holds nothing
        (Box(0, 10, 10, 20), None),
        (Box(10, 10, 20, 20), None),
        (Box(20, 0, 30, 10), None),
        (Box(0, -30, 10, -20), None),
    ],
)
def test_what_two_boxes_have_in_common(other: Box, common: Box | None) -> None:
    assert Box(0, 0, 10, 10).intersect(other) == common
    assert other.intersect(Box(0, 0, 10, 10)) == common
