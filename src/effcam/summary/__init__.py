"""The scoreboard of a comparison: a row a model, a column a figure, and every way to show it."""

from __future__ import annotations

from effcam.summary.board import Summary
from effcam.summary.records import Difference, Fact, Figure, Measure

__all__ = ["Difference", "Fact", "Figure", "Measure", "Summary"]
