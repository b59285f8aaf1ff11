"""Heat on a photo, and marks on it: boxes, badges, hatching.

Functions take and return ``PIL.Image.Image``, and never change a picture in place. Lengths are
in px.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from effcam.drawing.defaults import ALPHA, COLORMAP
from effcam.drawing.text import MIN_FONT, Line, fit_text, ink, line_height, put_text
from effcam.drawing.themes import THEMES
from effcam.errors import ArgumentError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray


FULL_AT = 0.5
"""The heat in [0, 1] at and above which a colour has the full opacity ``alpha``."""


@lru_cache(maxsize=32)
def colormap_table(name: str) -> NDArray[np.uint8]:
    """Return the colours of a matplotlib colour map, (256, 3) uint8, read-only.

    Raises:
        ArgumentError: If matplotlib has no colour map of that name.

    >>> colormap_table("gray")[[0, 255]].tolist()
    [[0, 0, 0], [255, 255, 255]]
    """
    import matplotlib

    if name not in matplotlib.colormaps:
        near = did_you_mean(str(name), matplotlib.colormaps)
        raise ArgumentError(
            f"no colour map is called {name!r}.{near} list(matplotlib.colormaps) has them all."
        )
    colours = matplotlib.colormaps[name](np.linspace(0, 1, 256), bytes=True)
    table = np.ascontiguousarray(colours[:, :3], dtype=np.uint8)
    table.setflags(write=False)
    return table


def check_alpha(alpha: float) -> None:
    """Check an opacity.

    Raises:
        ArgumentError: If it is not a number from 0 to 1.
    """
    if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise ArgumentError(f"alpha is an opacity from 0 to 1, not {alpha!r}.")


@lru_cache(maxsize=32)
def _opacity(alpha: float) -> list[int]:
    """Return the opacity, 0 to 255, of each of 256 strengths of heat."""
    ramp = np.minimum(np.linspace(0, 1, 256) / FULL_AT, 1)
    # The smooth step has no slope at either end. So neither the faint rim of a spot nor the place
    # where its opacity becomes constant shows as an edge that is not in the heat.
    return [round(255 * alpha * float(t * t * (3 - 2 * t))) for t in ramp]


def overlay(
    photo: Image.Image,
    heat: NDArray[np.float32],
    *,
    alpha: float = ALPHA,
    colormap: str = COLORMAP,
) -> Image.Image:
    """Draw heat in colour on a photo, (W, H) RGB: the stronger, the more opaque.

    Without heat the photo is unchanged; from half of the full heat on, the colour has the opacity
    `alpha`. A pixel depends only on its own photo and heat, so overlays can be compared.

    Args:
        photo: The photo, W x H; other modes than RGB are converted.
        heat: (H, W) float32 in [0, 1]; other values are clipped.
        alpha: Opacity of strong heat, in [0, 1]; 0 returns the photo's own pixels.
        colormap: Any matplotlib colour map.

    Raises:
        ArgumentError: If sizes differ, heat is not finite, or `alpha` or `colormap` is unknown.
    """
    check_alpha(alpha)
    if heat.shape != (photo.height, photo.width):
        raise ArgumentError(
            f"heat of shape {heat.shape} does not cover a photo of {photo.width} x {photo.height} "
            f"px: it must have shape {(photo.height, photo.width)}."
        )
    if not np.isfinite(heat).all():
        raise ArgumentError("heat holds values that are not finite; draw a badge instead.")
    # Pillow's tables and blends on 8-bit planes take a tenth of the time of float arrays.
    strength = Image.fromarray(np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8))
    colours = strength.copy()
    colours.putpalette(colormap_table(colormap).tobytes())
    mask = strength.point(_opacity(float(alpha)))
    return Image.composite(colours.convert("RGB"), photo.convert("RGB"), mask)


@lru_cache(maxsize=32)
def _hatch(width: int, height: int) -> Image.Image:
    """Draw soft diagonal stripes as a mask of mode L."""
    period = max(6.0, min(width, height) / 26)
    y, x = np.ogrid[:height, :width]
    distance = np.abs((x + y) % period - period / 2) / math.sqrt(2)
    strokes = np.clip(0.5 + period / 12 - distance, 0, 1)
    return Image.fromarray(np.rint(strokes * 70).astype(np.uint8))


def _dimmed(picture: Image.Image) -> Image.Image:
    """Make a picture grey, dark and of low contrast."""
    grey = picture.convert("L").point([round(40 + 0.36 * value) for value in range(256)])
    return grey.convert("RGB")


def shade_outside(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Grey and hatch a picture outside of a box, with a line around the box.

    Args:
        picture: The picture; other modes than RGB are converted.
        box: Left, top, right, bottom in px of the picture; rounded to whole pixels. Pixels
            inside do not change.

    Raises:
        ArgumentError: If the box is not finite, or ends before it starts.
    """
    _check_box(box)
    inside = picture.convert("RGB")
    width, height = inside.size
    left, right = (min(max(round(edge), 0), width) for edge in box[::2])
    top, bottom = (min(max(round(edge), 0), height) for edge in box[1::2])
    if (left, top, right, bottom) == (0, 0, width, height):
        return inside.copy()
    shaded = _dimmed(inside)
    shaded.paste((210, 210, 210), mask=_hatch(width, height))
    if right > left and bottom > top:
        edge = (left - 1, top - 1, right, bottom)
        ImageDraw.Draw(shaded).rectangle(edge, outline=(235, 235, 235))
        shaded.paste(inside.crop((left, top, right, bottom)), (left, top))
    return shaded


