"""A page before it is drawn: texts, pictures and colour bars, each with its place.

The same page is painted in pixels here, and as vectors by `effcam.comparison.pictures.figure`.
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
        left: Where the text's place begins.
        top: Where it begins, from above.
        width: How wide the place is.
        centred: Whether lines stand in the middle of it, rather than at its left.
        turned: Whether the text is read from below to above; lines then stand beside each other,
            and `width` is how tall the place is.
    """

    lines: tuple[Line, ...]
    left: int
    top: int
    width: int
    centred: bool = True
    turned: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of its place."""
        across, down = self.width, sum(line.height for line in self.lines)
        if self.turned:
            across, down = down, across
        return self.left, self.top, self.left + across, self.top + down


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, in as many pixels as it has, at a place."""

    picture: Image.Image
    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of its place."""
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
        """Left, top, right and bottom of its place."""
        return self.left, self.top, self.left + self.width, self.top + self.height


Item: TypeAlias = Text | Picture | ColourBar


@dataclass(frozen=True, slots=True)
class Band:
    """What stands across a page: its height, and its items, whose tops are from its own."""

    height: int
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Surface:
    """A page, not yet drawn.

    Attributes:
        width: Its width, in px or in any other unit.
        height: Its height, likewise.
        theme: Its colours.
        items: What stands on it.
    """

    width: int
    height: int
    theme: Theme
    items: tuple[Item, ...]


def stack(bands: Sequence[Band], width: int, margin: int, theme: Theme) -> Surface:
    """Return the page of bands below each other, with a margin above and below."""
    items: list[Item] = []
    top = margin
    for band in bands:
        items += [replace(item, top=item.top + top) for item in band.items]
        top += band.height
    return Surface(width, top + margin, theme, tuple(items))


def paint(surface: Surface) -> Image.Image:
    """Return a page whose unit is the pixel as a picture."""
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
    """Return the colours of a colour map from left to right, 256 x 1 px.

    Raises:
        ArgumentError: If matplotlib has no colour map of that name.
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
