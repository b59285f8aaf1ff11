"""The group "faithfulness": figures that were measured by running the models again."""

from __future__ import annotations

import numpy as np

from effcam.errors import ArgumentError
from effcam.metrics.bootstrap import estimate
from effcam.metrics.faithfulness_result import GRID_FIGURE, Faithfulness
from effcam.metrics.summary.estimators import to_measure
from effcam.metrics.summary.figures.group import Measured
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Samples, Selection

FIGURES = (
    Figure(
        "average_drop",
        "average drop",
        "faithfulness",
        "lower",
        "%",
        1,
        "The share of its confidence that a model loses when it sees the hot part alone.",
    ),
    Figure(
        "increase_in_confidence",
        "increase",
        "faithfulness",
        "higher",
        "%",
        1,
        "How often a model is more confident when it sees the hot part alone.",
    ),
    Figure(
        "average_gain",
        "average gain",
        "faithfulness",
        "higher",
        "%",
        1,
        "The share of the missing confidence that a model gains when it sees the hot part alone.",
    ),
    Figure(
        "insertion",
        "insertion",
        "faithfulness",
        "higher",
        "%",
        1,
        "The mean probability while pixels are inserted into a blurred image, the hottest first.",
    ),
    Figure(
        "deletion",
        "deletion",
        "faithfulness",
        "lower",
        "%",
        1,
        "The mean probability while pixels are deleted, the hottest first.",
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
    ),
    Figure(
        GRID_FIGURE,
        "GridPG",
        "faithfulness",
        "higher",
        "%",
        1,
        "The share of the heat on the right image of a mosaic of four.",
    ),
)
BY_KEY = {figure.key: figure for figure in FIGURES}


class FaithfulnessFigures:
    """Means of the images that count; mosaics count whatever images they are made of."""

    def __init__(self, columns: tuple[str, ...], found: Faithfulness) -> None:
        self._columns, self._found = columns, found
        self._images: list[str] = []
        self._used = [np.zeros(0, bool)]

    def add(self, selection: Selection) -> None:
        """Note which images count."""
        self._images += [image.name for image in selection.rows.images]
        self._used.append(selection.used)

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
        used = np.concatenate(self._used)
        return Measured([self._measure(key, used) for key in found.samples], found.notes)

    def _measure(self, key: str, used: np.ndarray) -> Measure:
        kept = slice(None) if key == GRID_FIGURE else used
        random = self._found.random.get(key)
        means = {} if random is None else {"random map": _mean(random[kept])}
        baselines = {**means, **self._found.known.get(key, {})}
        return to_measure(BY_KEY[key], estimate(self._found.samples[key][kept]), baselines)


def _mean(values: Samples) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
