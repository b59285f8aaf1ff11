"""Text that fits its place, drawn on pictures.

Text is set glyph by glyph from left to right, in DejaVu Sans (Latin, Greek, Cyrillic and more). A
character that the font lacks shows as a box. Lengths are in px.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image, ImageDraw

from effcam.drawing.fonts import load_font
from effcam.drawing.themes import Theme

ELLIPSIS = "\u2026"
NO_BREAK = "\u00a0"
MIN_FONT = 8
"""The smallest font size in px; smaller text is shortened instead."""
LONGEST_TEXT = 1000
"""The most characters of a text that are set: far more than a cell can hold."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text that fits its place, in DejaVu Sans unless `font` is a file."""

    text: str
    size: int
    bold: bool = False
    muted: bool = False
    font: str = ""

    @property
    def height(self) -> int:
        """The height in px."""
        return line_height(self.size)


def line_height(size: int) -> int:
    """Return the height of a line of text of a font size, both in px."""
    return math.ceil(size * 1.25)


def measure_text(text: str, like: Line) -> int:
    """Return the width of a text in px, in the font of a line."""
    # One px more on either side holds ink outside of the glyph's advance, as in "j".
    return math.ceil(load_font(like.size, like.bold, like.font).getlength(text)) + 2


@lru_cache(maxsize=1024)
def ink(line: Line) -> Image.Image:
    """Draw a line of text as a mask of mode L, clipped to the line's height."""
    mask = Image.new("L", (measure_text(line.text, line), line.height))
    baseline = round(line.size * 0.98)
    font = load_font(line.size, line.bold, line.font)
    ImageDraw.Draw(mask).text((1, baseline), line.text, fill=255, font=font, anchor="ls")
    return mask


def _clean(text: str) -> str:
    """Return the text on one line, without invisible characters."""
    shown = []
    for character in unicodedata.normalize("NFC", text[:LONGEST_TEXT]):
        category = unicodedata.category(character)
        if character != NO_BREAK and (category[0] == "Z" or category == "Cc"):
            shown.append(" ")
        elif category[0] != "C":
            shown.append(character)
    return re.sub(" +", " ", "".join(shown)).strip()


# Where a line may end, besides spaces: after the punctuation of names, as in
# tf_efficientnet_b0.in1k, and in scripts without spaces after each character. Numbers stay whole,
# with "= " and " %".
_SEPARATORS = "_\\-/.,:+\u2026"
_NO_SPACES = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
_LETTER = f"[^ {_SEPARATORS}{_NO_SPACES}]"
_NUMBER = r"(?:= )?[+-]\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)+(?: %)?|\d+ %"
_PIECES = re.compile(f"[{_NO_SPACES}]|{_NUMBER}|{_LETTER}*[{_SEPARATORS}]+|{_LETTER}+| ")
# If that is not enough, also before a capital, as in SunsetAtTheLake.
_CAMEL = re.compile(r"(?<=[^\W\dA-Z_])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\dA-Z_])")
_FILE = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


def _pieces(text: str, *, camel: bool) -> list[str]:
    """Cut a text where lines may end."""
    pieces = _PIECES.findall(text)
    return [part for piece in pieces for part in _CAMEL.split(piece)] if camel else pieces


def _wrap(pieces: Iterable[str], like: Line, width: int) -> list[str] | None:
    """Put pieces on lines no wider than `width`; return ``None`` if one is wider."""
    lines, line = [], ""
    for piece in pieces:
        if measure_text((line + piece).rstrip(), like) <= width:
            line += piece
            continue
        if measure_text(piece.rstrip(), like) > width:
            return None
        lines.append(line)
        line = piece
    return [*lines, line]


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, if each less than one that fits does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@lru_cache(maxsize=4096)
def fit_text(text: str, like: Line, width: int, most: int) -> tuple[Line, ...]:
    """Fit a text on at most `most` lines: unchanged, else smaller, else shortened.

    Lines end between words, or after the punctuation of names, never within a word. A name, of a
    model or a file, is shortened in its middle, as both its ends matter; a sentence at its end.
    """
    text = _clean(text)
    sizes = [max(MIN_FONT, round(like.size * scale)) for scale in (1.0, 0.92, 0.85)]
    # A smaller word is easier to read than a word on two lines.
    for camel, size in itertools.product((False, True), sizes):
        style = replace(like, size=size)
        lines = _wrap(_pieces(text, camel=camel), style, width)
        if lines is not None and len(lines) <= most:
            break
    else:
        lines = _shorten(text, style, width, most)
    return tuple(replace(style, text=line.strip()) for line in lines)


def _shorten(text: str, style: Line, width: int, most: int) -> list[str]:
    """Return at most `most` lines of a text that does not fit, with an ellipsis."""
    is_name = " " not in text or _FILE.search(text) is not None

    def shortened(kept: int) -> str:
        head = math.ceil(kept / 2) if is_name else kept
        tail = text[len(text) - (kept - head) :] if is_name else ""
        return text[:head].rstrip() + ELLIPSIS + tail.lstrip()

    def lines_of(kept: int) -> list[str]:
        lines = _wrap(_pieces(shortened(kept), camel=True), style, width)
        return lines if lines is not None and len(lines) <= most else []

    kept = _longest(len(text) - 1, lambda kept: bool(lines_of(kept)))
    # A long word leaves lines empty: one line may hold more of it.
    single = _longest(len(text) - 1, lambda kept: measure_text(shortened(kept), style) <= width)
    return lines_of(kept) if kept > single else [shortened(single)]


def stack_text(texts: Sequence[str], like: Line, width: int, room: int) -> tuple[Line, ...]:
    """Set texts below each other on at most `room` lines, each on two if there is room."""
    spare = room - len(texts)
    lines: list[Line] = []
    for place, text in enumerate(texts):
        style = replace(like, text="", muted=place > 0)
        fitted = fit_text(text, style, width, 2 if spare > 0 else 1)
        spare -= len(fitted) - 1
        lines += fitted
    return tuple(lines)


def put_text(
    page: Image.Image,
    lines: Sequence[Line],
    corner: tuple[int, int],
    width: int,
    theme: Theme,
    *,
    centred: bool = True,
) -> None:
    """Draw lines below each other, from `corner` on, within `width`."""
    left, top = corner
    for line in lines:
        mask = ink(line)
        if mask.width > width:
            mask = mask.crop((0, 0, width, mask.height))
        indent = (width - mask.width) // 2 if centred else 0
        page.paste(theme.muted if line.muted else theme.text, (left + indent, top), mask)
        top += line.height


def text_height(lines: Sequence[Line]) -> int:
    """Return the height of lines below each other, in px."""
    return sum(line.height for line in lines)
