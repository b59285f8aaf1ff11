"""Read tables of comma, semicolon, tab or space separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from effcam.errors import AnnotationError
from effcam.images.annotations.parsing import shown

IMAGE_COLUMNS = ("image", "filename", "file_name", "file", "name")
CLASS_COLUMNS = ("label", "class", "category")


def table_rows(text: str) -> list[tuple[int, list[str]]]:
    """Return line numbers and cells of a table, without empty rows.

    The separator is the most frequent of tab, comma and semicolon in the first row; white space if
    it contains none of these.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max("\t,;", key=first.count)
    if delimiter in first:
        rows = _separated(text, delimiter)
    else:
        rows = [(number, line.split()) for number, line in enumerate(lines, 1)]
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise AnnotationError("the file is empty")
    return rows


def _separated(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise AnnotationError(f"line {reader.line_num}: not a row of a table: {error}") from error


def find_columns(header: Sequence[str], names: Iterable[str]) -> list[int]:
    """Return the positions of the columns with one of the names, in the order of the names."""
    folded = [cell.casefold() for cell in header]
    return [folded.index(name) for name in names if name in folded]


def full_row(cells: list[str], width: int) -> list[str]:
    """Check the number of cells of a row, and return them."""
    if len(cells) != width:
        raise AnnotationError(f"expected {width} cells, found {len(cells)}: {shown(cells)}")
    return cells


def nonempty(text: str, what: str) -> str:
    """Check that a cell is not empty, and return its text."""
    if not text:
        raise AnnotationError(f"expected {what}, found an empty cell")
    return text
