"""The font of text: DejaVu Sans, which comes with matplotlib, or a user's file."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path

from PIL import ImageFont

from effcam.errors import ArgumentError
from effcam.text import quote

SCALABLE = (b"\0\1\0\0", b"OTTO", b"true", b"ttcf")
"""The first bytes of TrueType and OpenType files and collections."""


@lru_cache(maxsize=64)
def load_font(size: int, bold: bool, file: str = "") -> ImageFont.FreeTypeFont:
    """Return a font at a size in px.

    Args:
        size: The size in px.
        bold: Whether to use the bold DejaVu Sans; a file has only its own weight.
        file: The font's file; empty for DejaVu Sans.
    """
    if not file:
        import matplotlib

        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        file = str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))
    # Every Pillow has the basic engine, so pictures look the same everywhere.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def has_glyphs(file: str, text: str) -> bool:
    """Return whether a font has a glyph for each character of a text.

    Args:
        file: The font's file; empty for DejaVu Sans, which has those that effcam draws.
        text: The text.
    """
    if not file:
        return True
    from matplotlib import font_manager

    font = font_manager.get_font(file)
    return all(font.get_char_index(ord(character)) for character in text)


def font_file(font: str | PathLike[str] | None) -> str:
    """Check a font file and return its path, empty for ``None``.

    Raises:
        ArgumentError: If it is not a path, does not exist, or is not a scalable font.
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
        raise ArgumentError(f"font {quote(str(font))} is not a TrueType or OpenType file")
    return str(path)
