"""Comparisons of many labelled images, made without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from effcam import Comparison
from effcam.images.truth import Truth
from tests.metrics.summary.test_compute import build, noise

MAP = noise(0, 2)


def labelled(predicted: Sequence[Sequence[int]], truths: Sequence[int]) -> Comparison:
    """Return a comparison of labelled images, with probabilities that differ."""
    known = [Truth(label=label) for label in truths]
    made = build([[MAP] * len(predicted[0])] * len(truths), predicted=predicted, truths=known)
    rng = np.random.default_rng(0)
    values = rng.uniform(0.3, 1, len(made.cells))
    cells = tuple(
        replace(cell, predicted_probability=float(p))
        for cell, p in zip(made.cells, values, strict=True)
    )
    return replace(made, cells=cells)


def confused() -> Comparison:
    """Return 120 images: A is right in two of three of class 0, and takes the third for class 1."""
    count = 120
    truths = [0] * 60 + [2] * 60
    predicted = [[1 if at < 60 and at % 3 == 0 else truths[at], truths[at]] for at in range(count)]
    return labelled(predicted, truths)
