"""Masks of a COCO file, from polygons or run lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import entry_value
from effcam.images.annotations.parsing import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PIXELS = 2**28  # more than Pillow opens
MOST_CHARACTERS = 7  # 35 bits, which hold the difference of any two run lengths


@dataclass(frozen=True, slots=True)
class Region:
    """A segmentation of COCO: polygons of (n, 2) x and y, or run lengths down the columns."""

    crowd: bool
    polygons: tuple[NDArray[np.float64], ...] = ()
    runs: NDArray[np.int64] | None = None

    def draw(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the (height, width) bool pixels of the region."""
        if self.runs is not None:
            values = np.arange(len(self.runs)) % 2 == 1
            return np.repeat(values, self.runs).reshape(width, height).T
        inside = np.zeros((height, width), bool)
        for polygon in self.polygons:
            inside |= fill(polygon, height, width)
        return inside


def image_size(image: Mapping[str, Any]) -> tuple[int, int]:
    """Return the height and width of an image in px."""
    height, width = entry_value(image, "height", int), entry_value(image, "width", int)
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise AnnotationError(f"an image cannot be {shown(width)} x {shown(height)} px")
    return height, width


def parse_region(segmentation: object, crowd: bool, size: tuple[int, int]) -> Region:
    """Return the region of a segmentation in an image of a height and width."""
    if isinstance(segmentation, dict):
        return Region(crowd, runs=_runs(segmentation, size))
    if not isinstance(segmentation, list) or not segmentation:
        raise AnnotationError(
            "expected a segmentation: a list of polygons, or run lengths, found "
            f"{shown(segmentation)}"
        )
    return Region(crowd, tuple(_polygon(points) for points in segmentation))


def _runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the lengths of runs outside, inside, outside and so on, column by column."""
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        lengths = decompress(counts)
    else:
        lengths = _numbers(counts, "iu", "whole numbers as run lengths").astype(np.int64)
    if segmentation.get("size") != list(size):
        raise AnnotationError(
            f"expected run lengths of size [height, width] = {list(size)}, found "
            f"{shown(segmentation.get('size'))}"
        )
    # Check more than the sum, which negative lengths or an overflow could make right.
    if lengths.min() < 0 or lengths.max() > MOST_PIXELS or lengths.sum() != size[0] * size[1]:
        raise AnnotationError(
            f"expected run lengths that add up to {size[0] * size[1]} pixels, found {lengths.sum()}"
        )
    return lengths


def decompress(text: str) -> NDArray[np.int64]:
    """Return the run lengths of COCO's compressed form (LEB128 in printable characters).

    A character is 48 plus six bits: five of a number, the lowest first, and 0x20 if more follow.
    Bit 0x10 of a number's last character is its sign. From the fourth number on, each is the
    difference from the run length two before.

    Args:
        text: The ``counts`` of a segmentation.

    Raises:
        AnnotationError: If a character is not one of the 64, or the text ends within a number.

    >>> decompress("23b0N").tolist()
    [2, 3, 18, 1]
    """
    codes = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
    ends = codes & 0x20 == 0
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not ends[-1]:
        raise AnnotationError(f"expected compressed run lengths, found {shown(text)}")
    starts = np.flatnonzero(np.r_[True, ends[:-1]])
    sizes = np.diff(np.r_[starts, codes.size])
    if sizes.max() > MOST_CHARACTERS:
        raise AnnotationError(
            f"expected compressed run lengths, found a number of {sizes.max()} characters"
        )
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, sizes))
    lengths = np.add.reduceat((codes & 0x1F) << shifts, starts)
    negative = codes[ends] & 0x10 != 0
    lengths[negative] -= 1 << 5 * sizes[negative]
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths


def compress(lengths: NDArray[np.int64]) -> str:
    """Return run lengths in COCO's compressed form, which `decompress` reads.

    Args:
        lengths: (n,) int64, >= 0.

    >>> compress(np.array([2, 3, 18, 1]))
    '23b0N'
    """
    numbers = lengths.astype(np.int64)
    numbers[3:] -= lengths[1:-2]
    return "".join(map(_characters, numbers.tolist()))


def _characters(number: int) -> str:
    """Return a signed number, five bits a character, the lowest first."""
    found = ""
    while True:
        bits, number = number & 0x1F, number >> 5
        # The highest bit of the last five is the sign.
        if number == (-1 if bits & 0x10 else 0):
            return found + chr(48 + bits)
        found += chr(48 + bits + 0x20)


def run_lengths(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of runs outside, inside, outside and so on, down the columns.

    Args:
        mask: (height, width) bool.

    >>> run_lengths(np.array([[False, True], [True, True]])).tolist()
    [1, 3]
    """
    values = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(values[1:] != values[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]]))


def _polygon(points: object) -> NDArray[np.float64]:
    """Return the (n, 2) float64 x and y of a polygon's corners in px."""
    values = _numbers(points, "iuf", "numbers x, y, x, y, ... as a polygon").astype(np.float64)
    if len(values) < 6 or len(values) % 2:
        raise AnnotationError(
            f"expected three points or more, x and y of each, found {len(values)} numbers"
        )
    if not np.abs(values).max() < MOST_PIXELS:  # also false for NaN
        raise AnnotationError(f"expected points in an image, found {shown(points)}")
    return values.reshape(-1, 2)


def _numbers(values: object, kinds: str, expected: str) -> NDArray[Any]:
    """Return a list of JSON as an array, if its dtype is of one of the kinds."""
    try:
        array = np.asarray(values if isinstance(values, list) else None)
    except ValueError:  # lists of several lengths
        array = np.empty(0, object)
    if array.ndim != 1 or not array.size or array.dtype.kind not in kinds:
        raise AnnotationError(f"expected {expected}, found {shown(values)}")
    return array


def fill(polygon: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return the (height, width) bool pixels whose centres lie in a polygon.

    Pillow rounds the corners of polygons to whole numbers and includes both edges: a square of 4 px
    would be 25 pixels.
    """
    (x, y), (next_x, next_y) = polygon.T, np.roll(polygon, -1, axis=0).T
    centres = np.arange(height)[:, None] + 0.5
    # Half-open, so that a corner at the height of a centre counts for one of its two edges.
    row, edge = np.nonzero((y <= centres) != (next_y <= centres))
    slope = (next_x[edge] - x[edge]) / (next_y[edge] - y[edge])
    crossing = x[edge] + slope * (row + 0.5 - y[edge])
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
    turns = np.zeros((height, width + 1), bool)
    np.logical_xor.at(turns, (row, column), True)
    filled: NDArray[np.bool_] = np.logical_xor.accumulate(turns, axis=1)[:, :-1]
    return filled
