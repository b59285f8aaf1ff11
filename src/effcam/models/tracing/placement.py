"""Where the cells of a map lie in a network's input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from effcam.images.geometry import Box
from effcam.models.tracing.map_layout import Grid

HowPlaced: TypeAlias = Literal["even", "pitch", "measured"]
"""Whether cells divide the input evenly; lie one stride apart around its middle; or around where
the network looks."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the cells of a map lie in a network's input.

    The cell in row i and column j of a map of n rows and m columns has its centre at
    ``height / 2 + (i - (n - 1) / 2) * pitch[0] + offset[0]`` px from the top, and at
    ``width / 2 + (j - (m - 1) / 2) * pitch[1] + offset[1]`` px from the left.

    Attributes:
        grid: Rows and columns of cells.
        size: Height and width of the input in px.
        pitch: The distance of the centres of neighbouring cells, down and across, px of the input.
        offset: How far the middle of the grid is from that of the input, down and across, px of
            the input; negative is up and left.
        error: The standard error of the offset; ``None`` if it was not measured.

    >>> Placement((8, 8), (300, 300), (32, 32)).on(Box(0, 0, 300, 300))
    Box(left=22.0, top=22.0, right=278.0, bottom=278.0)
    """

    grid: Grid
    size: Grid
    pitch: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)
    error: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return the placement as text.

        >>> print(Placement((7, 7), (224, 224), (32, 32), (-5.2, -4.1), (0.9, 1.0)))
        7 x 7 cells, 32 px apart, offset -5.2 +- 0.9 px down, -4.1 +- 1.0 px across
        """
        down, across = (f"{each:g}" for each in self.pitch)
        apart = f"{down} px" if down == across else f"{down} px down and {across} px across"
        rows, columns = self.grid
        if self.error is None:
            offset = "offset unknown"
        else:
            known = [
                f"{each:+.1f} +- {error:.1f} px"
                for each, error in zip(self.offset, self.error, strict=True)
            ]
            offset = f"offset {known[0]} down, {known[1]} across"
        return f"{rows} x {columns} cells, {apart} apart, {offset}"

    @staticmethod
    def even(grid: Grid, size: Grid) -> Placement:
        """Return the placement of cells that divide the input evenly.

        Args:
            grid: Rows and columns of cells.
            size: Height and width of the input in px.
        """
        return Placement(grid, size, (size[0] / grid[0], size[1] / grid[1]))

    @property
    def is_even(self) -> bool:
        """Whether the cells divide the input evenly."""
        return (self.pitch, self.offset) == (Placement.even(self.grid, self.size).pitch, (0, 0))

    def on(self, frame: Box) -> Box:
        """Return what the cells cover on an image, px of that image.

        Args:
            frame: What the input covers, px of that image.
        """
        return _canvas(self, frame)

    def edges(self, axis: int, start: float, extent: float) -> tuple[float, float]:
        """Return where the cells begin and end along one axis, in px of the image.

        Args:
            axis: 0 for down, 1 for across.
            start: Where the input begins on the image, px.
            extent: How far it goes on the image, px.
        """
        pixels = self.size[axis]
        middle, half = pixels / 2 + self.offset[axis], self.grid[axis] * self.pitch[axis] / 2
        return start + (middle - half) * extent / pixels, start + (middle + half) * extent / pixels


# Images of one size share their boxes, so that a thousand of them keep one in memory.
@lru_cache(maxsize=1024)
def _canvas(placement: Placement, frame: Box) -> Box:
    """Return what the cells of `Placement.on` cover."""
    if placement.is_even:
        return frame
    top, bottom = placement.edges(0, frame.top, frame.height)
    left, right = placement.edges(1, frame.left, frame.width)
    return Box(left, top, right, bottom)
