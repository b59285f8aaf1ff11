"""The page that shows panels side by side: headings, rows, captions, a colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from effcam.drawing.defaults import COLORMAP, WIDTH
from effcam.drawing.overlay import fit
from effcam.drawing.page import Band, Item, Picture, Surface, Text, paint, stack
from effcam.drawing.page_parts import Measures, footer_band, title_band
from effcam.drawing.text import Line, fit_text, measure_text, stack_text, text_height
from effcam.drawing.themes import THEMES
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from PIL import Image

MIN_WIDTH = 64
"""The smallest cell width in px with a readable caption and colour bar."""
RESERVED_LINES = 2
"""The title lines of a heading, and first lines of a caption, that fixed sheets reserve."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The text above a column: its title and, smaller and greyer, a detail."""

    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a sheet and the caption below it: the main line first."""

    picture: Image.Image
    lines: tuple[str, ...] = ()


PanelRow: TypeAlias = "Sequence[Panel | None]"
"""One panel a column; ``None`` leaves a place empty."""


def sheet(
    headings: Sequence[Heading],
    rows: Sequence[PanelRow],
    *,
    width: int = WIDTH,
    height: int | None = None,
    colormap: str = COLORMAP,
    theme: Literal["light", "dark"] = "light",
    title: str = "",
    legend: Sequence[str] = (),
    sides: Sequence[Heading] = (),
    block: int = 1,
    captioned: bool = True,
    font: str = "",
) -> Image.Image:
    """Draw one page: headings, rows of captioned panels, and a colour bar with its legend.

    With a `height`, the size of the page depends only on the number of columns and rows, `width`,
    `height`, the number of caption lines, whether there are a `title` and `sides`, and `legend`: so
    all frames of a comparison have one size. Without it, each row is as tall as its panels.

    Args:
        headings: One for each column.
        rows: The rows, each with one panel for each column.
        width: Width of a cell; larger pictures are reduced to it, smaller ones are centred.
        height: Height of a cell's picture; None makes a row as tall as its tallest panel.
        colormap: The colour map of the colour bar.
        theme: `light` is dark text on white, `dark` is white text on near-black.
        title: A line at the top.
        legend: Texts beside the colour bar, such as ``hatched: not seen by the model``.
        sides: Headings beside the rows, read from bottom to top; none, or one for each row.
        block: How many rows belong together; there is more space between blocks.
        captioned: Whether a page with a `height` reserves room for captions.
        font: The font file for all text; empty for DejaVu Sans.

    Raises:
        ArgumentError: If there is no column or row, a row does not have one panel for each column,
            or a length or name is impossible.
    """
    if width < MIN_WIDTH or (height is not None and height < 1):
        raise ArgumentError(
            f"a cell is at least {MIN_WIDTH} px wide and 1 px high, not {width} x {height} px."
        )
    surface = compose(
        headings, rows, Measures(len(headings), width, font=font), height=height,
        colormap=colormap, theme=theme, title=title, legend=legend, sides=sides, block=block,
        captioned=captioned,
    )  # fmt: skip
    return paint(surface)


def compose(
    headings: Sequence[Heading],
    rows: Sequence[PanelRow],
    lengths: Measures,
    *,
    height: int | None = None,
    colormap: str,
    theme: Literal["light", "dark"],
    title: str = "",
    legend: Sequence[str] = (),
    sides: Sequence[Heading] = (),
    block: int = 1,
    captioned: bool = True,
) -> Surface:
    """Return the page that `sheet` draws, in any unit of length, with the same arguments.

    Raises:
        ArgumentError: If there is no column or row, or a row does not have one panel for each
            column.
    """
    _check_sheet(headings, rows, sides, theme)
    fixed = height is not None
    lengths = replace(lengths, side=side_width(sides, lengths, fixed=fixed))
    beside: Sequence[Heading | None] = sides or [None] * len(rows)
    bands = [
        title_band(title, lengths, fixed=fixed),
        _heading_band(headings, lengths, fixed=fixed),
    ]
    for at, (row, side) in enumerate(zip(rows, beside, strict=True), 1):
        bands.append(_panel_band(row, side, lengths, height, captioned=captioned))
        if at % block == 0 and block > 1 and at < len(rows):
            bands.append(Band(2 * lengths.gutter))
    bands.append(footer_band(legend, lengths, colormap))
    return stack(bands, lengths.inner + 2 * lengths.margin, lengths.margin, THEMES[theme])


def _check_sheet(
    headings: Sequence[Heading], rows: Sequence[PanelRow], sides: Sequence[Heading], theme: str
) -> None:
    if not headings or not rows:
        raise ArgumentError("a sheet needs at least one column and one row.")
    for row in rows:
        if len(row) != len(headings):
            raise ArgumentError(f"a row has {len(row)} panels below {len(headings)} headings.")
    if sides and len(sides) != len(rows):
        raise ArgumentError(f"there are {len(sides)} headings beside {len(rows)} rows.")
    if theme not in THEMES:
        raise ArgumentError(f"theme is 'light' or 'dark', not {theme!r}.")


def heading_lines(
    heading: Heading, lengths: Measures, width: int, most: int
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return the lines of a heading's title, and at most `most` lines of its detail."""
    titles = fit_text(heading.title, lengths.strong, width, RESERVED_LINES)
    return titles, fit_text(heading.detail, lengths.small, width, most) if heading.detail else ()


