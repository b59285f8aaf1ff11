"""The most confused pairs of classes: which class is predicted instead of which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.metrics.calibration_result import one_class_columns
from effcam.metrics.intervals import FEWEST, share_interval
from effcam.metrics.summary.figures.group import Measured
from effcam.metrics.summary.rows import Selection
from effcam.metrics.true_classes import true_classes
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_KEPT = 20
"""The most pairs of a column."""
MOST_IMAGES = 12
"""The most images that are named for a pair."""
LEAST_TWICE = 2
"""How often a pair must occur to be listed: a single error is no pattern."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one class in which a column predicts another one.

    Attributes:
        column: The column's label.
        truth: The name of the true class.
        predicted: The name of the class predicted instead.
        images: How many images of the true class have this prediction.
        of: The number of images of the true class.
        low: The lower end of the exact 95 % interval of ``images / of``, of this pair alone; NaN
            with fewer than six images of the class, or if images are not independent.
        high: The upper end.
        names: The names of the first of these images.
        classes: The indices of the two classes, the true one first.
    """

    column: str
    truth: str
    predicted: str
    images: int
    of: int
    low: float
    high: float
    names: tuple[str, ...]
    classes: tuple[int, int]

    @property
    def share(self) -> float:
        """The share of the images of the true class that have this prediction, in [0, 1]."""
        return self.images / self.of


class ConfusionFigures:
    """Counts the classes that models of one class an image confuse, on all labelled images."""

    def __init__(self, labels: Sequence[str], facts: Sequence[ModelFacts]) -> None:
        self._labels, self._facts = labels, facts
        self._columns = one_class_columns(labels, facts)
        self._pairs: list[Counter[tuple[int, int]]] = [Counter() for _ in labels]
        self._sizes: list[Counter[int]] = [Counter() for _ in labels]
        self._images: dict[tuple[int, int, int], list[str]] = {}
        self._class_names: dict[tuple[int, int], str] = {}
        self._units: list[NDArray[np.int64]] = []

    def add(self, selection: Selection) -> None:
        """Count the predictions of some images."""
        rows = selection.rows
        self._units.append(selection.units)
        for row, known in zip(rows.cells, true_classes(rows), strict=True):
            for at in self._columns:
                predicted = row[at].predicted
                if len(known[at]) != 1 or predicted is None:
                    continue
                (truth,) = known[at]
                self._sizes[at][truth] += 1
                if predicted == truth:
                    continue
                self._pairs[at][truth, predicted] += 1
                names = self._images.setdefault((at, truth, predicted), [])
                if len(names) < MOST_IMAGES:
                    names.append(row[at].image.name)
                self._class_names[at, predicted] = row[at].predicted_label

    def finish(self) -> Measured:
        """Return the pairs of each column, those of most images first."""
        units = np.concatenate(self._units) if self._units else np.zeros(0, np.int64)
        single = len(np.unique(units)) == len(units)
        found = [
            self._confusion(at, pair, images, single=single)
            for at in self._columns
            for pair, images in self._most(at)
        ]
        return Measured([], confusions=tuple(found))

    def _most(self, at: int) -> list[tuple[tuple[int, int], int]]:
        sizes = self._sizes[at]
        order = sorted(
            self._pairs[at].items(), key=lambda each: (-each[1], sizes[each[0][0]], each[0])
        )
        return order[:MOST_KEPT]

    def _confusion(self, at: int, pair: tuple[int, int], images: int, *, single: bool) -> Confusion:
        of = self._sizes[at][pair[0]]
        low = high = np.array([np.nan])
        if single and of >= FEWEST:
            low, high = share_interval(np.array([images * 1.0]), np.array([of * 1.0]))
        truth, predicted = (self._name(at, index) for index in pair)
        return Confusion(
            column=self._labels[at],
            truth=truth,
            predicted=predicted,
            images=images,
            of=of,
            low=float(low[0]),
            high=float(high[0]),
            names=tuple(self._images[at, pair[0], pair[1]]),
            classes=pair,
        )

    def _name(self, at: int, index: int) -> str:
        if self._facts:
            return self._facts[at].labels[index]
        return self._class_names.get((at, index)) or f"class {index}"


def listed_pairs(
    confusions: Sequence[Confusion], most: int
) -> dict[tuple[str, ...], list[Confusion]]:
    """Return the pairs to list, by the columns that they are of.

    Columns of one model under several methods have the same pairs, and are listed once.

    Args:
        confusions: The pairs, those of a column together.
        most: How many to list for each column.
    """
    by_column: dict[str, list[Confusion]] = {}
    for each in confusions:
        own = by_column.setdefault(each.column, [])
        if each.images >= LEAST_TWICE and len(own) < most:
            own.append(each)
    return _merged({column: own for column, own in by_column.items() if own})


def _merged(by_column: Mapping[str, list[Confusion]]) -> dict[tuple[str, ...], list[Confusion]]:
    owners: dict[object, list[str]] = {}
    for column, own in by_column.items():
        key = tuple((each.classes, each.names, each.images, each.of) for each in own)
        owners.setdefault(key, []).append(column)
    return {tuple(columns): by_column[columns[0]] for columns in owners.values()}