def frame(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Draw a box: a white line between black ones, visible on any picture.

    Args:
        picture: The picture; other modes than RGB are converted.
        box: Left, top, right, bottom in px of the picture. The lines lie within the picture; their
            thickness fits its size: 1 px each up to about 300 px.

    Raises:
        ArgumentError: If the box is not finite, or ends before it starts.
    """
    _check_box(box)
    framed = picture.convert("RGB").copy()
    width, height = framed.size
    thick = max(1, round(min(width, height) / 200))
    left, right = (min(max(round(edge), 0), width) for edge in box[::2])
    top, bottom = (min(max(round(edge), 0), height) for edge in box[1::2])
    # A box may be thinner than its lines.
    left, right = _apart(left, right, 3 * thick, width)
    top, bottom = _apart(top, bottom, 3 * thick, height)
    drawing = ImageDraw.Draw(framed)
    for inset, colour in ((0, (0, 0, 0)), (thick, (255, 255, 255)), (2 * thick, (0, 0, 0))):
        corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            drawing.rectangle(corners, outline=colour, width=thick)
    return framed


def _apart(start: int, stop: int, least: int, most: int) -> tuple[int, int]:
    """Move two ends apart to a least distance, as far as there is room."""
    missing = max(0, min(least, most) - (stop - start))
    start = max(0, min(start - missing // 2, most - min(least, most)))
    return start, min(most, max(stop, start + min(least, most)))


def _check_box(box: tuple[float, float, float, float]) -> None:
    if not all(map(math.isfinite, box)) or box[2] < box[0] or box[3] < box[1]:
        raise ArgumentError(f"a box is left, top, right, bottom in px, not {box!r}.")


def badge(picture: Image.Image, text: str, *, font: str = "") -> Image.Image:
    """Grey a picture, with a short text on a plate in its middle.

    The text shrinks and wraps to fit; if it still does not fit, it is shortened.
    """
    dimmed = _dimmed(picture)
    width, height = dimmed.size
    size = min(max(round(min(width, height) / 13), MIN_FONT + 1), 30)
    pad = max(2, round(size * 0.55))
    most = max(1, min(4, (height - 2 * pad) // line_height(size)))
    lines = fit_text(text, Line("", size, font=font), max(1, width - 2 * pad), most)
    plate_width = min(width, max(ink(line).width for line in lines) + 2 * pad)
    plate_height = min(height, sum(line.height for line in lines) + 2 * pad)
    left, top = (width - plate_width) // 2, (height - plate_height) // 2
    plate = Image.new("L", (4 * plate_width, 4 * plate_height))
    corners = (0, 0, plate.width - 1, plate.height - 1)
    ImageDraw.Draw(plate).rounded_rectangle(corners, radius=2 * size, fill=225)
    dimmed.paste((18, 18, 20), (left, top), plate.reduce(4))
    put_text(dimmed, lines, (left, top + pad), plate_width, THEMES["dark"])
    return dimmed


def fit(photo: Image.Image, width: int, height: int | None = None) -> Image.Image:
    """Resize a photo to fit `width` x `height` px, keeping its proportions.

    Args:
        photo: The photo; other modes than RGB are converted.
        width: The most width in px.
        height: The most height in px; ``None`` for no limit.
    """
    scale = width / photo.width
    if height is not None:
        scale = min(scale, height / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    if size == photo.size:
        return photo.convert("RGB")
    filtered = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return photo.convert("RGB").resize(size, filtered, reducing_gap=3.0)
