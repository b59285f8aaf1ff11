"""A comparison as a figure for print: pictures at a given resolution, all text as real text.

Pages are composed as for pictures, in tenths of a typographic point instead of pixels, and drawn
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
from effcam.comparison.pictures.grid import grid_panels, grid_placement, legend
from effcam.comparison.pictures.style import MAX_WIDTH, PageKind, Style
from effcam.drawing.defaults import DPI, FONTSIZE
from effcam.drawing.mpl import new_figure
from effcam.drawing.page import ColourBar, Picture, Surface, Text, strip
from effcam.drawing.page_parts import Measures
from effcam.drawing.sheet import MIN_WIDTH, Heading, compose, side_width
from effcam.drawing.text import Line
from effcam.drawing.themes import RGB, Theme
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

POINT = 10
"""The units of a page in one typographic point."""
INCH = 72 * POINT
DEFAULT_CELL, DEFAULT_MOST = 1.2, 7.0
"""The default width of a cell, and the most for a page, in inches."""
LEAST_LETTERS = 5
"""The least width of a cell, in sizes of its text."""
TALLEST = 200
"""The height in inches that every PDF viewer shows."""
BASELINE = 0.98
"""The distance of a baseline from the top of its line, in sizes, as in `effcam.drawing.text.ink`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Print:
    """The sizes of a figure for print.

    Attributes:
        inches: Its width; ``None`` is 1.2 a cell, and at most 7.
        fontsize: The size of captions in pt; other text scales with it.
        dpi: The resolution of pictures, in px an inch.
        lossless: Whether files hold the pictures without loss, rather than photos as JPEG.

    Raises:
        ArgumentError: If an attribute is out of range.
    """

    inches: float | None = None
    fontsize: float = FONTSIZE
    dpi: int = DPI
    lossless: bool = False

    def __post_init__(self) -> None:
        """Check values that would otherwise fail late."""
        if self.inches is not None:
            _check("inches", self.inches, 0.5, 100)
        _check("fontsize", self.fontsize, 3, 72)
        _check("dpi", self.dpi, 50, 2400)
        if not isinstance(self.lossless, bool):
            raise ArgumentError(f"lossless is True or False, not {self.lossless!r}")


def _check(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= float(str(value)) <= most:
        raise ArgumentError(f"{name} is a number from {least:g} to {most:g}, not {value!r}")


def figure(content: Cells, kind: PageKind, style: Style, size: Print) -> Figure:
    """Draw a comparison as a figure.

    Args:
        content: The comparison.
        kind: The kind of page.
        style: How it is drawn; the width of cells follows from that of the figure.
        size: The sizes of the figure.

    Raises:
        ArgumentError: If the style is impossible, or the figure too narrow for its columns.
        ImageError: If an image's file is gone.
        OutputError: If matplotlib is not installed.
    """
    poster.check_kind(content, kind, style)
    surface = (_poster_page if kind == "poster" else _grid_page)(content, style, size)
    if size.inches is not None:
        # Columns of equal width may leave a fraction of a point over.
        surface = replace(surface, width=round(size.inches * INCH))
    return _draw(surface, size)


def _grid_page(content: Cells, style: Style, size: Print) -> Surface:
    placement = grid_placement(content, style)
    lengths, width = _measure(len(placement.headings), placement.sides, style, size)
    return compose(
        placement.headings,
        grid_panels(content, placement, replace(style, width=width)),
        lengths,
        colormap=style.colormap,
        theme=style.theme or "light",
        title=style.title,
        legend=legend(content, style),
        sides=placement.sides,
        block=placement.block,
    )


def _poster_page(content: Cells, style: Style, size: Print) -> Surface:
    cells = poster.arrange_cells(content, 0, None)
    lengths, width = _measure(cells.columns, (), style, size)
    return poster.compose(content, 0, cells, lengths, replace(style, width=width))


def _measure(
    columns: int, sides: Sequence[Heading], style: Style, given: Print
) -> tuple[Measures, int]:
    """Return the lengths of a figure in tenths of a point, and the width of a cell in px."""
    size = round(given.fontsize * POINT)

    def fitted(width: int) -> Measures:
        lengths = Measures(columns, width, font=style.font_file, size=size)
        return replace(lengths, side=side_width(sides, lengths, fixed=False))

    default = fitted(round(DEFAULT_CELL * INCH)).inner
    least = fitted(LEAST_LETTERS * size).inner
    page = min(default, max(round(DEFAULT_MOST * INCH), least))
    if given.inches is not None:
        page = round(given.inches * INCH)
    if page < least:
        raise ArgumentError(
            f"{page / INCH:g} inches are too narrow for {columns} columns of {size / POINT:g} pt "
            f"text: give at least inches={math.ceil(10 * least / INCH) / 10:g}, a smaller "
            "fontsize, or choose other rows"
        )
    side = fitted(10 * size).side
    width = max(1, (page - side) // columns)
    # The space between columns and beside rows grows with them.
    while width > 1 and fitted(width).inner > page:
        width -= 1
    pixels = min(max(round(width / INCH * given.dpi), MIN_WIDTH), MAX_WIDTH)
    return replace(fitted(width), scale=width / pixels), pixels


def _draw(surface: Surface, size: Print) -> Figure:
    """Draw a page, whose unit is a tenth of a point, as a figure."""
    width, height = surface.width / INCH, surface.height / INCH
    if height > TALLEST:
        raise ArgumentError(
            f"the figure would be {height:.0f} inches tall; at most {TALLEST} are possible: take "
            "fewer images, as comparison.take(range(10))"
        )
    figure = new_figure((width, height), dpi=size.dpi, lossless=size.lossless)
    figure.set_facecolor(_colour(surface.theme.page))
    for item in surface.items:
        if isinstance(item, Text):
            _write(figure, item, surface)
        else:
            _show(figure, item, surface)
    return figure


def _show(figure: Figure, item: Picture | ColourBar, surface: Surface) -> None:
    left, top, right, bottom = item.box
    place = (
        left / surface.width,
        1 - bottom / surface.height,
        (right - left) / surface.width,
        (bottom - top) / surface.height,
    )
    picture = item.picture if isinstance(item, Picture) else strip(item.colormap)
    axes = figure.add_axes(place)
    # Without interpolation, files hold the picture's own pixels.
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
            # Names of models and files may look like markup.
            parse_math=False,
            usetex=False,
        )


def _font(line: Line) -> FontProperties:
    from matplotlib import font_manager

    size, weight = line.size / POINT, "bold" if line.bold else "normal"
    family = "DejaVu Sans"
    if line.font:
        # SVG files hold only the family's name: a viewer without it uses another.
        family = font_manager.get_font(line.font).family_name
    return font_manager.FontProperties(
        family=[family, "sans-serif"], weight=weight, size=size, fname=line.font or None
    )


def _ink(line: Line, theme: Theme) -> RGB:
    return theme.muted if line.muted else theme.text


def _colour(rgb: RGB) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in rgb)
    return red, green, blue
