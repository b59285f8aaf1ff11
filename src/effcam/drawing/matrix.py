"""A square matrix as a picture: coloured cells with their numbers, the same names on both axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from effcam.drawing.overlay import colormap_table
from effcam.drawing.text import Line, fit_text, measure_text, put_text, text_height
from effcam.drawing.themes import THEMES
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL = 84
MARGIN = 16
GAP = 2
TEXT = Line("", 15)
TITLE = Line("", 17, bold=True)
WIDEST_NAME = 220
NAME_LINES = 3
COLORMAP = "viridis"
NOTHING = (232, 232, 232)
LUMA = (0.299, 0.587, 0.114)


def draw_matrix(
    values: NDArray[np.floating], names: Sequence[str], *, title: str, low: float = 0.0
) -> Image.Image:
    """Draw a square matrix: cells coloured from ``low`` to 1, with their numbers.

    Args:
        values: (n, n), at most 1; NaN is drawn grey, with a dash.
        names: The name of each row, and of the column with the same number.
        title: The title at the top.
        low: The value of the darkest colour, which smaller values get too.

    Raises:
        ArgumentError: If the matrix is empty, or the number of names is not that of rows.
    """
    count = len(names)
    if values.shape != (count, count) or not count:
        raise ArgumentError(f"there are {count} names for a matrix of shape {values.shape}")
    beside = [fit_text(name, TEXT, WIDEST_NAME, NAME_LINES) for name in names]
    above = [fit_text(name, TEXT, CELL - 4, NAME_LINES) for name in names]
    left = MARGIN + max(measure_text(line.text, line) for lines in beside for line in lines) + 10
    width = max(left + count * CELL + MARGIN, MARGIN * 2 + 260)
    heading = fit_text(title, TITLE, width - 2 * MARGIN, 4)
    header = MARGIN + text_height(heading) + 10
    top = header + max(map(text_height, above)) + 6
    page = Image.new("RGB", (width, top + count * CELL + MARGIN), THEMES["light"].page)
    put_text(page, heading, (MARGIN, MARGIN), width, THEMES["light"], centred=False)
    for at in range(count):
        start = top - 6 - text_height(above[at])
        put_text(page, above[at], (left + at * CELL + 2, start), CELL - 4, THEMES["light"])
        middle = top + at * CELL + (CELL - text_height(beside[at])) // 2
        put_text(page, beside[at], (MARGIN, middle), left, THEMES["light"], centred=False)
        for other in range(count):
            page.paste(_cell(float(values[at, other]), low), (left + other * CELL, top + at * CELL))
    return page


def _cell(value: float, low: float) -> Image.Image:
    colour, text = NOTHING, "\u2013"
    if math.isfinite(value):
        level = round(255 * min(max((value - low) / (1 - low), 0), 1))
        red, green, blue = map(int, colormap_table(COLORMAP)[level])
        colour = red, green, blue
        text = f"{value:z.2f}"
    cell = Image.new("RGB", (CELL, CELL), THEMES["light"].page)
    cell.paste(colour, (0, 0, CELL - GAP, CELL - GAP))
    dark = np.dot(LUMA, colour) < 140
    lines = fit_text(text, TEXT, CELL, 1)
    place = (0, (CELL - GAP - text_height(lines)) // 2)
    put_text(cell, lines, place, CELL - GAP, THEMES["dark" if dark else "light"])
    return cell
