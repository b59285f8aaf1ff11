"""A page before it is drawn: texts, pictures and colour bars, each with its place.

`paint` draws it in pixels, and `effcam.comparison.pictures.figure` as vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from effcam.drawing.overlay import colormap_table, fit
from effcam.drawing.text import Line, put_text
from effcam.drawing.themes import Theme


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of text below each other.

    Attributes:
        lines: The lines, each of which fits its place.
        left: The left edge of the place.
        top: The top edge of the place.
        width: The width of the place.
        centred: Whether lines are centred, rather than at the left.
        turned: Whether the text reads from bottom to top; lines then stand beside each other, and
            `width` is the height of the place.
    """

    lines: tuple[Line, ...]
    left: int
    top: int
    width: int
    centred: bool = True
    turned: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the place."""
        across, down = self.width, sum(line.height for line in self.lines)
        if self.turned:
            across, down = down, across
        return self.left, self.top, self.left + across, self.top + down


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture at a place, whose size may differ from the picture's own."""

    picture: Image.Image
    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the place."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True, slots=True)
class ColourBar:
    """The colours of a colour map, from low to high, at a place."""

    colormap: str
    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the place."""
        return self.left, self.top, self.left + self.width, self.top + self.height


Item: TypeAlias = Text | Picture | ColourBar


@dataclass(frozen=True, slots=True)
class Band:
    """A horizontal part of a page: its height, and its items, with tops relative to its own."""

    height: int
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Surface:
    """A page before it is drawn.

    Attributes:
        width: Its width, in px or any other unit.
        height: Its height, in the same unit.
        theme: Its colours.
        items: Its texts, pictures and colour bars.
    """

    width: int
    height: int
    theme: Theme
    items: tuple[Item, ...]


def stack(bands: Sequence[Band], width: int, margin: int, theme: Theme) -> Surface:
    """Stack bands to a page, with a margin above and below."""
    items: list[Item] = []
    top = margin
    for band in bands:
        items += [replace(item, top=item.top + top) for item in band.items]
        top += band.height
    return Surface(width, top + margin, theme, tuple(items))


def paint(surface: Surface) -> Image.Image:
    """Draw a page whose unit is the pixel."""
    page = Image.new("RGB", (surface.width, surface.height), surface.theme.page)
    for item in surface.items:
        if isinstance(item, Picture):
            page.paste(fit(item.picture, item.width, item.height), (item.left, item.top))
        elif isinstance(item, ColourBar):
            page.paste(strip(item.colormap).resize((item.width, item.height)), item.box[:2])
        else:
            _write(page, item, surface.theme)
    return page


def strip(colormap: str) -> Image.Image:
    """Draw the colours of a colour map from left to right, 256 x 1 px.

    Raises:
        ArgumentError: If matplotlib has no such colour map.
    """
    return Image.fromarray(colormap_table(colormap)[np.newaxis])


def _write(page: Image.Image, text: Text, theme: Theme) -> None:
    place = text.left, text.top
    if not text.turned:
        put_text(page, text.lines, place, text.width, theme, centred=text.centred)
        return
    left, top, right, bottom = text.box
    flat = Image.new("RGB", (bottom - top, right - left), theme.page)
    put_text(flat, text.lines, (0, 0), text.width, theme, centred=text.centred)
    page.paste(flat.transpose(Image.Transpose.ROTATE_90), place)
