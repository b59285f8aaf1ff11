"""The frames of an animation: one for each image, or one for each column, as for epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.pictures.grid import (
    ORIGINAL,
    cell_panel,
    image_frames,
    legend,
    photo_caption,
    tallest,
)
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.placement import column_headings
from effcam.comparison.pictures.style import Style
from effcam.drawing import overlay
from effcam.drawing.sheet import Heading, Panel, sheet
from effcam.images.frames import closing_videos

if TYPE_CHECKING:
    from PIL import Image

BETWEEN = " \u00b7 "


@dataclass(frozen=True, slots=True)
class _Shown:
    """An image of every frame: its cells, their marks, and its photo of the panels' size."""

    row: tuple[Explanation, ...]
    marks: Sequence[str]
    photo: Image.Image


@dataclass(frozen=True, slots=True)
class _Frame:
    """The parts of a frame."""

    title: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Panel]]


def frames(content: Cells, style: Style) -> Iterator[Image.Image]:
    """Draw one picture for each image or, with models as rows, for each column.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    return (column_frames if style.rows == "models" else image_frames)(content, style)


def column_frames(content: Cells, style: Style) -> Iterator[Image.Image]:
    """Draw one picture for each column, all of one size: the images side by side.

    Of several images the originals are in a row above, and the title names the column; a single
    image has its original beside it.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    width, marks, notes = style.width, Marks(content, style), legend(content, style)
    height = tallest(content, width)
    with closing_videos():
        shown = [
            _Shown(row, marks.row(row), overlay.fit(row[0].image.photo().picture, width, width))
            for row in content.rows()
        ]
    for column, heading in enumerate(column_headings(content)):
        frame = (_of_one if len(shown) == 1 else _of_several)(shown, column, heading, marks)
        yield sheet(
            frame.headings,
            frame.rows,
            width=width,
            height=height,
            colormap=style.colormap,
            theme=style.theme or "dark",
            title=frame.title,
            legend=notes,
            captioned=style.caption != "",
            font=style.font_file,
        )


def _of_one(shown: Sequence[_Shown], column: int, heading: Heading, marks: Marks) -> _Frame:
    """Return a frame of one image: its photo, and the column under its own heading."""
    (each,), style = shown, marks.style
    panels = [_photo(each, marks, named=True), _cell(each, column, marks)]
    headings = [Heading(ORIGINAL), heading]
    start = 0 if style.original else 1
    return _Frame(style.title, headings[start:], [panels[start:]])


def _of_several(shown: Sequence[_Shown], column: int, heading: Heading, marks: Marks) -> _Frame:
    """Return a frame of several images under their names; the title names the column."""
    style = marks.style
    title = BETWEEN.join(filter(None, (style.title, heading.title, heading.detail)))
    photos = [[_photo(each, marks, named=False) for each in shown]] if style.original else []
    cells = [_cell(each, column, marks) for each in shown]
    headings = [Heading(each.row[0].image.name) for each in shown]
    return _Frame(title, headings, [*photos, cells])


def _photo(shown: _Shown, marks: Marks, *, named: bool) -> Panel:
    return Panel(shown.photo, photo_caption(shown.row[0].image, marks, named=named))


def _cell(shown: _Shown, column: int, marks: Marks) -> Panel:
    return cell_panel(shown.row[column], shown.photo, shown.marks[column], marks)
