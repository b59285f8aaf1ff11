"""Small plots as numbers for the template: dots with intervals, a histogram, a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from effcam.drawing import overlay
from effcam.metrics.summary import Measure, Summary
from effcam.metrics.summary.records import SPREADS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLOTTED = (
    "accuracy",
    "energy_pointing_game",
    "effective_area",
    "confidence",
    "pointing_game",
    "average_drop",
    "seconds",
    "parameters",
)
"""The figures to plot, the most important first."""
MOST = 4
"""The most plots."""
WIDTH, EDGE = 104, 7
"""The width of a plot, and the space at both its sides, in px."""
BINS = 16
BAR_WIDTH, BAR_HEIGHT = 20, 96
STEPS = 32
"""The number of colours of a matrix."""
MATRIX_COLORMAP = "viridis"
LUMA = (0.2126, 0.7152, 0.0722)


class Dot(NamedTuple):
    """A column in a plot: its label, its value as text, and its dot and interval, px."""

    label: str
    text: str
    interval: str
    x: float | None
    low: float | None
    high: float | None
    best: bool


class Plot(NamedTuple):
    """A figure of every column, and the ends of its axis as text.

    ``baselines`` are names, values as text, and positions, px; ``spread`` is what lines show.
    """

    title: str
    explains: str
    dots: tuple[Dot, ...]
    baselines: tuple[tuple[str, str, float], ...]
    start: str
    stop: str
    spread: str


class HistogramBar(NamedTuple):
    """A bar of a histogram: its range, its number of images, and its place in px."""

    start: float
    stop: float
    images: int
    x: float
    height: float


class Square(NamedTuple):
    """A cell of a matrix: its value as text, and the number of its colour; ``None`` if unknown."""

    text: str
    step: int | None


def plots(summary: Summary) -> list[Plot]:
    """Return plots of the most important figures of a scoreboard."""
    by_key = {measure.figure.key: measure for measure in summary.measures}
    known = [by_key[key] for key in PLOTTED if key in by_key]
    finite = [measure for measure in known if np.isfinite(measure.values).any()]
    return [_plot(measure, summary.columns) for measure in finite[:MOST]]


def _plot(measure: Measure, columns: Sequence[str]) -> Plot:
    figure = measure.figure
    ends = np.concatenate([measure.values, measure.low, measure.high])
    baselines = {name: value for name, value in measure.baselines.items() if math.isfinite(value)}
    ends = np.append(ends[np.isfinite(ends)], list(baselines.values()))
    low, high = float(ends.min()), float(ends.max())
    # A single value is in the middle of an axis without ends.
    middle = (low + high) / 2
    scale = (WIDTH - 2 * EDGE) / (high - low) if high > low else 0.0
    start, stop = (figure.show(low), figure.show(high)) if high > low else ("", "")

    def place(value: float) -> float | None:
        if not math.isfinite(value):
            return None
        return round(WIDTH / 2 + (value - middle) * scale, 1)

    winners = measure.winners()
    dots = tuple(
        Dot(
            label,
            figure.show(float(measure.values[at])),
            figure.interval(float(measure.low[at]), float(measure.high[at])),
            place(float(measure.values[at])),
            place(float(measure.low[at])),
            place(float(measure.high[at])),
            at in winners,
        )
        for at, label in enumerate(columns)
    )
    lines = tuple(
        (name, figure.show(value, unit=True), place(value) or 0.0)
        for name, value in baselines.items()
    )
    return Plot(figure.heading, figure.explains, dots, lines, start, stop, SPREADS[measure.spread])


def histogram(values: NDArray[np.float64]) -> tuple[HistogramBar, ...]:
    """Return the bars of a histogram from 0 to the largest value, at least 1; none without values.

    Args:
        values: (images,), NaN if unknown.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    stop = max(1.0, math.ceil(10 * float(known.max())) / 10)
    counts, edges = np.histogram(np.maximum(known, 0), bins=BINS, range=(0, stop))
    scale = BAR_HEIGHT / max(int(counts.max()), 1)
    return tuple(
        HistogramBar(
            round(float(edges[at]), 2),
            round(float(edges[at + 1]), 2),
            int(count),
            at * BAR_WIDTH,
            round(int(count) * scale, 1),
        )
        for at, count in enumerate(counts)
    )


def matrix(values: NDArray[np.float64]) -> list[list[Square]]:
    """Return the cells of a matrix of values up to 1, each with its colour; 0 is darkest."""
    return [[_square(float(value)) for value in row] for row in values]


def _square(value: float) -> Square:
    if not math.isfinite(value):
        return Square("\N{EN DASH}", None)
    return Square(f"{value:z.2f}", round(min(max(value, 0.0), 1.0) * (STEPS - 1)))


def matrix_style() -> str:
    """Return the style rules for the colours of a matrix: the policy forbids inline styles."""
    table = overlay.colormap_table(MATRIX_COLORMAP)
    rules = []
    for step in range(STEPS):
        colour = table[round(255 * step / (STEPS - 1))]
        # Black or white text, whichever has the higher contrast by WCAG 2.
        linear = np.where(colour <= 10, colour / 3294.6, ((colour / 255 + 0.055) / 1.055) ** 2.4)
        ink = "#000" if float(np.dot(LUMA, linear)) > 0.179 else "#fff"
        red, green, blue = map(int, colour)
        rules.append(f".v{step}{{background:#{red:02x}{green:02x}{blue:02x};color:{ink}}}")
    return "\n".join(rules)


def plot_style() -> str:
    """Return the style rule that gives the width of plots to the rules of their table."""
    return f":root{{--plot:{WIDTH}px}}"


def column_style(columns: int) -> str:
    """Return the style rules that hide a column by a class of the whole grid."""
    return "\n".join(f".hide-{at} .c{at}{{display:none}}" for at in range(columns))
