"""A matrix of numbers as a picture: coloured cells, their numbers, rows and columns named alike."""

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
    values: NDArray[np.floating], labels: Sequence[str], *, title: str, low: float = 0.0
) -> Image.Image:
    """Return a square matrix as a picture: cells coloured from ``low`` to 1, with their numbers.

    Args:
        values: (n, n), at most 1; NaN is drawn grey, with a dash.
        labels: The name of each row, and of the column of the same number.
        title: What stands above it.
        low: The value of the darkest colour; smaller ones have it too.

    Raises:
        ArgumentError: If the matrix is empty, or has not one label a row.
    """
    count = len(labels)
    if values.shape != (count, count) or not count:
        raise ArgumentError(f"{count} labels do not name a matrix of shape {values.shape}")
    names = [fit_text(label, TEXT, WIDEST_NAME, NAME_LINES) for label in labels]
    above = [fit_text(label, TEXT, CELL - 4, NAME_LINES) for label in labels]
    left = MARGIN + max(measure_text(line.text, line) for lines in names for line in lines) + 10
    width = max(left + count * CELL + MARGIN, MARGIN * 2 + 260)
    heading = fit_text(title, TITLE, width - 2 * MARGIN, 4)
    header = MARGIN + text_height(heading) + 10
    top = header + max(map(text_height, above)) + 6
    page = Image.new("RGB", (width, top + count * CELL + MARGIN), THEMES["light"].page)
    put_text(page, heading, (MARGIN, MARGIN), width, THEMES["light"], centred=False)
    for at in range(count):
        start = top - 6 - text_height(above[at])
        put_text(page, above[at], (left + at * CELL + 2, start), CELL - 4, THEMES["light"])
        middle = top + at * CELL + (CELL - text_height(names[at])) // 2
        put_text(page, names[at], (MARGIN, middle), left, THEMES["light"], centred=False)
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
