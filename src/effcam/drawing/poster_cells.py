"""Arrangement of a poster: a photo as large as several cells, and cells around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

MOST_COLUMNS = 8
"""The most columns of a poster by default."""
SPANS = (1, 2, 3)
"""The widths of the photo, in cells."""
GOOD_RATIO = 0.85
"""The preferred ratio of a page's height to its width."""
TOLERANCE = 1.4
"""The factor by which a page's ratio may differ from that."""


@dataclass(frozen=True, slots=True)
class PosterCells:
    """Where the models' cells stand around a photo as large as several cells.

    Attributes:
        count: How many cells there are.
        columns: How many columns the page has.
        span: How many columns, and rows, the photo takes, at the left and top. If it takes all
            columns, all cells are below it.
    """

    count: int
    columns: int
    span: int

    @property
    def above(self) -> bool:
        """Whether the photo is above all cells."""
        return self.span == self.columns

    @property
    def rows(self) -> int:
        """How many rows of cells there are."""
        taken = 0 if self.above else self.span**2
        return max(math.ceil((self.count + taken) / self.columns), 0 if self.above else self.span)

    @property
    def empty(self) -> int:
        """How many places are empty."""
        taken = 0 if self.above else self.span**2
        return self.rows * self.columns - taken - self.count

    def places(self) -> list[tuple[int, int]]:
        """Return the row and the column of each cell."""
        free = [
            (row, column)
            for row in range(self.rows)
            for column in range(self.columns)
            if self.above or row >= self.span or column >= self.span
        ]
        return free[: self.count]


def arrange(count: int, tall: float, columns: int | None = None) -> PosterCells:
    """Return an arrangement with few empty places on a page of good proportions.

    Args:
        count: How many cells there are, at least one.
        tall: The ratio of a cell's height, with its text, to its width.
        columns: How many columns the page has; ``None`` chooses.
    """
    wide = range(1, min(count + 2, MOST_COLUMNS) + 1) if columns is None else [columns]
    fitting = [
        PosterCells(count, across, span)
        for across in wide
        for span in SPANS
        # A single cell is as large as its photo; the more cells, the smaller each is.
        if span <= across and (span > 1 or across == 1 or count == 1) and (span - 1) ** 2 <= count
    ]
    return min(fitting, key=partial(_penalty, tall=tall))


def _penalty(cells: PosterCells, *, tall: float) -> float:
    down = cells.rows + (cells.span if cells.above else 0)
    off = abs(math.log(down * tall / cells.columns / GOOD_RATIO))
    gaps = 2 * cells.empty / cells.count
    return gaps + 0.1 * cells.span + 0.2 * off + max(0.0, off - math.log(TOLERANCE))
