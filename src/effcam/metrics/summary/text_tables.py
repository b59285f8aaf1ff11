"""The tables of a summary, for all formats, and as plain text."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from effcam.metrics.summary.confusions import Confusion, listed_pairs
from effcam.metrics.summary.records import MODEL, Fact, Figure, Measure, baseline_names
from effcam.text import GAP, align

WIDTH = 110
"""The longest line of plain text, in characters."""

CONFUSED = "most confused"
"""The title of the table of confused classes."""
MOST_PAIRS, FEW_COLUMNS = 3, 5
"""How many pairs a column has at most, and with how many columns; with more, each has one."""
COUNTED = "Images of the true class with this prediction, of all images of the class."
SHARE = Figure(
    "confusion",
    "share of the class",
    CONFUSED,
    unit="%",
    explains="The share of the images of the true class that have this prediction.",
)

LONGEST = 36
"""The longest label or fact in a plain-text table, in characters."""


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    interval: str = ""
    best: bool = False


class Column(NamedTuple):
    """A fact or a figure in a table: one cell per row."""

    heading: str
    explains: str
    is_number: bool
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """The facts and figures of a group; ``models`` rows of models, then those of baselines."""

    group: str
    labels: tuple[str, ...]
    models: int
    columns: tuple[Column, ...]

    def rows(self) -> Iterator[tuple[str, tuple[Cell, ...]]]:
        """Yield the label and the cells of each row."""
        cells = zip(*(column.cells for column in self.columns), strict=True)
        return zip(self.labels, cells, strict=True)


class Contents(NamedTuple):
    """The contents of a summary in every format.

    ``opening`` states the number of images, ``legend`` the meaning of the marks; ``notes`` are
    whole sentences.
    """

    opening: str
    tables: Sequence[Table]
    legend: Sequence[str]
    notes: Sequence[str]


def tables(
    labels: Sequence[str], facts: Sequence[Fact], measures: Sequence[Measure]
) -> list[Table]:
    """Return one table per group."""
    groups = dict.fromkeys([MODEL, *(measure.figure.group for measure in measures)])
    found = [_table(group, labels, facts, measures) for group in groups]
    return [table for table in found if table.columns]


def _table(
    group: str, labels: Sequence[str], facts: Sequence[Fact], measures: Sequence[Measure]
) -> Table:
    inside = [measure for measure in measures if measure.figure.group == group]
    names = baseline_names(inside)
    columns = [_measure_column(measure, names) for measure in inside]
    if group == MODEL:
        blank = (Cell(""),) * len(names)
        columns[:0] = [
            Column(fact.title, "", False, (*map(Cell, fact.texts), *blank)) for fact in facts
        ]
    rows = (*labels, *(f"({name})" for name in names))
    return Table(group, rows, len(labels), tuple(columns))


def pairs_of_each(columns: int) -> int:
    """Return how many pairs of confused classes each of some columns has in a table."""
    return MOST_PAIRS if columns <= FEW_COLUMNS else 1


def confusion_table(confusions: Sequence[Confusion], columns: int) -> Table | None:
    """Return a table of the most confused pairs of classes, ``None`` without any.

    Args:
        confusions: The pairs, those of a column together.
        columns: The number of columns: with many of them, each has fewer pairs.
    """
    by_columns = listed_pairs(confusions, pairs_of_each(columns))
    rows = [(", ".join(names), each) for names, own in by_columns.items() for each in own]
    if not rows:
        return None
    pairs = [each for _, each in rows]
    shares = [SHARE.show(each.share) for each in pairs]
    ends = [SHARE.interval(each.low, each.high) for each in pairs]
    counts = [f"{each.images:,} of {each.of:,}" for each in pairs]
    cells = (
        Column("true class", "", False, tuple(Cell(each.truth) for each in pairs)),
        Column("predicted", "", False, tuple(Cell(each.predicted) for each in pairs)),
        Column("images", COUNTED, True, tuple(map(Cell, counts))),
        Column(SHARE.heading, SHARE.explains, True, tuple(map(Cell, shares, ends))),
    )
    return Table(CONFUSED, tuple(names for names, _ in rows), len(rows), cells)


def _measure_column(measure: Measure, baselines: Sequence[str]) -> Column:
    figure, winners = measure.figure, measure.winners()
    cells = [
        Cell(figure.show(value), figure.interval(low, high), at in winners)
        for at, (value, low, high) in enumerate(
            zip(measure.values, measure.low, measure.high, strict=True)
        )
    ]
    cells += [Cell(figure.show(measure.baselines.get(name, math.nan))) for name in baselines]
    return Column(figure.heading, figure.explains, True, tuple(cells))


def plain(contents: Contents) -> str:
    """Return a summary as plain text, in lines of `WIDTH` characters at most."""
    blocks = [block for table in contents.tables for block in _blocks(table)]
    notes = [
        textwrap.fill(flat(note), WIDTH, initial_indent="- ", subsequent_indent="  ")
        for note in contents.notes
    ]
    legend = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in contents.legend]
    parts = [contents.opening, *blocks, "\n".join(legend)]
    parts += ["\n".join(["Notes", *notes])] if notes else []
    return "\n\n".join(part for part in parts if part)


def flat(text: str) -> str:
    """Return text as one line."""
    return " ".join(text.split())


def _short(text: str) -> str:
    """Return text as one line; shorten it in the middle to `LONGEST` characters."""
    text = flat(text)
    if len(text) <= LONGEST:
        return text
    half = (LONGEST - 1) // 2
    return f"{text[: LONGEST - 1 - half]}…{text[-half:]}"


def _blocks(table: Table) -> Iterator[str]:
    """Yield a table as the fewest blocks of plain text whose lines fit `WIDTH` characters."""
    labels = [flat(table.group), *map(_short, table.labels)]
    columns = [_text_column(column) for column in table.columns]
    room = WIDTH - max(map(len, labels))
    widths = [len(GAP) + max(map(len, column)) for column in columns]
    for part in _parts(widths, room):
        right = [at for at, column in enumerate(table.columns[part], 1) if column.is_number]
        yield align(list(zip(labels, *columns[part], strict=True)), right=right)


def _text_column(column: Column) -> list[str]:
    """Return the heading and the cells, with values, marks and intervals aligned."""
    cells = column.cells
    if not column.is_number:
        return [_short(column.heading), *(_short(cell.text) for cell in cells)]
    value, span = (
        max(map(len, texts)) for texts in zip(*(cell[:2] for cell in cells), strict=True)
    )
    mark = any(cell.best for cell in cells)
    return [f" {column.heading}"] + [
        f" {cell.text:>{value}}"
        + ("*" * cell.best).ljust(mark)
        + f" {cell.interval:>{span}}" * (span > 0)
        for cell in cells
    ]


def _parts(widths: Sequence[int], room: int) -> list[slice]:
    """Return the columns of each block: the fewest blocks, evenly filled."""
    fewest = len(_packed(widths, room))
    packed = (_packed(widths, limit) for limit in range(room + 1))
    return next(parts for parts in packed if len(parts) == fewest)


def _packed(widths: Sequence[int], room: int) -> list[slice]:
    """Return the columns of blocks that are filled one after the other, at least one in each."""
    starts, used = [0], 0
    for at, width in enumerate(widths):
        if used and used + width > room:
            starts.append(at)
            used = 0
        used += width
    return [slice(*ends) for ends in itertools.pairwise([*starts, len(widths)])]
