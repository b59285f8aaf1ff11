"""The page that shows panels side by side: headings, rows, captions, a colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from effcam.draw import (
    MIN_FONT,
    THEMES,
    Line,
    Theme,
    colormap_table,
    fit,
    fit_text,
    ink,
    put_text,
    stack_text,
    text_height,
)
from effcam.errors import ArgumentError

BAR_NOTE = "evidence, each map scaled to its own range"
MIN_WIDTH = 64
"""The smallest cell width in px in which a caption and the colour bar still say something."""
RESERVED_LINES = 2
"""Title lines of a heading, and label lines of a caption, for which fixed sheets keep room."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above a column: its title and, smaller and greyer, a detail."""

    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a sheet and the caption lines below it: first the label, then the rest."""

    picture: Image.Image
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Layout:
    """The lengths of a sheet, in px, all of which follow from its cell width and columns."""

    columns: int
    width: int

    @property
    def text(self) -> Line:
        return Line("", min(max(round(self.width / 17), MIN_FONT + 1), 24))

    @property
    def small(self) -> Line:
        return Line("", max(MIN_FONT, round(self.text.size * 0.86)), muted=True)

    @property
    def detail_lines(self) -> int:
        return 1 if self.width >= 128 else 2

    @property
    def gutter(self) -> int:
        return max(4, round(self.width * 0.036))

    @property
    def margin(self) -> int:
        return self.gutter + 4

    @property
    def inner(self) -> int:
        return self.columns * self.width + (self.columns - 1) * self.gutter

    def left(self, column: int) -> int:
        return self.margin + column * (self.width + self.gutter)


def sheet(
    headings: Sequence[Heading],
    rows: Sequence[Sequence[Panel]],
    *,
    width: int = 224,
    height: int | None = None,
    colormap: str = "turbo",
    theme: Literal["light", "dark"] = "light",
    title: str = "",
    legend: Sequence[str] = (),
) -> Image.Image:
    """Returns one page: headings, rows of captioned panels, and a colour bar with its legend.

    With a `height`, the size of the page depends on nothing but the number of columns and rows,
    `width`, `height`, the number of caption lines, whether there is a `title`, and `legend`: so
    the frames of one comparison agree. Without it, each row takes what its panels need.

    Args:
        headings: One a column.
        rows: One an image, each with one panel a column.
        width: Width of a cell; larger pictures are reduced to it, smaller ones are centred.
        height: Height of a cell's picture; None makes a row as tall as its tallest panel.
        colormap: The colour map of the colour bar.
        theme: `light` is dark text on white, `dark` is white text on near-black.
        title: A line above everything.
        legend: Texts next to the colour bar, such as ``hatched: not seen by the model``.

    Raises:
        ArgumentError: If there is no column or row, a row has not one panel a column, or a length
            or name is out of range.
    """
    _check_sheet(headings, rows, width, height, theme)
    layout, colours = _Layout(len(headings), width), THEMES[theme]
    fixed = height is not None
    bands = [
        _title_band(title, layout, colours, fixed=fixed),
        _heading_band(headings, layout, colours, fixed=fixed),
        *(_panel_band(row, layout, colours, height) for row in rows),
        _footer_band(legend, layout, colours, colormap),
    ]
    page_height = sum(band.height for band in bands) + 2 * layout.margin
    page = Image.new("RGB", (layout.inner + 2 * layout.margin, page_height), colours.page)
    top = layout.margin
    for band in bands:
        page.paste(band, (0, top))
        top += band.height
    return page


def _check_sheet(
    headings: Sequence[Heading],
    rows: Sequence[Sequence[Panel]],
    width: int,
    height: int | None,
    theme: str,
) -> None:
    if not headings or not rows:
        raise ArgumentError("a sheet needs at least one column and one row.")
    for row in rows:
        if len(row) != len(headings):
            raise ArgumentError(f"a row has {len(row)} panels below {len(headings)} headings.")
    if width < MIN_WIDTH or (height is not None and height < 1):
        raise ArgumentError(
            f"a cell is at least {MIN_WIDTH} px wide and 1 px high, not {width} x {height} px."
        )
    if theme not in THEMES:
        raise ArgumentError(f"theme is 'light' or 'dark', not {theme!r}.")


def _band(layout: _Layout, height: int, theme: Theme) -> Image.Image:
    return Image.new("RGB", (layout.inner + 2 * layout.margin, height), theme.page)


def _title_band(title: str, layout: _Layout, theme: Theme, *, fixed: bool) -> Image.Image:
    if not title:
        return _band(layout, 0, theme)
    style = Line("", layout.text.size + 2, bold=True)
    lines = fit_text(title, style, layout.inner, 1 if fixed else 2)
    band = _band(layout, (style.height if fixed else text_height(lines)) + layout.gutter, theme)
    put_text(band, lines, (layout.margin, 0), layout.inner, theme, centred=False)
    return band


def _heading_band(
    headings: Sequence[Heading], layout: _Layout, theme: Theme, *, fixed: bool
) -> Image.Image:
    """Returns the column headings, standing on a common last line."""
    title = Line("", layout.text.size, bold=True)
    columns = [
        (
            fit_text(heading.title, title, layout.width, RESERVED_LINES),
            fit_text(heading.detail, layout.small, layout.width, layout.detail_lines)
            if heading.detail
            else (),
        )
        for heading in headings
    ]
    titles_height = max(text_height(titles) for titles, _ in columns)
    details_height = max(text_height(details) for _, details in columns)
    if fixed:
        titles_height, details_height = (
            RESERVED_LINES * title.height,
            layout.detail_lines * layout.small.height,
        )
    band = _band(layout, titles_height + details_height + max(3, layout.gutter // 2), theme)
    for column, (titles, details) in enumerate(columns):
        left = layout.left(column)
        put_text(band, titles, (left, titles_height - text_height(titles)), layout.width, theme)
        put_text(band, details, (left, titles_height), layout.width, theme)
    return band


def _panel_band(
    row: Sequence[Panel], layout: _Layout, theme: Theme, height: int | None
) -> Image.Image:
    """Returns one row: the pictures, centred in cells of one height, and captions below them."""
    pictures = [_reduced(panel.picture, layout.width, height) for panel in row]
    cell = max(picture.height for picture in pictures) if height is None else height
    room = max(RESERVED_LINES, *(len(panel.lines) for panel in row)) + 1
    captions = [stack_text(panel.lines, layout.text, layout.width, room) for panel in row]
    below = room * layout.text.height
    if height is None:
        below = max(text_height(caption) for caption in captions)
    gap = max(3, layout.gutter // 2)
    band = _band(layout, cell + gap + below + layout.gutter, theme)
    for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = layout.left(column)
        spare = (layout.width - picture.width, cell - picture.height)
        band.paste(picture, (left + spare[0] // 2, spare[1] // 2))
        put_text(band, caption, (left, cell + gap), layout.width, theme)
    return band


def _reduced(picture: Image.Image, width: int, height: int | None) -> Image.Image:
    fits = picture.width <= width and (height is None or picture.height <= height)
    return picture if fits else fit(picture, width, height)


def _footer_band(
    legend: Sequence[str], layout: _Layout, theme: Theme, colormap: str
) -> Image.Image:
    """Returns the colour bar, and its note and legend beside it or, on narrow pages, below."""
    size = layout.small.size
    note = " \u00b7 ".join((BAR_NOTE, *filter(None, legend)))
    ends = (Line("low", size, muted=True), Line("high", size, muted=True))
    bar = min(layout.inner, 14 * size)
    beside = layout.inner - bar - 2 * size >= 24 * size
    left, width = (bar + 2 * size, layout.inner - bar - 2 * size) if beside else (0, layout.inner)
    lines = fit_text(note, layout.small, width, 12)
    top = 0 if beside else layout.small.height + 2
    band = _band(layout, layout.gutter // 2 + top + text_height(lines), theme)
    put_text(
        band, lines, (layout.margin + left, layout.gutter // 2 + top), width, theme, centred=False
    )
    table = Image.fromarray(colormap_table(colormap)[np.newaxis])
    low, high = (ink(end).width + size // 2 for end in ends)
    strip = table.resize((max(1, bar - low - high), max(5, round(size * 0.7))))
    corner = (layout.margin, layout.gutter // 2)
    put_text(band, ends[:1], corner, low, theme, centred=False)
    middle = corner[1] + (layout.small.height - strip.height) // 2
    band.paste(strip, (corner[0] + low, middle))
    end = corner[0] + low + strip.width + size // 2
    put_text(band, ends[1:], (end, corner[1]), high, theme, centred=False)
    return band
