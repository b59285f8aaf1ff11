"""All figures of a summary, and the groups that measure them, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from effcam.metrics.summary.figures import (
    calibration,
    faithfulness,
    focus,
    labels,
    localisation,
    model,
    sequence,
)
from effcam.metrics.summary.figures.group import Group
from effcam.models.facts import ModelFacts

GROUPS: tuple[Callable[[int, Sequence[ModelFacts]], Group], ...] = (
    model.ModelFigures,
    calibration.CalibrationFigures,
    focus.FocusFigures,
    localisation.LocalisationFigures,
    sequence.SequenceFigures,
)
"""The groups of figures that every summary measures, given the columns and the facts."""

FIGURES = MappingProxyType(
    {
        figure.key: figure
        for module in (model, calibration, focus, localisation, sequence, labels, faithfulness)
        for figure in module.FIGURES
    }
)
"""Every figure of a summary by its key, in the order of the tables."""
