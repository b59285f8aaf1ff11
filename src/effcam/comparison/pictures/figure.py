"""A comparison as a figure for print: pictures at a stated resolution, all text as real text.

Pages are laid out as for pictures, in tenths of a typographic point instead of pixels, and drawn
by matplotlib, which writes PDF and SVG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.cells import Cells
from effcam.comparison.pictures import poster
from effcam.comparison.pictures.grid import (
    MAX_WIDTH,
    PageKind,
    Style,
    grid_layout,
    grid_panels,
    legend,
)
from effcam.drawing.mpl import new_figure
from effcam.drawing.page import Bar, Picture, Surface, Text, strip
from effcam.drawing.page_parts import Measures
from effcam.drawing.sheet import MIN_WIDTH, Heading, compose, side_width
from effcam.drawing.text import Line
from effcam.drawing.themes import RGB, Theme
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

POINT = 10
"""Units a point."""
INCH = 72 * POINT
USUAL_CELL, USUAL_MOST = 1.2, 7.0
"""The width of a cell in inches, and what a page is not wider than, where nothing is said."""
LEAST_LETTERS = 5
"""How many times its text's size a cell has to be wide."""
TALLEST = 200
"""The height in inches up to which a PDF page is shown everywhere."""
BASELINE = 0.98
"""How far below the top of a line its baseline is, by the size, as in `effcam.drawing.text.ink`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Print:
    """How a figure is printed.

    Attributes:
        inches: Its width; ``None`` is 1.2 a cell, and not more than 7.
        fontsize: The size of captions in pt; the rest goes by it.
        dpi: How many px an inch of the pictures has.

    Raises:
        ArgumentError: If an attribute is out of range.
    """

    inches: float | None = None
    fontsize: float = 7
    dpi: int = 300

    def __post_init__(self) -> None:
        """Check what would otherwise fail late."""
        if self.inches is not None:
            _check("inches", self.inches, 0.5, 100)
        _check("fontsize", self.fontsize, 3, 72)
        _check("dpi", self.dpi, 50, 2400)


def _check(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= float(str(value)) <= most:
        raise ArgumentError(f"{name} is a number from {least:g} to {most:g}, not {value!r}")


def figure(content: Cells, kind: PageKind, style: Style, size: Print) -> Figure:
    """Return a comparison as a figure.

    Args:
        content: The comparison.
        kind: What the page is.
        style: How it is drawn and laid out; its width follows from that of the figure.
        size: How large everything is.

    Raises:
        ArgumentError: If the style is impossible, or the figure too narrow for its columns.
        ImageError: If an image's file is gone.
        OutputError: If matplotlib is not there.
    """
    poster.check_kind(content, kind, style)
    surface = (_poster if kind == "poster" else _grid)(content, style, size)
    if size.inches is not None:
        # Columns of equal width may leave a fraction of a point.
        surface = replace(surface, width=round(size.inches * INCH))
    return _draw(surface, size.dpi)


def _grid(content: Cells, style: Style, size: Print) -> Surface:
    layout = grid_layout(content, style)
    lengths, width = _measure(len(layout.headings), layout.sides, style, size)
    return compose(
        layout.headings,
        grid_panels(content, layout, replace(style, width=width)),
        lengths,
        colormap=style.colormap,
        theme=style.theme or "light",
        title=style.title,
        legend=legend(content, style),
        sides=layout.sides,
        block=layout.block,
    )


def _poster(content: Cells, style: Style, size: Print) -> Surface:
    mosaic = poster.divide(content, 0, None)
    lengths, width = _measure(mosaic.columns, (), style, size)
    return poster.compose(content, 0, mosaic, lengths, replace(style, width=width))


def _measure(
    columns: int, sides: Sequence[Heading], style: Style, given: Print
) -> tuple[Measures, int]:
    """Return the lengths of a figure in tenths of a point, and the width of a cell in px."""
    size = round(given.fontsize * POINT)

    def fitted(width: int) -> Measures:
        lengths = Measures(columns, width, font=style.font_file, size=size)
        return replace(lengths, side=side_width(sides, lengths, fixed=False))

    usual = fitted(round(USUAL_CELL * INCH)).inner
    least = fitted(LEAST_LETTERS * size).inner
    page = min(usual, max(round(USUAL_MOST * INCH), least))
    if given.inches is not None:
        page = round(given.inches * INCH)
    if page < least:
        raise ArgumentError(
            f"{page / INCH:g} inches are too narrow for {columns} columns of {size / POINT:g} pt "
            f"text: give at least inches={math.ceil(10 * least / INCH) / 10:g}, a smaller "
            "fontsize, or lay out other rows"
        )
    side = fitted(10 * size).side
    width = max(1, (page - side) // columns)
    # What stands between columns and beside rows grows with them.
    while width > 1 and fitted(width).inner > page:
        width -= 1
    pixels = min(max(round(width / INCH * given.dpi), MIN_WIDTH), MAX_WIDTH)
    return replace(fitted(width), scale=width / pixels), pixels


def _draw(surface: Surface, dpi: int) -> Figure:
    """Return a page, whose unit is a tenth of a point, as a figure."""
    width, height = surface.width / INCH, surface.height / INCH
    if height > TALLEST:
        raise ArgumentError(
            f"the figure would be {height:.0f} inches tall, and {TALLEST} is the most: take fewer "
            "images, as comparison.take(range(10))"
        )
    figure = new_figure((width, height), dpi=dpi)
    figure.set_facecolor(_colour(surface.theme.page))
    for item in surface.items:
        if isinstance(item, Text):
            _write(figure, item, surface)
        else:
            _show(figure, item, surface)
    return figure


def _show(figure: Figure, item: Picture | Bar, surface: Surface) -> None:
    left, top, right, bottom = item.box
    place = (
        left / surface.width,
        1 - bottom / surface.height,
        (right - left) / surface.width,
        (bottom - top) / surface.height,
    )
    picture = item.picture if isinstance(item, Picture) else strip(item.colormap)
    axes = figure.add_axes(place)
    # Without interpolation files hold the picture's own pixels.
    axes.imshow(np.asarray(picture.convert("RGB")), interpolation="none", aspect="auto")
    axes.set_axis_off()


def _write(figure: Figure, text: Text, surface: Surface) -> None:
    """Write lines of text, each on its baseline."""
    left, top, _, bottom = text.box
    along = text.width / 2 if text.centred else POINT / 5
    down = 0
    for line in text.lines:
        base = down + BASELINE * line.size
        x, y = (left + base, bottom - along) if text.turned else (left + along, top + base)
        down += line.height
        figure.text(
            x / surface.width,
            1 - y / surface.height,
            line.text,
            color=_colour(_ink(line, surface.theme)),
            fontproperties=_font(line),
            ha="center" if text.centred else "left",
            va="baseline",
            rotation=90 if text.turned else 0,
            rotation_mode="anchor",
            # What looks like markup in the name of a model or a file is none.
            parse_math=False,
            usetex=False,
        )


def _font(line: Line) -> FontProperties:
    from matplotlib import font_manager

    size, weight = line.size / POINT, "bold" if line.bold else "normal"
    family = "DejaVu Sans"
    if line.font:
        # SVG files name the family only, and whoever shows them finds it, or another.
        family = font_manager.get_font(line.font).family_name
    return font_manager.FontProperties(
        family=[family, "sans-serif"], weight=weight, size=size, fname=line.font or None
    )


def _ink(line: Line, theme: Theme) -> RGB:
    return theme.muted if line.muted else theme.text


def _colour(rgb: RGB) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in rgb)
    return red, green, blue
