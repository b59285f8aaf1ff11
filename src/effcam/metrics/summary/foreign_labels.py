"""Rows without the labels of datasets that are no class of every model."""

from __future__ import annotations

from dataclasses import replace

from effcam.metrics.foreign_labels import ForeignLabels, known_truths
from effcam.metrics.summary.rows import ImageRows


def without_foreign_labels(rows: ImageRows) -> tuple[ImageRows, ForeignLabels]:
    """Return rows without the labels of datasets that are no class of every model, and these."""
    truths, foreign = known_truths(rows)
    return replace(rows, truths=truths), foreign
