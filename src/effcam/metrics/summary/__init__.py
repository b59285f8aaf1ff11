"""The scoreboard of a comparison: a row a model, a column a figure, and every way to show it."""

from __future__ import annotations

from effcam.metrics.summary.records import Difference, Fact, Figure, Measure
from effcam.metrics.summary.summary import Summary

__all__ = ["Difference", "Fact", "Figure", "Measure", "Summary"]
