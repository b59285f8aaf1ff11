"""The group "model": accuracy, confidence, size and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.metrics.estimates import Means
from effcam.metrics.inference import HITS, SHARE
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACCURACY = Figure(
    "accuracy", "accuracy", "model", "higher", "%", 1, "Top-1, on all labelled.", HITS
)
CONFIDENCE = Figure(
    "confidence",
    "confidence",
    "model",
    None,
    "%",
    1,
    "The mean probability of the class that the model predicts.",
    SHARE,
)
COSTS = (
    Figure("parameters", "parameter count", "model", "lower", "M", 2, "Of all its weights."),
    Figure(
        "flops",
        "FLOP count",
        "model",
        "lower",
        "G",
        2,
        "Operations of one image's forward pass, two a multiply-add, counted by torch.",
    ),
)
"""Counts, which are exact; each key is an attribute of `ModelFacts`."""
TIME = Figure(
    "seconds",
    "time per image",
    "model",
    "lower",
    "ms",
    1,
    "From the input to the map, measured in this very run, on this machine: the median over "
    "batches, and the range of the middle 80 % of them.",
)
ENDS = ("seconds_low", "seconds_high")
"""The attributes of `ModelFacts` with the spread of the time."""
FIGURES = (ACCURACY, CONFIDENCE, *COSTS, TIME)


class ModelFigures:
    """Accuracy on all labelled images, confidence on those that count, and costs."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts]) -> None:
        self._facts = facts
        self._accuracy, self._confidence = (Means(columns) for _ in range(2))
        self._labelled = self._predicted = False

    def add(self, selection: Selection) -> None:
        """Measure some images."""
        self._labelled |= selection.rows.labelled
        self._accuracy.add(selection.right, selection.units)
        self._predicted |= selection.rows.predicts
        confidence = selection.kept.each(lambda cell: cell.predicted_probability)
        self._confidence.add(confidence, selection.kept_units)

    def finish(self) -> Measured:
        """Return the measures; accuracy where labels are known, costs where facts are.

        Without any prediction there is neither accuracy nor confidence.
        """
        found = []
        if self._labelled and self._predicted:
            found.append(measure(ACCURACY, self._accuracy))
        if self._predicted:
            found.append(measure(CONFIDENCE, self._confidence))
        return Measured([*found, *_costs(self._facts), *_times(self._facts)])


def _costs(facts: Sequence[ModelFacts]) -> list[Measure]:
    measures = []
    for figure in COSTS:
        values = [getattr(each, figure.key) for each in facts]
        if any(value is not None for value in values):
            measures.append(Measure(figure=figure, values=_array(values)))
    return measures


def _times(facts: Sequence[ModelFacts]) -> list[Measure]:
    values = [each.seconds for each in facts]
    if all(value is None for value in values):
        return []
    low, high = (_array([getattr(each, end) for each in facts]) for end in ENDS)
    return [Measure(figure=TIME, values=_array(values), low=low, high=high, spread="batches")]


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers as an array, NaN for ``None``."""
    return np.array([np.nan if value is None else value for value in values], np.float64)
