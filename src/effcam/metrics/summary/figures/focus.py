"""The group "focus": how concentrated the heat is, at the coarsest resolution of an image's maps.

To add a figure, add it to `PER_MAP` with its function.
"""

from __future__ import annotations

from collections.abc import Sequence

from effcam.metrics.concentration import effective_area, gini, half_mass_area
from effcam.metrics.estimates import Means
from effcam.metrics.inference import SHARE, Range
from effcam.metrics.sampling import coarsest_cell, focus_samples
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.records import Figure
from effcam.metrics.summary.rows import ImageRows, Samples, Selection
from effcam.models.facts import ModelFacts

PER_MAP = (
    (
        Figure(
            "effective_area",
            "effective area",
            "focus",
            "lower",
            "%",
            1,
            "The share of the image over which heat spreads: the exponential of its entropy.",
            SHARE,
        ),
        effective_area,
    ),
    (
        Figure(
            "gini",
            "Gini index",
            "focus",
            "higher",
            "",
            3,
            "How unevenly heat is spread over the image: 0 is even, 1 is one point.",
            SHARE,
        ),
        gini,
    ),
    (
        Figure(
            "half_mass_area",
            "half-mass area",
            "focus",
            "lower",
            "%",
            1,
            "The smallest share of the image that holds half of the heat.",
            Range(0, 0.5),
        ),
        half_mass_area,
    ),
)
"""Each figure with its function of (n, samples, samples) heat and the (n,) areas of the images."""
FIGURES = tuple(figure for figure, _ in PER_MAP)


class FocusFigures:
    """Means over images of the figures of each map."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts]) -> None:
        del facts
        self._means = {figure.key: Means(columns) for figure in FIGURES}
        self._images = 0

    def add(self, selection: Selection) -> None:
        """Measure some images."""
        self._images += len(selection.kept)
        for key, samples in measure_focus(selection.kept).items():
            self._means[key].add(samples, selection.kept_units)

    def finish(self) -> Measured:
        """Return the measures; none without images."""
        if not self._images:
            return Measured([])
        return Measured([measure(each, self._means[each.key]) for each in FIGURES])


def measure_focus(rows: ImageRows) -> dict[str, Samples]:
    """Return each figure of every map, NaN where there is no evidence."""
    coarsest = [coarsest_cell(row) for row in rows.cells]
    found = {figure.key: rows.empty_samples() for figure in FIGURES}
    for column in range(len(rows.columns)):
        cells = rows.column(column)
        sound = [at for at, cell in enumerate(cells) if cell.state == "ok"]
        if not sound:
            continue
        samples, areas = focus_samples([cells[at] for at in sound], [coarsest[at] for at in sound])
        for figure, function in PER_MAP:
            found[figure.key][sound, column] = function(samples, area=areas)
    return found
