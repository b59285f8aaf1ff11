"""Boxes in pixels of an image, and maps interpolated over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    Interpolation: TypeAlias = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of an image; pixel (0, 0) covers the square from (0, 0) to (1, 1).

    Attributes:
        left: The x of the left edge, px.
        top: The y of the top edge, px.
        right: The x of the right edge, px.
        bottom: The y of the bottom edge, px.

    >>> Box(-10, 0, 60, 40).clip(50, 40)
    Box(left=0.0, top=0, right=50, bottom=40)
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """The width in px."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """The height in px."""
        return self.bottom - self.top

    def as_tuple(self) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) in px."""
        return self.left, self.top, self.right, self.bottom

    def scale(self, x: float, y: float) -> Box:
        """Return the box in an image that is ``x`` times as wide and ``y`` times as tall.

        Args:
            x: The factor for widths.
            y: The factor for heights.
        """
        return Box(self.left * x, self.top * y, self.right * x, self.bottom * y)

    def shift(self, x: float, y: float) -> Box:
        """Return the box, ``x`` px further right and ``y`` px further down.

        Args:
            x: The distance in px; to the left if negative.
            y: The distance in px; up if negative.
        """
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def within(self, frame: Box, width: float, height: float) -> Box:
        """Return the box in px of a picture of ``width`` by ``height`` px that fills a frame.

        Args:
            frame: What the picture covers, in the same px as this box.
            width: The width of the picture in px.
            height: The height of the picture in px.
        """
        moved = self.shift(-frame.left, -frame.top)
        return moved.scale(width / frame.width, height / frame.height)

    def intersect(self, other: Box) -> Box | None:
        """Return the intersection with another box, ``None`` if it is empty."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, right, bottom) if left < right and top < bottom else None

    def clip(self, width: float, height: float) -> Box:
        """Return the part of the box that lies in an image of ``width`` by ``height`` px.

        Args:
            width: The image's width in px.
            height: The image's height in px.
        """
        return Box(
            max(self.left, 0.0),
            max(self.top, 0.0),
            min(self.right, width),
            min(self.bottom, height),
        )

    def spread(
        self, heatmap: NDArray[np.float32], width: int, height: int, within: Box | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Interpolate a map that fills this box at the pixels of an image.

        Interpolation is bilinear with half-pixel centres and clamped edges, as in OpenCV and torch
        (``align_corners=False``). Past the map, values fall to 0 over one cell.

        Args:
            heatmap: (h, w) float32; its values divide the box evenly.
            width: The image's width in px.
            height: The image's height in px.
            within: The part of the image to fill; ``None`` is this box.

        Returns:
            The (height, width) float32 values, 0 outside that part, and the (height, width) bool
            mask of the pixels whose centres lie in it.
        """
        (rows, in_rows), (columns, in_columns) = weights_of(
            self, heatmap.shape, width, height, within or self
        )
        values = (rows @ heatmap @ columns.T).astype(np.float32, copy=False)
        return values, in_rows[:, None] & in_columns


def weights_of(
    box: Box, cells: Sequence[int], width: int, height: int, within: Box
) -> tuple[Interpolation, Interpolation]:
    """Return the `interpolation` of rows, and that of columns, by which `Box.spread` works.

    Args:
        box: What the cells fill, px.
        cells: Rows and columns of cells.
        width: As in `Box.spread`.
        height: As in `Box.spread`.
        within: As in `Box.spread`.
    """
    down, across = (within.top, within.bottom), (within.left, within.right)
    return (
        interpolation(box.top, box.bottom, cells[0], height, down),
        interpolation(box.left, box.right, cells[1], width, across),
    )


@lru_cache(maxsize=256)
def interpolation(
    start: float, stop: float, cells: int, pixels: int, within: tuple[float, float] | None = None
) -> Interpolation:
    """Return (pixels, cells) float32 weights of linear interpolation, and (pixels,) bool inside.

    Args:
        start: Where the cells begin, px.
        stop: Where they end, px.
        cells: Their number.
        pixels: The number of pixels.
        within: From where to where pixels get values, px; ``None`` is from start to stop. Past
            the cells, weights fall to 0 over one cell.
    """
    centres = np.arange(pixels) + 0.5
    first, last = within or (start, stop)
    inside = (centres >= first) & (centres <= last)
    position = np.clip((centres - start) / (stop - start) * cells - 0.5, 0, cells - 1)
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, cells - 1)
    fraction = position - lower
    weights = np.zeros((pixels, cells))
    pixel = np.arange(pixels)
    np.add.at(weights, (pixel, lower), 1 - fraction)
    np.add.at(weights, (pixel, upper), fraction)
    beyond = np.maximum(np.maximum(start - centres, centres - stop), 0) / (stop - start) * cells
    weights *= np.clip(1 - beyond, 0, 1)[:, None]
    weights[~inside] = 0
    found = weights.astype(np.float32), inside
    for each in found:  # the cache shares them
        each.flags.writeable = False
    return found
