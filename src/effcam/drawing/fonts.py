"""Which font text is drawn in: DejaVu Sans, which matplotlib brings, or a file of the user's."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path

from PIL import ImageFont

from effcam.errors import ArgumentError
from effcam.text import quote

SCALABLE = (b"\0\1\0\0", b"OTTO", b"true", b"ttcf")
"""How TrueType and OpenType files begin, and collections of them."""


@lru_cache(maxsize=64)
def load_font(size: int, bold: bool, file: str = "") -> ImageFont.FreeTypeFont:
    """Return a font at a size in px.

    Args:
        size: The size in px.
        bold: Whether it is the bold one of DejaVu Sans; a file has one weight, its own.
        file: The font's file; empty for DejaVu Sans.
    """
    if not file:
        import matplotlib

        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        file = str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))
    # The basic engine is part of every Pillow, so that a sheet looks the same everywhere.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def font_file(font: str | PathLike[str] | None) -> str:
    """Return the path of a font's file, empty for ``None``, after making sure that it is one.

    Raises:
        ArgumentError: If it is no path, there is no such file, or it is no scalable font.
    """
    if font is None:
        return ""
    if not isinstance(font, str | PathLike):
        raise ArgumentError(f"font is the path of a .ttf or .otf file, not {quote(font)}")
    path = Path(fspath(font)).expanduser()
    try:
        with path.open("rb") as stream:
            scalable = stream.read(4) in SCALABLE
        if scalable:
            load_font(12, False, str(path)).getlength("a")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ArgumentError(f"font {quote(str(font))} cannot be read: {reason}") from error
    if not scalable:
        raise ArgumentError(f"font {quote(str(font))} is no TrueType or OpenType file")
    return str(path)
