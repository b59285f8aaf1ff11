"""The pictures of a comparison: one grid of everything, or one frame an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Literal, TypeAlias

from effcam.cam.cells import Cells
from effcam.cam.explanation import BOX_THRESHOLD, Explanation
from effcam.comparison.pictures.captions import caption_lines, check_caption
from effcam.comparison.pictures.placement import ROWS, Layout, Plan, Rows, plan
from effcam.drawing import overlay, themes
from effcam.drawing.fonts import font_file
from effcam.drawing.sheet import MIN_WIDTH, Panel, sheet
from effcam.errors import ArgumentError, check_number
from effcam.images.frames import closing_videos
from effcam.images.refs import ImageRef
from effcam.text import quote

if TYPE_CHECKING:
    from PIL import Image

PageKind: TypeAlias = Literal["grid", "poster"]
KINDS: tuple[PageKind, ...] = ("grid", "poster")

MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How cells are drawn and laid out, whatever the page.

    Attributes:
        alpha: The opacity of the strongest heat, in [0, 1].
        colormap: The name of a matplotlib colour map.
        width: The width of a cell in px.
        boxes: Whether boxes around the heat are drawn.
        rows: What a row is: ``"images"``, ``"models"``, or ``"methods"``, in a block an image.
        original: Whether the photo itself is shown too.
        title: A line above everything.
        caption: A template of what stands under a cell; ``None`` is the usual, ``""`` nothing.
        font: The file of the font of all text; ``None`` is DejaVu Sans.
        theme: ``"light"`` or ``"dark"``; ``None`` is what is usual for the page.

    Raises:
        ArgumentError: If an attribute has a value that it cannot have.
    """

    alpha: float = 0.5
    colormap: str = "turbo"
    width: int = 224
    boxes: bool = False
    rows: Rows = "images"
    original: bool = True
    title: str = ""
    caption: str | None = None
    font: str | PathLike[str] | None = None
    theme: Literal["light", "dark"] | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail late."""
        overlay.check_alpha(self.alpha)
        overlay.colormap_table(self.colormap)
        check_number("width", self.width, least=MIN_WIDTH, most=MAX_WIDTH)
        if self.rows not in ROWS:
            raise ArgumentError(f"rows is {either(ROWS)}, not {quote(self.rows)}")
        if not isinstance(self.original, bool):
            raise ArgumentError(f"original is True or False, not {quote(self.original)}")
        if not isinstance(self.title, str):
            raise ArgumentError(f"title is a text, not {quote(self.title)}")
        if self.theme is not None and self.theme not in themes.THEMES:
            raise ArgumentError(f"theme is {either(themes.THEMES)}, not {quote(self.theme)}")
        check_caption(self.caption)
        font_file(self.font)

    @property
    def font_file(self) -> str:
        """The path of the font, empty for DejaVu Sans."""
        return font_file(self.font)


def grid(content: Cells, style: Style) -> Image.Image:
    """Return one picture of everything; by default a row an image, the original first.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    layout, width = grid_layout(content, style), style.width
    return sheet(
        layout.headings,
        grid_panels(content, layout, style),
        width=width,
        colormap=style.colormap,
        theme=style.theme or "light",
        title=style.title,
        legend=legend(content, style),
        sides=layout.sides,
        block=layout.block,
        font=style.font_file,
    )


def grid_layout(content: Cells, style: Style) -> Layout:
    """Return which cell stands where in the grid of all images."""
    return _plan(content, style, "Original").lay_out(range(len(content.images)))


def grid_panels(content: Cells, layout: Layout, style: Style) -> list[list[Panel | None]]:
    """Return the grid's panels, each no wider than a cell and no taller than twice that.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    size = style.width, 2 * style.width
    with closing_videos():
        found = [panels(row, size, style) for row in content.rows()]
    return _placed(layout, found)


def frames(content: Cells, style: Style) -> Iterator[Image.Image]:
    """Yield one picture an image, all of one size: by default the original and every column.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    width = style.width
    placing, note = _plan(content, style, "Orig. Im"), legend(content, style)
    height = _tallest(content, width)
    with closing_videos():
        for at, row in enumerate(content.rows()):
            layout = placing.lay_out([at])
            yield sheet(
                layout.headings,
                _placed(layout, {at: panels(row, (width, width), style)}),
                width=width,
                height=height,
                colormap=style.colormap,
                theme=style.theme or "dark",
                title=style.title,
                legend=note,
                sides=layout.sides,
                block=layout.block,
                captioned=style.caption != "",
                font=style.font_file,
            )


def panels(row: Sequence[Explanation], size: tuple[int, int], style: Style) -> list[Panel]:
    """Return an image's panels, the original and every column, at most of a size in px."""
    photo = overlay.fit(row[0].image.open(), *size)
    name = _title(row[0].image) if _is_named(style) else ()
    font = style.font_file
    return [Panel(photo, name)] + [
        Panel(
            cell.over(
                photo, alpha=style.alpha, colormap=style.colormap, boxes=style.boxes, font=font
            ),
            caption_lines(style.caption, cell),
        )
        for cell in row
    ]


def _title(image: ImageRef) -> tuple[str, ...]:
    """Return what stands below an image: its name; of a frame when it shows, then the film."""
    if image.frame is None:
        return (image.name,)
    return image.frame.timecode, image.frame.path.name


def legend(content: Cells, style: Style) -> list[str]:
    """Return what stands next to the colour bar: what of the picture needs to be explained."""
    notes = []
    if style.boxes:
        notes.append(f"box: heat above {100 * BOX_THRESHOLD:.0f} % around the hottest cell")
    if content.settings.get("view") == "whole":
        notes.append("whole image squashed to the input")
    if content.settings.get("size") is not None:
        notes.append(f"input {content.settings['size']} px")
    if any(cell.region.as_tuple() != (0, 0, *cell.size) for cell in content.cells):
        notes.append("hatched: not seen by the model")
    if any(cell.untrained for cell in content.cells):
        notes.append("random weights: untrained, the heat means nothing")
    return notes


def _is_named(style: Style) -> bool:
    """Return whether an image's name stands under its photo: it may stand above its column."""
    return style.caption != "" and style.rows != "models"


def _plan(content: Cells, style: Style, photo: str) -> Plan:
    return plan(content, rows=style.rows, photo=photo if style.original else None)


def _placed(
    layout: Layout, found: Sequence[Sequence[Panel]] | dict[int, list[Panel]]
) -> list[list[Panel | None]]:
    """Return the panels where the layout has them, from those of each image, the photo first."""

    def panel(place: tuple[int, int | None] | None) -> Panel | None:
        if place is None:
            return None
        image, column = place
        return found[image][0 if column is None else column + 1]

    return [[panel(place) for place in places] for places in layout.places]


def _tallest(content: Cells, width: int) -> int:
    """Return the height of the tallest photo when each fits a square of ``width`` px."""
    sizes = {cell.size for cell in content.cells}
    return max((min(width, math.ceil(width * tall / wide)) for wide, tall in sizes), default=1)


def either(names: Iterable[str]) -> str:
    """Return names as a message offers them.

    >>> either(["light", "dark"])
    "'light' or 'dark'"
    """
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}"
