"""A poster: one large photo, and what each of many models looked at in it."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import replace
from typing import TYPE_CHECKING

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.pictures.grid import legend, panels
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.placement import column_headings
from effcam.comparison.pictures.style import PageKind, Style, check_page
from effcam.drawing import overlay, themes
from effcam.drawing.page import Band, Item, Surface, Text, paint, stack
from effcam.drawing.page_parts import Measures, footer_band, title_band
from effcam.drawing.poster_cells import PosterCells, arrange
from effcam.drawing.sheet import Heading, Panel, heading_lines, place_picture
from effcam.drawing.text import Line, fit_text, stack_text, text_height
from effcam.errors import ArgumentError, check_number

if TYPE_CHECKING:
    from PIL import Image

MOST_COLUMNS = 99
TEXT_SHARE = 0.3
"""The usual height of the text under a cell, as a share of the cell's width."""


def poster(content: Cells, image: int, columns: int | None, style: Style) -> Image.Image:
    """Draw one image's photo, large, and what each model looked at in it.

    Args:
        content: The comparison.
        image: The position of the image.
        columns: How many columns the page has; ``None`` chooses.
        style: How it is drawn; `Style.rows` and `Style.original` do not apply.

    Raises:
        ArgumentError: If the style or the number of columns is impossible.
        ImageError: If the image's file is gone.
    """
    cells = arrange_cells(content, image, columns)
    lengths = Measures(cells.columns, style.width, font=style.font_file)
    return paint(compose(content, image, cells, lengths, style))


def check_kind(content: Cells, kind: PageKind, style: Style) -> None:
    """Check that a comparison can be shown on a kind of page, in a style.

    Raises:
        ArgumentError: If the kind is unknown; or it is a poster, and the number of images is not
            one or the style is for grids only.
    """
    check_page(kind, style)
    if kind == "poster":
        check_one_image(content.images)


def check_one_image(images: Sized) -> None:
    """Check that there is one image, which a poster needs.

    Raises:
        ArgumentError: If there are more or none.
    """
    if len(images) != 1:
        raise ArgumentError(
            f"a poster shows one image, and there are {len(images)}: choose one (of a comparison: "
            "comparison.take([0])), or the layout 'grid'"
        )


def arrange_cells(content: Cells, image: int, columns: int | None) -> PosterCells:
    """Return how the cells of an image's poster are arranged.

    Args:
        content: The comparison.
        image: The position of the image.
        columns: How many columns the page has; ``None`` chooses.

    Raises:
        ArgumentError: If the number of columns is impossible.
    """
    if columns is not None:
        check_number("columns", columns, most=MOST_COLUMNS)
    wide, tall = _row(content, image)[0].size
    return arrange(len(content.columns), min(tall / wide, 2) + TEXT_SHARE, columns)


def compose(
    content: Cells, image: int, arranged: PosterCells, lengths: Measures, style: Style
) -> Surface:
    """Return a poster before it is drawn; `Style.width` is that of a cell's picture in px.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If the image's file is gone.
    """
    row = _row(content, image)
    across = arranged.span * lengths.width + (arranged.span - 1) * lengths.gutter
    most = round(across / lengths.scale)
    photo = overlay.fit(row[0].image.photo().picture, most, 2 * most)
    marks = Marks(content, style)
    _, *cells = panels(row, (style.width, 2 * style.width), marks)
    header: tuple[Line, ...] = ()
    if style.caption != "":
        wide, tall = row[0].size
        large = replace(lengths.strong, size=round(lengths.text.size * 1.2))
        header = fit_text(row[0].image.name, large, across, 2)
        truth = marks.truth(row[0].image)
        facts = [f"is {truth}"] * bool(truth) + [f"{wide} x {tall} px"]
        header += fit_text(" \u00b7 ".join(facts), lengths.small, across, 1)
    shown = [
        (cell.picture, _lines(heading, cell, lengths))
        for heading, cell in zip(column_headings(content), cells, strict=True)
    ]
    notes = legend(replace(content, cells=row), style)
    bands = [
        title_band(style.title, lengths),
        _cells_band((photo, header), shown, arranged, lengths),
        footer_band(notes, lengths, style.colormap),
    ]
    theme = themes.THEMES[style.theme or "light"]
    return stack(bands, lengths.inner + 2 * lengths.margin, lengths.margin, theme)


def _row(content: Cells, image: int) -> tuple[Explanation, ...]:
    width = len(content.columns)
    return content.cells[image * width : (image + 1) * width]


def _lines(heading: Heading, cell: Panel, lengths: Measures) -> tuple[Line, ...]:
    """Return the text under a model's cell: its name, the layer, and the caption."""
    titles, details = heading_lines(heading, lengths, lengths.width, lengths.detail_lines)
    return (
        *titles,
        *details,
        *stack_text(cell.lines, lengths.text, lengths.width, len(cell.lines) + 1),
    )


def _cells_band(
    photo: tuple[Image.Image, tuple[Line, ...]],
    cells: Sequence[tuple[Image.Image, tuple[Line, ...]]],
    arranged: PosterCells,
    lengths: Measures,
) -> Band:
    """Return the photo with the text under it, and the cells around and below."""
    gap, gutter = lengths.gap, lengths.gutter
    across = arranged.span * lengths.width + (arranged.span - 1) * gutter
    (original, header), (shown, texts) = photo, zip(*cells, strict=True)
    large = place_picture(original, replace(lengths, width=across), None)
    pictures = [place_picture(picture, lengths, None) for picture in shown]
    cell_height = max(picture.height for picture in pictures)
    places = arranged.places()
    heights = [0] * arranged.rows
    for (row, _), text in zip(places, texts, strict=True):
        heights[row] = max(heights[row], cell_height + gap + text_height(text) + gutter)
    header_height = large.height + gap + text_height(header) + gutter
    if not arranged.above:
        short = header_height - sum(heights[: arranged.span])
        heights[arranged.span - 1] += max(0, short)
    start = header_height if arranged.above else 0
    left = lengths.left(0)
    items: list[Item] = [
        replace(large, left=left + (across - large.width) // 2, top=0),
        Text(header, left, large.height + gap, across),
    ]
    for (row, column), picture, text in zip(places, pictures, texts, strict=True):
        left, top = lengths.left(column), start + sum(heights[:row])
        middle = left + (lengths.width - picture.width) // 2
        items.append(replace(picture, left=middle, top=top))
        items.append(Text(text, left, top + cell_height + gap, lengths.width))
    return Band(start + sum(heights), tuple(items))
