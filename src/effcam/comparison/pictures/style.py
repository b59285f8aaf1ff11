"""Style of pictures: how cells are drawn, and what a page shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypeAlias

from effcam.comparison.pictures.captions import check_caption
from effcam.drawing import overlay
from effcam.drawing.defaults import ALPHA, COLORMAP, WIDTH
from effcam.drawing.fonts import font_file
from effcam.drawing.sheet import MIN_WIDTH
from effcam.drawing.themes import THEMES
from effcam.errors import ArgumentError, check_number
from effcam.text import quote

PageKind: TypeAlias = Literal["grid", "poster"]
PAGE_KINDS: tuple[PageKind, ...] = ("grid", "poster")
Rows: TypeAlias = Literal["images", "models", "methods"]
ROWS: tuple[Rows, ...] = ("images", "models", "methods")
ThemeName: TypeAlias = Literal["light", "dark"]

MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How cells are drawn and placed on any page.

    Attributes:
        alpha: The opacity of the strongest heat, in [0, 1].
        colormap: The name of a matplotlib colour map.
        width: The width of a cell in px.
        boxes: Whether to draw boxes around the heat.
        rows: What a row is: ``"images"``, ``"models"``, or ``"methods"``, in a block for each
            image.
        original: Whether to show the photo itself too.
        title: A line at the top.
        caption: A template for the text under a cell; ``None`` for the default, ``""`` for none.
        font: The font file for all text; ``None`` for DejaVu Sans.
        theme: ``"light"`` or ``"dark"``; ``None`` for the page's default.
        marks: Whether to mark right and wrong predictions where the truth is known.

    Raises:
        ArgumentError: If a value is impossible.
    """

    alpha: float = ALPHA
    colormap: str = COLORMAP
    width: int = WIDTH
    boxes: bool = False
    rows: Rows = "images"
    original: bool = True
    title: str = ""
    caption: str | None = None
    font: str | PathLike[str] | None = None
    theme: ThemeName | None = None
    marks: bool = True

    def __post_init__(self) -> None:
        """Check values that would otherwise fail late."""
        overlay.check_alpha(self.alpha)
        overlay.colormap_table(self.colormap)
        check_number("width", self.width, least=MIN_WIDTH, most=MAX_WIDTH)
        if self.rows not in ROWS:
            raise ArgumentError(f"rows is {either(ROWS)}, not {quote(self.rows)}")
        for name in ("original", "marks"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ArgumentError(f"{name} is True or False, not {quote(value)}")
        if not isinstance(self.title, str):
            raise ArgumentError(f"title is a text, not {quote(self.title)}")
        if self.theme is not None and self.theme not in THEMES:
            raise ArgumentError(f"theme is {either(THEMES)}, not {quote(self.theme)}")
        check_caption(self.caption)
        font_file(self.font)

    @property
    def font_file(self) -> str:
        """The path of the font, empty for DejaVu Sans."""
        return font_file(self.font)


def either(names: Iterable[str]) -> str:
    """Return names as alternatives in a sentence.

    >>> either(["light", "dark"])
    "'light' or 'dark'"
    """
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}"


def check_page(kind: str, style: Style) -> None:
    """Check the kind of a page, and that it has all that a style asks for.

    Raises:
        ArgumentError: If the kind is unknown, or it is a poster and the style is for grids only.
    """
    if kind not in PAGE_KINDS:
        raise ArgumentError(f"layout is {either(PAGE_KINDS)}, not {quote(kind)}")
    default = Style()
    for name in ("rows", "original") if kind == "poster" else ():
        if getattr(style, name) != getattr(default, name):
            raise ArgumentError(f"{name} has no meaning for a poster")
