"""Small reliability plots as numbers for the template: one for each column, or for equal ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from effcam.metrics.calibration_result import (
    Calibration,
    ReliabilityBin,
    merge_equal,
    percent_of,
)
from effcam.text import count

SIDE, EDGE = 150, 8
"""The width and height of a plot, and the space at its sides, in px."""


class Dot(NamedTuple):
    """A bin: its place, the ends of its interval, and its size, px; and what it is as text."""

    x: float
    y: float
    low: float | None
    high: float | None
    radius: float
    text: str


class Reliability(NamedTuple):
    """A plot: the columns' labels, the error and what chance makes of it in words, and the bins."""

    label: str
    error: str
    chance: str
    dots: tuple[Dot, ...]


def reliability_plots(found: Mapping[str, Calibration]) -> list[Reliability]:
    """Return the plots; columns of one model under several methods share one."""
    return [_plot(label, each) for label, each in merge_equal(found)]


def _plot(label: str, found: Calibration) -> Reliability:
    interval = ""
    if math.isfinite(found.low):
        interval = f" [{percent_of(found.low)}, {percent_of(found.high)}]"
    error = f"ECE {percent_of(found.error)} %{interval}"
    chance = f"{percent_of(found.expected)} % if calibrated"
    most = max(each.images for each in found.bins)
    return Reliability(label, error, chance, tuple(_dot(each, most) for each in found.bins))


def _dot(each: ReliabilityBin, most: int) -> Dot:
    known = math.isfinite(each.low)
    return Dot(
        _across(each.confidence),
        SIDE - _across(each.accuracy),
        SIDE - _across(each.low) if known else None,
        SIDE - _across(each.high) if known else None,
        round(1.5 + 2.5 * math.sqrt(each.images / most), 1),
        f"{count(each.images, 'image')}: {percent_of(each.confidence)} % sure on average, "
        f"{percent_of(each.accuracy)} % right",
    )


def _across(share: float) -> float:
    return round(EDGE + (SIDE - 2 * EDGE) * share, 1)
