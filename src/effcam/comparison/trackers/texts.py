"""Entries as text: Markdown for TensorBoard, HTML for the others, CSV for both."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from effcam.comparison.parquet import readable
from effcam.comparison.trackers.entry import Entry
from effcam.metrics.summary import markup

DIGITS = 4
"""The digits of numbers in a table for readers."""


def summary_markdown(entry: Entry) -> str:
    """Return the summary in Markdown, without notes of the trackers."""
    # Python-Markdown, which TensorBoard uses, has two spaces where GitHub also takes a backslash.
    return readable(entry.summary.to_markdown()).replace("\\\n", "  \n")


def notes_markdown(notes: Sequence[str]) -> str:
    """Return notes as a list in Markdown."""
    return "\n".join(f"- {markup.escape_markdown(note)}" for note in notes)


def table_markdown(rows: Sequence[dict[str, object]]) -> str:
    """Return rows as a table in Markdown."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([_text(row[head]) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def table_csv(rows: Sequence[dict[str, object]]) -> str:
    """Return rows as CSV, unrounded."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def summary_page(entry: Entry, notes: Sequence[str]) -> str:
    """Return the summary as an HTML page, with other notes than its own."""
    contents = entry.summary.contents("bold:")._replace(notes=notes)
    return readable(markup.to_page(contents))


def step_name(step: int | None) -> str:
    """Return the step for the name of a file, empty without one.

    >>> step_name(3), step_name(None)
    ('step_000003', '')
    """
    return "" if step is None else f"step_{step:06d}"


def _escaped(text: str) -> str:
    return text if text == "---" else markup.escape_markdown(text)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    return "" if value is None else str(value)
