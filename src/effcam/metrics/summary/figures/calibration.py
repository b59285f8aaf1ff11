"""The group "calibration": how well the probabilities of predicted classes hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.metrics.calibration_result import (
    Calibration,
    measure_calibration,
    one_class_columns,
)
from effcam.metrics.estimates import Means
from effcam.metrics.inference import Range
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP = "calibration"
LEAST = 100
"""The smallest number of labelled images with a calibration in a summary."""
OVERCONFIDENCE = Figure(
    "overconfidence",
    "overconfidence",
    GROUP,
    None,
    "%",
    1,
    "The mean probability of the predicted class minus the accuracy, in percentage points, on all "
    "labelled images; 0 is best, below 0 is too cautious.",
    Range(-1, 1),
)
ERROR = Figure(
    "calibration_error",
    "ECE",
    GROUP,
    "lower",
    "%",
    1,
    "The expected calibration error of the predicted class, in bins of equally many labelled "
    "images: how far its probability is from how often it is right.",
    tested=False,
)
EXPECTED = Figure(
    "expected_calibration_error",
    "ECE if calibrated",
    GROUP,
    None,
    "%",
    1,
    "The ECE that chance alone gives a model without any error on these images, and the middle "
    "95 % of what it gives.",
    tested=False,
)
FIGURES = (OVERCONFIDENCE, ERROR, EXPECTED)


class CalibrationFigures:
    """Calibration on all labelled images, from a hundred on."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts]) -> None:
        self._columns = one_class_columns(["" for _ in range(columns)], facts)
        self._several = [at for at in range(columns) if at not in self._columns]
        self._gaps = Means(columns)
        # A number for each cell: the probability, negative where the model is wrong.
        self._signed: list[NDArray[np.float32]] = []
        self._units: list[NDArray[np.int64]] = []

    def add(self, selection: Selection) -> None:
        """Keep the labelled images; 4 bytes a cell, so that bins may depend on all of them."""
        right = selection.right.copy()
        right[:, self._several] = np.nan
        known = np.isfinite(right).any(1)
        if not known.any():
            return
        right, units = right[known], selection.units[known]
        p = selection.rows.each(lambda cell: cell.predicted_probability)[known]
        self._gaps.add(np.where(np.isfinite(right), p - right, np.nan), units)
        signed = np.where(right == 1, p, np.where(right == 0, -p, np.nan))
        # A wrong answer of probability 0 keeps its sign as -0.0.
        self._signed.append(signed.astype(np.float32))
        self._units.append(units)

    def finish(self) -> Measured:
        """Return the measures and calibrations; none below a hundred labelled images."""
        found = self._found()
        if not found:
            return Measured([])
        columns = range(self._signed[0].shape[1])

        def each(figure: Figure, *names: str) -> Measure:
            own = [found[at][0] if at in found else None for at in columns]
            values, low, high = (
                np.array([math.nan if one is None else getattr(one, name) for one in own])
                for name in names
            )
            counts = [0 if one is None else one.images for one in own]
            units = [found[at][1] if at in found else 0 for at in columns]
            return Measure(
                figure=figure,
                values=values,
                low=low,
                high=high,
                counts=np.array(counts),
                units=np.array(units),
            )

        measures = [
            measure(OVERCONFIDENCE, self._gaps),
            each(ERROR, "error", "low", "high"),
            each(EXPECTED, "expected", "expected_low", "expected_high"),
        ]
        return Measured(measures, calibration={at: pair[0] for at, pair in found.items()})

    def _found(self) -> dict[int, tuple[Calibration, int]]:
        """Return the calibration and the number of units of each column that has enough images."""
        if sum(map(len, self._signed)) < LEAST:
            return {}
        signed, units = np.concatenate(self._signed), np.concatenate(self._units)
        found = {}
        for at in self._columns:
            own = signed[:, at].astype(np.float64)
            known = np.isfinite(own)
            if known.sum() >= LEAST:
                p = own[known]
                right = (~np.signbit(p)).astype(np.float64)
                calibration = measure_calibration(np.abs(p), right, units[known])
                found[at] = calibration, len(np.unique(units[known]))
        return found