def _heading_band(headings: Sequence[Heading], lengths: Measures, *, fixed: bool) -> Band:
    """Return the column headings, aligned at their last lines."""
    columns = [
        heading_lines(heading, lengths, lengths.width, lengths.detail_lines) for heading in headings
    ]
    titles_height = max(text_height(titles) for titles, _ in columns)
    details_height = max(text_height(details) for _, details in columns)
    if fixed:
        titles_height = RESERVED_LINES * lengths.strong.height
        details_height = lengths.detail_lines * lengths.small.height
    items: list[Item] = []
    for column, (titles, details) in enumerate(columns):
        left, width = lengths.left(column), lengths.width
        items.append(Text(titles, left, titles_height - text_height(titles), width))
        items.append(Text(details, left, titles_height, width))
    return Band(titles_height + details_height + lengths.gap, tuple(items))


def side_width(sides: Sequence[Heading], lengths: Measures, *, fixed: bool) -> int:
    """Return the width of the headings beside the rows."""
    if not sides:
        return 0
    details = any(side.detail for side in sides)
    titles = RESERVED_LINES if fixed else _side_lines(sides, lengths)
    return (
        titles * lengths.strong.height + 2 * lengths.small.height * (details or fixed) + lengths.gap
    )


def _side_lines(sides: Sequence[Heading], lengths: Measures) -> int:
    """Return how many lines the titles beside rows need on pictures that are not very wide."""
    room = round(lengths.width * 0.6)
    short = all(measure_text(side.title, lengths.strong) <= room for side in sides)
    return 1 if short else RESERVED_LINES


def _side(side: Heading, lengths: Measures, height: int) -> list[Item]:
    """Return the heading beside a row, next to its pictures."""
    details = fit_text(side.detail, lengths.small, height, 2) if side.detail else ()
    room = lengths.side - lengths.gap - text_height(details)
    most = min(RESERVED_LINES, room // lengths.strong.height)
    lines = (*fit_text(side.title, lengths.strong, height, most), *details)
    left = lengths.margin + lengths.side - lengths.gap - text_height(lines)
    return [Text(lines, left, 0, height, turned=True)]


def _panel_band(
    row: PanelRow, side: Heading | None, lengths: Measures, height: int | None, *, captioned: bool
) -> Band:
    """Return one row: pictures centred in cells of one height, and captions below them."""
    panels = [(at, panel) for at, panel in enumerate(row) if panel is not None]
    pictures = [place_picture(panel.picture, lengths, height) for _, panel in panels]
    cell = max((each.height for each in pictures), default=1) if height is None else height
    room = max(RESERVED_LINES, *(len(panel.lines) for _, panel in panels), 0) + 1
    captions = [stack_text(panel.lines, lengths.text, lengths.width, room) for _, panel in panels]
    below = room * lengths.text.height * captioned
    if height is None:
        below = max(map(text_height, captions), default=0)
    items = _side(side, lengths, cell) if side is not None else []
    for (column, _), picture, caption in zip(panels, pictures, captions, strict=True):
        left = lengths.left(column)
        spare = (lengths.width - picture.width, cell - picture.height)
        items.append(replace(picture, left=left + spare[0] // 2, top=spare[1] // 2))
        items.append(Text(caption, left, cell + lengths.gap, lengths.width))
    return Band(cell + lengths.gap + below + lengths.gutter, tuple(items))


def place_picture(picture: Image.Image, lengths: Measures, height: int | None) -> Picture:
    """Return a picture in its size on the page, not yet placed."""
    limit = lengths.width / lengths.scale
    fits = picture.width <= math.ceil(limit) and (height is None or picture.height <= height)
    shown = picture if fits else fit(picture, int(limit), height)
    width = min(lengths.width, round(shown.width * lengths.scale))
    return Picture(shown, 0, 0, width, round(shown.height * lengths.scale))
