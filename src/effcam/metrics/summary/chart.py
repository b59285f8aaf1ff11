"""The chart of one figure against another. matplotlib is imported on first use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.drawing.mpl import new_figure
from effcam.errors import ArgumentError
from effcam.metrics.summary.records import SPREADS, Figure, Measure, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox
    from numpy.typing import NDArray

LOGARITHMIC = ("parameters", "flops")

INK, FAINT = "#1f4e79", "#777777"

Bars: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.float64]]"
"""The lengths of the error bars down and up, (2, points), and to the left and right, likewise."""

# Offset from the middle of the marker in typographic points, and the label's alignment.
PLACES = (
    ((8, 0), "left", "center"),
    ((-8, 0), "right", "center"),
    ((6, 5), "left", "bottom"),
    ((6, -5), "left", "top"),
    ((-6, 5), "right", "bottom"),
    ((-6, -5), "right", "top"),
    ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"),
)


def chart(labels: Sequence[str], across: Measure, up: Measure) -> Canvas:
    """Return a chart of one measure against another."""
    keys = across.figure.key, up.figure.key
    shown = np.isfinite(across.values) & np.isfinite(up.values)
    if keys[0] in LOGARITHMIC:
        shown &= across.values > 0
    if not shown.any():
        raise ArgumentError(f"no column has values of both {keys[0]!r} and {keys[1]!r} to plot")
    figure = new_figure((7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _style(axes, across.figure, up.figure)
    x, y = (measure.values * measure.figure.factor for measure in (across, up))
    bars = _bars(up)[:, shown], _bars(across)[:, shown]
    axes.errorbar(x[shown], y[shown], *bars, "o", color=INK, elinewidth=1, capsize=3, markersize=6)
    if any(np.isfinite(each).any() for each in bars):
        spreads = [SPREADS[each.spread] for each in (across, up) if np.isfinite(each.low).any()]
        title = f"bars: {', '.join(dict.fromkeys(spreads))}"
        axes.set_title(title, loc="right", color=FAINT, fontsize="small")
    names = draw_baselines(axes, up)
    # Distances in px are known only when the layout is.
    figure.draw_without_rendering()
    spread_names(names, figure.dpi)
    _label(axes, [labels[at] for at in positions(shown)], x[shown], y[shown], bars)
    return figure


def _style(axes: Axes, across: Figure, up: Figure) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axes.set_xlabel(across.heading)
    axes.set_ylabel(up.heading)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.12, y=0.12)
    if across.key in LOGARITHMIC:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())


def _bars(measure: Measure) -> NDArray[np.float64]:
    """Return the lengths of the intervals below and above the value as shown, (2, columns)."""
    lengths = np.stack([measure.values - measure.low, measure.high - measure.values])
    return np.maximum(lengths, 0) * measure.figure.factor


def draw_baselines(axes: Axes, measure: Measure, colour: str = FAINT) -> list[Annotation]:
    """Draw the baselines, and return the names beside their lines, from the lowest up.

    Args:
        axes: Where to draw.
        measure: The figure along the vertical axis.
        colour: The colour of lines and names.
    """
    known = [(value, name) for name, value in measure.baselines.items() if math.isfinite(value)]
    names = []
    for value, name in sorted(known):
        height = value * measure.figure.factor
        axes.axhline(height, color=colour, linewidth=1, linestyle="--", zorder=1)
        names.append(
            axes.annotate(
                name,
                (1, height),
                xycoords=axes.get_yaxis_transform(),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=colour,
                fontsize="small",
                parse_math=False,
            )
        )
    return names


def spread_names(names: Sequence[Annotation], dpi: float) -> None:
    """Move names up, from the lowest, until none covers the one below.

    Args:
        names: The names, from the lowest.
        dpi: The resolution of the figure, in px an inch.
    """
    top = -math.inf
    for name in names:
        box = name.get_window_extent()
        lift = max(0.0, top - box.y0)
        name.set_position((4, lift * 72 / dpi))
        top = box.y1 + lift


def _label(
    axes: Axes,
    labels: Sequence[str],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    bars: Bars,
) -> None:
    """Write each label beside its point, where it covers least."""
    taken = _taken(axes, x, y, bars)
    for label, *point in zip(labels, x, y, strict=True):
        text = axes.annotate(
            label,
            tuple(point),
            xytext=PLACES[0][0],
            textcoords="offset points",
            fontsize="small",
            parse_math=False,
        )
        # In the layout, it would shrink the axes and move all labels.
        text.set_in_layout(False)
        text.set_clip_on(False)
        places = [_put(text, place) for place in PLACES]
        costs = [_cost(box, taken, axes.bbox) for box in places]
        taken.append(_put(text, PLACES[costs.index(min(costs))]))


def _put(text: Annotation, place: tuple[tuple[float, float], str, str]) -> Bbox:
    """Move a label to a place beside its point, and return the area it covers, px."""
    offset, across, up = place
    text.set(position=offset, horizontalalignment=across, verticalalignment=up)
    return text.get_window_extent()


def _taken(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], bars: Bars) -> list[Bbox]:
    """Return the areas that the markers and bars cover, px."""
    from matplotlib.transforms import Bbox

    up, side = map(np.nan_to_num, bars)
    lines = [((x, y - up[0]), (x, y + up[1])), ((x - side[0], y), (x + side[1], y))]
    corners = [[axes.transData.transform(np.stack(end, 1)) for end in line] for line in lines]
    return [
        Bbox([start, end]).padded(6)
        for starts, ends in corners
        for start, end in zip(starts, ends, strict=True)
    ]


def _cost(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Return the area of a box that covers others or is outside, square px."""
    from matplotlib.transforms import Bbox

    covered = [Bbox.intersection(box, other) for other in [*taken, inside]]
    areas = [overlap.width * overlap.height if overlap else 0.0 for overlap in covered]
    return float(sum(areas[:-1]) + box.width * box.height - areas[-1])
