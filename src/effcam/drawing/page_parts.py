"""The common parts of pages: their lengths, the title, and the colour bar with the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effcam.drawing.page import Band, ColourBar, Text
from effcam.drawing.text import MIN_FONT, Line, fit_text, ink, text_height

BAR_NOTE = "evidence, each map scaled to its own range"


@dataclass(frozen=True, slots=True)
class Measures:
    """The lengths of a page in px, which follow from its columns and the width of a cell.

    A page for print has another unit: `scale` is the size of a picture's pixel in that unit, `size`
    is the size of its text, and it has no margin.
    """

    columns: int
    width: int
    side: int = 0
    font: str = ""
    size: int | None = None
    scale: float = 1

    @property
    def text(self) -> Line:
        """The style of captions."""
        size = self.size or min(max(round(self.width / 17), MIN_FONT + 1), 24)
        return Line("", size, font=self.font)

    @property
    def strong(self) -> Line:
        """The style of headings."""
        return Line("", self.text.size, bold=True, font=self.font)

    @property
    def small(self) -> Line:
        """The style of details."""
        size = max(MIN_FONT, round(self.text.size * 0.86))
        return Line("", size, muted=True, font=self.font)

    @property
    def detail_lines(self) -> int:
        """The most lines of a detail: two in cells of few letters."""
        return 1 if self.width * (MIN_FONT + 1) >= 128 * self.text.size else 2

    @property
    def gutter(self) -> int:
        """The space between columns."""
        return max(4, round(self.width * 0.036))

    @property
    def gap(self) -> int:
        """The space between a picture and its caption."""
        return max(3, self.gutter // 2)

    @property
    def margin(self) -> int:
        """The space around everything."""
        return self.gutter + 4 if self.size is None else 0

    @property
    def inner(self) -> int:
        """The width of the page without its margins."""
        return self.side + self.columns * self.width + (self.columns - 1) * self.gutter

    def left(self, column: int) -> int:
        """Return the left edge of a column."""
        return self.margin + self.side + column * (self.width + self.gutter)


def title_band(title: str, lengths: Measures, *, fixed: bool = False) -> Band:
    """Return the title of a page; an empty band if there is none.

    Args:
        title: The text.
        lengths: The lengths of the page.
        fixed: Whether the height must not depend on the title's length.
    """
    if not title:
        return Band(0)
    size = round(lengths.text.size * 1.15) if lengths.size else lengths.text.size + 2
    style = Line("", size, bold=True, font=lengths.font)
    lines = fit_text(title, style, lengths.inner, 1 if fixed else 2)
    height = (style.height if fixed else text_height(lines)) + lengths.gutter
    return Band(height, (Text(lines, lengths.margin, 0, lengths.inner, centred=False),))


def footer_band(legend: Sequence[str], lengths: Measures, colormap: str) -> Band:
    """Return the colour bar, with its note and the legend beside it or, on narrow pages, below."""
    small, margin = lengths.small, lengths.margin
    size = small.size
    note = " \u00b7 ".join((BAR_NOTE, *filter(None, legend)))
    low, high = (Line(end, size, muted=True, font=lengths.font) for end in ("low", "high"))
    bar = min(lengths.inner, 14 * size)
    beside = lengths.inner - bar - 2 * size >= 24 * size
    left, width = (bar + 2 * size, lengths.inner - bar - 2 * size) if beside else (0, lengths.inner)
    lines = fit_text(note, small, width, 12)
    start = lengths.gutter // 2
    top = start + (0 if beside else small.height + 2)
    before, after = (ink(end).width + size // 2 for end in (low, high))
    across, thick = max(1, bar - before - after), max(5, round(size * 0.7))
    down = start + (small.height - thick) // 2
    return Band(
        top + text_height(lines),
        (
            Text(lines, margin + left, top, width, centred=False),
            Text((low,), margin, start, before, centred=False),
            ColourBar(colormap, margin + before, down, across, thick),
            Text((high,), margin + before + across + size // 2, start, after, centred=False),
        ),
    )
