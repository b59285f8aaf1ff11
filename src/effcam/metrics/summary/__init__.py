"""The summary of a comparison: one row per model, one column per figure, and its formats."""

from __future__ import annotations

from effcam.metrics.summary.records import Difference, Fact, Figure, Measure
from effcam.metrics.summary.summary import Summary

__all__ = ["Difference", "Fact", "Figure", "Measure", "Summary"]
