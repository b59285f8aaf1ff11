"""Polygons and run lengths of COCO as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from effcam.errors import AnnotationError
from effcam.images.annotations import coco_masks
from effcam.images.annotations.coco_masks import decompress

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fill(*points: float, height: int = 4, width: int = 6) -> NDArray[np.bool_]:
    return coco_masks.fill(np.reshape(np.array(points, float), (-1, 2)), height, width)


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("start", range(4))
def test_square_of_four_is_sixteen_pixels(way: int, start: int) -> None:
    corners = np.roll([(0, 0), (4, 0), (4, 4), (0, 4)], start, axis=0)[::way]
    assert fill(*corners.ravel()).sum() == 16


def test_edges_between_centres_do_not_matter() -> None:
    # The centres from 0.5 to 3.5 lie in all of these.
    for edge in (0.01, 0.3, 0.49):
        assert fill(edge, edge, 4 - edge, edge, 4 - edge, 4 - edge, edge, 4 - edge).sum() == 16
    assert fill(0.6, 0.6, 3.4, 0.6, 3.4, 3.4, 0.6, 3.4).sum() == 4


def test_areas_are_those_of_geometry() -> None:
    # No edge runs through the centres of many pixels, which would all fall to one side.
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = 100 + 80 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert coco_masks.fill(circle, 200, 200).sum() == pytest.approx(np.pi * 80**2, rel=1e-3)
    triangle = fill(10.2, 10.1, 190.3, 33.4, 40.7, 175.9, height=200, width=200)
    assert triangle.sum() == pytest.approx((180.1 * 165.8 - 30.5 * 23.3) / 2, rel=1e-3)


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    above, below = fill(0, 0, 4, 0, 4, 4), fill(0, 0, 4, 4, 0, 4)
    assert not (above & below).any()
    assert (above | below).sum() == 16


def test_every_pixel_agrees_with_the_textbook() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.uniform(-3, 12, (7, 2))
        inside = fill(*corners.ravel(), height=9, width=9)
        for row, column in np.ndindex(9, 9):
            x, y = column + 0.5, row + 0.5
            crossings = 0
            for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, 0), strict=True):
                crossings += (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1
            assert inside[row, column] == crossings % 2


def test_polygon_may_leave_the_image_or_hold_nothing() -> None:
    assert fill(-9, -9, 99, -9, 99, 99, -9, 99).all()
    assert not fill(20, 0, 30, 0, 30, 9).any()
    assert not fill(-20, 0, -30, 0, -30, 9).any()
    assert not fill(1, 1, 4, 1, 2, 1).any()


def compress(lengths: list[int]) -> str:
    """Return run lengths in COCO's compressed form, one number after the other."""
    text = ""
    for index, length in enumerate(lengths):
        number = length - lengths[index - 2] if index > 2 else length
        while True:
            bits, number = number & 0x1F, number >> 5
            more = number != (-1 if bits & 0x10 else 0)
            text += chr(48 + bits + 0x20 * more)
            if not more:
                break
    return text


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("0", [0]),
        ("?", [15]),
        ("`0", [16]),  # 16 alone would set the sign bit
        ("o0", [31]),
        ("P1", [32]),
        ("23b0N", [2, 3, 18, 1]),  # the fourth is 1 - 3
        ("0234O", [0, 2, 3, 6, 2]),
        ("PPPPP8", [2**28]),
    ],
)
def test_compressed_run_lengths_made_by_hand(text: str, lengths: list[int]) -> None:
    assert decompress(text).tolist() == lengths
    assert compress(lengths) == text


def test_compressed_run_lengths_are_decoded() -> None:
    rng = np.random.default_rng(0)
    for most in (2, 40, 5000, 2**20, 2**28):
        lengths = rng.integers(0, most, 301).tolist()
        assert decompress(compress(lengths)).tolist() == lengths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected compressed run lengths, found ''"),
        ("23b", "expected compressed run lengths, found '23b'"),
        ("2 3", "expected compressed run lengths, found '2 3'"),
        ("2p", "expected compressed run lengths, found '2p'"),
        ("2\u00e9", "expected compressed run lengths"),
        ("2\ud800", "expected compressed run lengths"),
        ("ooooooooooooooo0", "found a number of 16 characters"),
    ],
)
def test_broken_compressed_run_lengths_are_refused(text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        decompress(text)
