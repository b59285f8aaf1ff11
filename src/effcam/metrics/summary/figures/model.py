"""The group "model": accuracy, confidence, size and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effcam.metrics.summary.estimators import Estimators, to_measure
from effcam.metrics.summary.figures.group import Measured
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection
from effcam.models.facts import ModelFacts

ACCURACY = Figure("accuracy", "accuracy", "model", "higher", "%", 1, "Top-1, on all labelled.")
CONFIDENCE = Figure(
    "confidence",
    "confidence",
    "model",
    None,
    "%",
    1,
    "The mean probability of the class that the model predicts.",
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
    Figure(
        "seconds",
        "time per image",
        "model",
        "lower",
        "ms",
        1,
        "From the input to the map, measured in this very run, on this machine.",
    ),
)
"""Figures of the model alone; each key is an attribute of `ModelFacts`."""
FIGURES = (ACCURACY, CONFIDENCE, *COSTS)


class ModelFigures:
    """Accuracy on all labelled images, confidence on those that count, and costs."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts], estimators: Estimators) -> None:
        self._facts = facts
        self._accuracy, self._confidence = (estimators.means(columns) for _ in range(2))
        self._labelled = False

    def add(self, selection: Selection) -> None:
        """Measure some images."""
        self._labelled |= selection.rows.labelled
        self._accuracy.add(selection.right)
        self._confidence.add(selection.kept.each(lambda cell: cell.predicted_probability))

    def finish(self) -> Measured:
        """Return the measures; accuracy where labels are known, costs where facts are."""
        accuracy = [to_measure(ACCURACY, self._accuracy.estimate())] if self._labelled else []
        confidence = to_measure(CONFIDENCE, self._confidence.estimate())
        return Measured([*accuracy, confidence, *_costs(self._facts)])


def _costs(facts: Sequence[ModelFacts]) -> list[Measure]:
    measures = []
    for figure in COSTS:
        values = [getattr(each, figure.key) for each in facts]
        if any(value is not None for value in values):
            known = np.array([np.nan if value is None else value for value in values], np.float64)
            measures.append(Measure(figure=figure, values=known))
    return measures
