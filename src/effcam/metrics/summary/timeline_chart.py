"""The chart of figures over a training, one panel each. matplotlib is imported on first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from effcam.drawing.mpl import new_figure
from effcam.drawing.themes import RGB, THEMES
from effcam.errors import check_choice
from effcam.metrics.intervals import FEWEST
from effcam.metrics.summary.chart import draw_baselines, spread_names
from effcam.metrics.summary.records import SPREADS, Measure
from effcam.metrics.summary.timeline import AGREEMENT, Series, Timeline
from effcam.text import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH, PANEL, REST = 7.0, 1.75, 0.95
"""The width of the chart, the height of a panel, and that of the axis below, in inches."""
LEGEND_ROW, IN_ROW = 0.25, 3
MOST_TICKS = 16
"""The most labels of columns below the axis; of more, each so manieth has one."""
LETTERS = 60
"""The letters that fit side by side below the axis; more are turned."""
LONGEST = 24
"""The letters of a column's label that are shown; a longer one is cut."""
COLOURS = {
    "light": ("#1f4e79", "#c05a00", "#1b7a4b", "#8a3b8f", "#a31f34", "#5c5c5c"),
    "dark": ("#7db8ec", "#f0a050", "#6fcf97", "#d59be0", "#ff8a94", "#c8c8c8"),
}
"""The colours of the series; further ones begin again, with another line."""
LINES = ("-", "--", ":")
GRID = {"light": "#e6e6e6", "dark": "#34343a"}
FAINT = {"light": "#777777", "dark": "#a0a0a6"}


@dataclass(frozen=True, slots=True)
class _Look:
    """The colours of a chart."""

    theme: Literal["light", "dark"]

    @property
    def text(self) -> str:
        return _hex(THEMES[self.theme].text)

    @property
    def page(self) -> str:
        return _hex(THEMES[self.theme].page)

    def line(self, at: int) -> dict[str, Any]:
        """Return the colour and the line of a series."""
        colours = COLOURS[self.theme]
        turn, colour = divmod(at, len(colours))
        return {"color": colours[colour], "linestyle": LINES[turn % len(LINES)]}


def timeline_chart(found: Timeline, theme: Literal["light", "dark"]) -> Canvas:
    """Return the chart of a timeline: a panel for each figure, above one axis.

    Args:
        found: The timeline.
        theme: The colours.

    Raises:
        ArgumentError: If there is no such theme.
        OutputError: If matplotlib is not installed.
    """
    check_choice("theme", theme, list(THEMES))
    look, panels = _Look(theme), found.measures
    named = len(found.series) > 1
    rows = -(-len(found.series) // IN_ROW) * named
    height = PANEL * len(panels) + REST + LEGEND_ROW * rows
    figure = new_figure((WIDTH, height), dpi=120, layout="constrained")
    figure.set_facecolor(look.page)
    axes: list[Axes] = list(figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0])
    for panel, measure in zip(axes, panels, strict=True):
        _style(panel, look)
        _title(panel, measure, found, look)
        for at, series in enumerate(found.series):
            _draw(panel, measure, series, look.line(at))
    _label_axis(axes[-1], found, look)
    figure.supxlabel(_note(found), fontsize="small", color=FAINT[theme])
    if named:
        lines, names = axes[0].get_legend_handles_labels()
        legend = figure.legend(
            lines, names, loc="outside upper center", ncols=IN_ROW, frameon=False, fontsize="small"
        )
        for text in legend.get_texts():
            text.set(color=look.text, parse_math=False)
    baselines = [
        draw_baselines(panel, each, FAINT[theme]) for panel, each in zip(axes, panels, strict=True)
    ]
    # Distances in px are known only when the layout is.
    figure.draw_without_rendering()
    for each in baselines:
        spread_names(each, figure.dpi)
    return figure


def _style(axes: Axes, look: _Look) -> None:
    axes.set_facecolor(look.page)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(FAINT[look.theme])
    axes.tick_params(colors=look.text, labelsize="small")
    axes.grid(color=GRID[look.theme], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.15)


def _title(axes: Axes, measure: Measure, found: Timeline, look: _Look) -> None:
    """Write the figure's name above its panel."""
    title = measure.figure.heading
    if measure.figure.key == AGREEMENT.key and len(found.series) == 1:
        last = found.labels[found.series[0].columns[-1]]
        title = f"rank correlation of maps with those of {_short(last)}"
    axes.set_title(title, loc="left", color=look.text, fontsize="medium", parse_math=False)


def _draw(axes: Axes, measure: Measure, series: Series, line: dict[str, Any]) -> None:
    """Draw one series: its values as points on a line, its intervals as a band."""
    columns, factor = list(series.columns), measure.figure.factor
    values, low, high = (
        each[columns] * factor for each in (measure.values, measure.low, measure.high)
    )
    shown = np.isfinite(values)
    x = series.places[shown]
    axes.plot(x, values[shown], marker="o", markersize=4, label=series.name, **line)
    axes.fill_between(x, low[shown], high[shown], color=line["color"], alpha=0.2, linewidth=0)


def _label_axis(axes: Axes, found: Timeline, look: _Look) -> None:
    """Say what the axis is, with a tick at each epoch or step or, in their own order, column."""
    from matplotlib.ticker import MaxNLocator

    places = np.concatenate([each.places for each in found.series])
    margin = 0.04 * max(float(np.ptp(places)), 1e-9)
    axes.set_xlim(places.min() - margin, places.max() + margin)
    if found.axis != "column":
        axes.set_xlabel(found.axis, color=look.text)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        return
    axes.set_xlabel("column, in the order given", color=look.text)
    first = found.series[0]
    every = -(-len(first.columns) // MOST_TICKS)
    names = [_short(found.labels[at]) for at in first.columns][::every]
    axes.set_xticks(first.places[::every], names, parse_math=False)
    if sum(map(len, names)) + 3 * len(names) > LETTERS:
        for text in axes.get_xticklabels():
            text.set(rotation=35, ha="right", rotation_mode="anchor")


def _note(found: Timeline) -> str:
    """Return on how many images figures rest, what the bands are, and what is explained."""
    bands = f"no intervals below {FEWEST} images"
    if any(np.isfinite(each.low).any() for each in found.measures):
        bands = f"bands: {SPREADS[found.measures[0].spread]}"
    explained = "" if found.one_class else "; columns explain different classes"
    return f"{count(found.images, 'image')}; {bands}{explained}"


def _short(label: str) -> str:
    """Return a label that is cut in its middle if it is long: its end often has the epoch."""
    half = (LONGEST - 1) // 2
    return label if len(label) <= LONGEST else f"{label[:half]}\u2026{label[-half:]}"


def _hex(rgb: RGB) -> str:
    return "#" + "".join(f"{each:02x}" for each in rgb)
