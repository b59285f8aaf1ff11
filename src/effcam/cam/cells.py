"""The cells of a comparison, with its images, columns, settings and facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from effcam.cam.explanation import Explanation
from effcam.cam.settings import Settings
from effcam.images.refs import ImageRef
from effcam.models.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be read, and why."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What several models looked at in several images, as plain data.

    Attributes:
        images: The images, by reference; one row each.
        columns: The columns' labels.
        cells: The cells, row by row.
        skipped: The images that could not be read.
        settings: How the comparison was made.
        facts: The facts of each column's model; empty if unknown.
    """

    images: tuple[ImageRef, ...]
    columns: tuple[str, ...]
    cells: tuple[Explanation, ...] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    settings: Settings = field(default_factory=Settings)
    facts: tuple[ModelFacts, ...] = ()

    def rows(self) -> Iterator[tuple[Explanation, ...]]:
        """Yield the cells of each image."""
        width = len(self.columns)
        for start in range(0, len(self.cells), width):
            yield self.cells[start : start + width]

    def column(self, at: int) -> tuple[Explanation, ...]:
        """Return the cells of a column.

        Args:
            at: The column's position, from 0.
        """
        return self.cells[at :: len(self.columns)]

    def table(self) -> list[dict[str, object]]:
        """Return one flat dict a cell, row by row: ``pandas.DataFrame(comparison.table())``."""
        return [cell.record() for cell in self.cells]
