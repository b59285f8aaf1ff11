"""The pictures of a comparison: one grid of all images, or one frame for each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from effcam.cam.cells import Cells
from effcam.cam.explanation import BOX_THRESHOLD, Explanation
from effcam.comparison.pictures.captions import caption_lines
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.placement import PagePlan, Placement, plan_page
from effcam.comparison.pictures.style import Style
from effcam.drawing import overlay
from effcam.drawing.sheet import Panel, sheet
from effcam.images.frames import closing_videos
from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    from PIL import Image

LAID = {"even": "cells divide the input evenly", "measured": "cells moved by a measured offset"}
"""What the legend says about a placement that is not the usual one."""
ORIGINAL = "Original"
"""The heading of the images themselves."""


def grid(content: Cells, style: Style) -> Image.Image:
    """Draw all cells in one picture; by default a row for each image, the original first.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    placement = grid_placement(content, style)
    return sheet(
        placement.headings,
        grid_panels(content, placement, style),
        width=style.width,
        colormap=style.colormap,
        theme=style.theme or "light",
        title=style.title,
        legend=legend(content, style),
        sides=placement.sides,
        block=placement.block,
        font=style.font_file,
    )


def grid_placement(content: Cells, style: Style) -> Placement:
    """Return the place of each cell in the grid of all images."""
    return _plan(content, style).place(range(len(content.images)))


def grid_panels(content: Cells, placement: Placement, style: Style) -> list[list[Panel | None]]:
    """Return the grid's panels, each no wider than a cell and no taller than twice that.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    size, marks = (style.width, 2 * style.width), Marks(content, style)
    with closing_videos():
        found = dict(enumerate(panels(row, size, marks) for row in content.rows()))
    return _placed(placement, found)


def image_frames(content: Cells, style: Style) -> Iterator[Image.Image]:
    """Draw one picture for each image, all of one size: by default the original and all columns.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    width = style.width
    page, notes = _plan(content, style), legend(content, style)
    height, marks = tallest(content, width), Marks(content, style)
    with closing_videos():
        for at, row in enumerate(content.rows()):
            placement = page.place([at])
            yield sheet(
                placement.headings,
                _placed(placement, {at: panels(row, (width, width), marks)}),
                width=width,
                height=height,
                colormap=style.colormap,
                theme=style.theme or "dark",
                title=style.title,
                legend=notes,
                sides=placement.sides,
                block=placement.block,
                captioned=style.caption != "",
                font=style.font_file,
            )


def panels(row: Sequence[Explanation], size: tuple[int, int], marks: Marks) -> list[Panel]:
    """Return the panels of one image: the original and every column.

    Args:
        row: The image's cells.
        size: The largest width and height of a panel's picture in px.
        marks: The marks of predictions, and how cells are drawn.
    """
    image = row[0].image
    photo = overlay.fit(image.photo().picture, *size)
    # With models as rows, the names stand above the columns.
    caption = photo_caption(image, marks, named=marks.style.rows != "models")
    return [Panel(photo, caption)] + [
        cell_panel(cell, photo, mark, marks) for cell, mark in zip(row, marks.row(row), strict=True)
    ]


def cell_panel(cell: Explanation, photo: Image.Image, mark: str, marks: Marks) -> Panel:
    """Return the panel of a cell.

    Args:
        cell: The cell.
        photo: Its photo, of the panel's size.
        mark: The mark of its prediction, empty if unknown.
        marks: The marks of predictions, and how cells are drawn.
    """
    style = marks.style
    drawn = cell.over(
        photo,
        alpha=style.alpha,
        colormap=style.colormap,
        boxes=style.boxes,
        font=style.font_file,
    )
    return Panel(drawn, caption_lines(style.caption, cell, mark, marks.truth(cell.image)))


def photo_caption(image: ImageRef, marks: Marks, *, named: bool) -> tuple[str, ...]:
    """Return the image's name, or a frame's time and its video's name; and its true class.

    Args:
        image: The image.
        marks: The marks of predictions, and how cells are drawn.
        named: Whether the name is in it.
    """
    if marks.style.caption == "":
        return ()
    truth = marks.truth(image)
    known = truth and f"is {truth}"
    if not named:
        return (known,) if known else ()
    if image.frame is None:
        return (image.name, known) if known else (image.name,)
    # Two lines also with a class: all frames have one size.
    time = f"{image.frame.timecode} \u00b7 {known}" if known else image.frame.timecode
    return time, image.frame.path.name


def legend(content: Cells, style: Style) -> list[str]:
    """Return the notes beside the colour bar."""
    notes = []
    if style.boxes:
        notes.append(f"box: heat above {100 * BOX_THRESHOLD:.0f} % around the hottest cell")
    if content.settings.view == "whole":
        notes.append("whole image squashed to the input")
    if content.settings.size is not None:
        notes.append(f"input {content.settings.size} px")
    if content.settings.placement in LAID:
        notes.append(LAID[content.settings.placement])
    if any(cell.region.as_tuple() != (0, 0, *cell.size) for cell in content.cells):
        notes.append("hatched: not seen by the model")
    if any(cell.untrained for cell in content.cells):
        notes.append("random weights: untrained, the heat means nothing")
    notes += dict.fromkeys(facts.shortcoming for facts in content.facts if facts.shortcoming)
    return [*Marks(content, style).legend(), *notes]


def _plan(content: Cells, style: Style) -> PagePlan:
    return plan_page(content, rows=style.rows, photo=ORIGINAL if style.original else None)


def _placed(placement: Placement, found: Mapping[int, Sequence[Panel]]) -> list[list[Panel | None]]:
    """Return the panels in their places.

    Args:
        placement: The places.
        found: The panels by image, the photo first.
    """

    def panel(place: tuple[int, int | None] | None) -> Panel | None:
        if place is None:
            return None
        image, column = place
        return found[image][0 if column is None else column + 1]

    return [[panel(place) for place in places] for places in placement.places]


def tallest(content: Cells, width: int) -> int:
    """Return the height of the tallest photo when each fits a square of ``width`` px."""
    sizes = {cell.size for cell in content.cells}
    return max((min(width, math.ceil(width * tall / wide)) for wide, tall in sizes), default=1)
