"""Reliability plots: how often predictions are right over how probable they are said to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from effcam.drawing.mpl import new_figure
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#1f4e79", "#777777"
ACROSS = 4
"""The most panels beside each other."""
SIDE = 2.9
"""The width of a panel in inches."""


class Point(NamedTuple):
    """A bin: mean probability, share that is right and its interval, in [0, 1]; and its images."""

    confidence: float
    accuracy: float
    low: float
    high: float
    images: int


class Panel(NamedTuple):
    """The bins of one model."""

    title: str
    caption: str
    points: tuple[Point, ...]


def draw_reliability(panels: Sequence[Panel]) -> Figure:
    """Return a figure of reliability plots, one beside the other.

    The area of a marker is in proportion to its images; bars are 95 % intervals.

    Args:
        panels: The models, at least one.

    Raises:
        ArgumentError: If there is no panel.
        OutputError: If matplotlib is not installed.
    """
    if not panels:
        raise ArgumentError("there is nothing to plot: no column has a calibration")
    across = min(len(panels), ACROSS)
    down = math.ceil(len(panels) / across)
    figure = new_figure((SIDE * across + 0.3, (SIDE + 0.5) * down), dpi=120, layout="constrained")
    for at, panel in enumerate(panels, 1):
        axes = figure.add_subplot(down, across, at)
        _draw(axes, panel)
        if (at - 1) % across == 0:
            axes.set_ylabel("share that is right, %")
        if at > len(panels) - across:
            axes.set_xlabel("probability, %")
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    axes.set_aspect("equal")
    axes.set(xlim=(-4, 104), ylim=(-4, 104), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1, linestyle="--", zorder=1)
    values = 100 * np.array([point[:4] for point in panel.points], np.float64)
    counts = np.array([point.images for point in panel.points], np.float64)
    x, y, low, high = values.T
    # An exact interval holds its value; rounding may not.
    bars = np.maximum(np.nan_to_num(np.stack([y - low, high - y])), 0)
    axes.errorbar(x, y, bars, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.scatter(x, y, s=8 + 40 * counts / counts.max(), color=INK, zorder=3)
    if panel.title:
        axes.set_title(panel.title, loc="left", fontsize="medium", pad=26, parse_math=False)
    axes.text(
        0, 1.02, panel.caption, transform=axes.transAxes, color=FAINT, fontsize="x-small",
        parse_math=False,
    )  # fmt: skip
