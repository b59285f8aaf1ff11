"""The group "faithfulness": figures that were measured by running the models again."""

from __future__ import annotations

import numpy as np

from effcam.errors import ArgumentError
from effcam.metrics.estimates import Means
from effcam.metrics.faithfulness_result import GRID_FIGURE, Faithfulness
from effcam.metrics.inference import CORRELATION, HITS, SHARE, Range
from effcam.metrics.sampling import grids_differ
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.notes import MOSAIC_GRIDS_DIFFER
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Samples, Selection, Units

FIGURES = (
    Figure(
        "average_drop",
        "average drop",
        "faithfulness",
        "lower",
        "%",
        1,
        "The share of its confidence that a model loses when it sees the hot part alone.",
        SHARE,
    ),
    Figure(
        "increase_in_confidence",
        "increase",
        "faithfulness",
        "higher",
        "%",
        1,
        "How often a model is more confident when it sees the hot part alone.",
        HITS,
    ),
    Figure(
        "average_gain",
        "average gain",
        "faithfulness",
        "higher",
        "%",
        1,
        "The share of the missing confidence that a model gains when it sees the hot part alone.",
        SHARE,
    ),
    Figure(
        "insertion",
        "insertion",
        "faithfulness",
        "higher",
        "%",
        1,
        "The mean probability while pixels are inserted into a blurred image, the hottest first.",
        SHARE,
    ),
    Figure(
        "deletion",
        "deletion",
        "faithfulness",
        "lower",
        "%",
        1,
        "The mean probability while pixels are deleted, the hottest first.",
        SHARE,
    ),
    Figure(
        "road",
        "ROAD",
        "faithfulness",
        "higher",
        "%",
        1,
        "How much more probability the hottest pixels hold than the coldest: half of the "
        "difference between removing the coldest and removing the hottest.",
        Range(-0.5, 0.5),
    ),
    Figure(
        "single_deletion",
        "single deletion",
        "faithfulness",
        "higher",
        "",
        2,
        "The rank correlation of the heat of patches with the probability's drop without each, one "
        "at a time.",
        CORRELATION,
    ),
    Figure(
        "saco",
        "SaCo",
        "faithfulness",
        "higher",
        "",
        2,
        "How well differences of heat between groups of pixels agree with the probability's drop "
        "without each group, one at a time.",
        CORRELATION,
    ),
    Figure(
        "randomisation",
        "after shuffling",
        "faithfulness",
        None,
        "",
        2,
        "The rank correlation with the map of the same model after the weights of the upper half "
        "of its layers were shuffled: near 0 if the map shows what was learnt.",
        CORRELATION,
    ),
    Figure(
        GRID_FIGURE,
        "GridPG",
        "faithfulness",
        "higher",
        "%",
        1,
        "The share of the heat on the right image of a mosaic of four.",
        SHARE,
    ),
)
BY_KEY = {figure.key: figure for figure in FIGURES}


class FaithfulnessFigures:
    """Means of the images that count; mosaics count whatever images they are made of."""

    def __init__(self, columns: tuple[str, ...], found: Faithfulness) -> None:
        self._columns, self._found = columns, found
        self._images: list[str] = []
        self._used = [np.zeros(0, bool)]
        self._units = [np.zeros(0, np.int64)]
        self._apart = np.zeros((len(columns), len(columns)), bool)

    def add(self, selection: Selection) -> None:
        """Note which images count."""
        self._images += [image.name for image in selection.rows.images]
        self._used.append(selection.used)
        self._units.append(selection.units)
        for row in selection.rows.cells:
            self._apart |= grids_differ(row)

    def finish(self) -> Measured:
        """Return the measures.

        Raises:
            ArgumentError: If they were measured for another comparison.
        """
        found = self._found
        if (found.images, found.columns) != (tuple(self._images), self._columns):
            raise ArgumentError(
                "this faithfulness was measured for another comparison: of "
                f"{len(found.images)} images and the columns {', '.join(found.columns)}"
            )
        notes = list(found.notes)
        if GRID_FIGURE in found.samples and self._apart.any():
            notes.append(MOSAIC_GRIDS_DIFFER)
        return Measured([self._measure(key) for key in found.samples], notes)

    def _measure(self, key: str) -> Measure:
        kept = slice(None) if key == GRID_FIGURE else np.concatenate(self._used)
        means = Means(len(self._columns))
        samples = self._found.samples[key][kept]
        means.add(
            samples,
            self._mosaic_units(len(samples))
            if key == GRID_FIGURE
            else np.concatenate(self._units)[kept],
        )
        random = self._found.random.get(key)
        chance = {} if random is None else {"random map": _mean(random[kept])}
        baselines = {**chance, **self._found.known.get(key, {})}
        # Heat of a coarse grid leaks out of its tile, as it does out of a box.
        apart = self._apart if key == GRID_FIGURE else None
        return measure(BY_KEY[key], means, baselines, apart)

    def _mosaic_units(self, mosaics: int) -> Units:
        """Return the unit of each mosaic: no image is in two, but frames of a video may be."""
        units = np.concatenate(self._units)
        alike = len(np.unique(units)) < len(units)
        return np.zeros(mosaics, np.int64) if alike else np.arange(mosaics)


def _mean(values: Samples) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
