"""The scoreboard itself: single values, differences, findings, and every way to show it."""

from __future__ import annotations

import itertools
import json
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from effcam.errors import ArgumentError, CellError, did_you_mean
from effcam.files import atomic, check_path
from effcam.metrics.summary import findings, machine_readable, markup
from effcam.metrics.summary.chart import chart
from effcam.metrics.summary.records import Difference, Fact, Measure
from effcam.metrics.summary.text_tables import Contents, plain, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summary:
    """The scoreboard of a comparison: what is known and was measured of each column.

    Printed it is tables of plain text, in a notebook of HTML; `save` writes these and others.
    ``summary["EB0", "effective_area"]`` is a single value.

    Attributes:
        columns: The columns' labels.
        images: How many images were compared.
        used: How many of them the figures other than accuracy are of.
        facts: What is known of each column.
        measures: What was measured of each column.
        notes: What a reader must know besides, in whole sentences.

    Raises:
        ArgumentError: If a fact or a measure has not one entry a column.
    """

    columns: tuple[str, ...]
    images: int
    used: int
    facts: tuple[Fact, ...] = field(default=(), repr=False)
    measures: tuple[Measure, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        entries = [(fact.title, len(fact.texts)) for fact in self.facts]
        entries += [(measure.figure.key, len(measure.values)) for measure in self.measures]
        for name, count in entries:
            if count != len(self.columns):
                raise ArgumentError(
                    f"{name!r} has {count} entries, but there are {len(self.columns)} columns"
                )

    def __getitem__(self, key: tuple[int | str, str]) -> float:
        """Return the value of a column, by position or label, and a figure, by its key.

        Raises:
            CellError: If there is no such column or figure.
            ArgumentError: If a key is neither.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ArgumentError(f"summary[column, figure] takes two keys, not {key!r}")
        return float(self.measure(key[1]).values[_position(key[0], self.columns)])

    def measure(self, key: str) -> Measure:
        """Return the measure of a figure, by its key.

        Raises:
            CellError: If there is no such figure.
        """
        by_key = {measure.figure.key: measure for measure in self.measures}
        if key not in by_key:
            raise CellError(f"no figure is called {key!r}.{did_you_mean(str(key), by_key)}")
        return by_key[key]

    def differences(self, key: str) -> list[Difference]:
        """Return every two columns that are told apart in a figure, the largest difference first.

        The first of the two is the larger.

        Args:
            key: The figure's key, as ``"pointing_game"``.

        Raises:
            CellError: If there is no such figure.
        """
        measure, labels = self.measure(key), self.columns
        pairs = itertools.permutations(range(len(labels)), 2)
        found = [
            Difference(
                measure.figure,
                labels[i],
                labels[j],
                float(measure.values[i] - measure.values[j]),
                float(measure.difference_low[i, j]),
                float(measure.difference_high[i, j]),
            )
            for i, j in pairs
            if measure.difference_low[i, j] > 0
        ]
        known = [each for each in found if not math.isnan(each.value)]
        return sorted(known, key=lambda each: -each.value)

    def findings(self) -> list[str]:
        """Return one sentence a figure: which column is best, and from which it is told apart.

        Figures without a better side or with fewer than two values have none.
        """
        return findings.findings(self.measures, self.columns)

    def __str__(self) -> str:
        return plain(self.contents("*"))

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON knows it: values as they are, ``None`` where there is none.

        What the values of a measure are in is told beside them: ``"values_in": "seconds"``.
        """
        return {
            "columns": list(self.columns),
            "images": self.images,
            "used": self.used,
            "facts": [{"title": fact.title, "texts": list(fact.texts)} for fact in self.facts],
            "measures": [
                machine_readable.measure_dict(measure, self.columns) for measure in self.measures
            ],
            "findings": self.findings(),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """Return one row a column, then one a baseline: shares, seconds and numbers as they are.

        Each figure has its value, the ends of its interval, and the number of images; empty
        where there is none.
        """
        return machine_readable.to_csv(self.columns, self.facts, self.measures)

    def to_markdown(self) -> str:
        """Return a table a group, as GitHub reads them; the best values in bold."""
        return markup.to_markdown(self.contents("bold:"))

    def to_latex(self) -> str:
        r"""Return a ``tabular`` a group, which needs ``\usepackage{booktabs}``; the best bold."""
        return markup.to_latex(self.contents("bold:"))

    def _repr_html_(self) -> str:
        """Return a table a group and the notes, for notebooks: nothing that runs or is fetched."""
        return markup.to_html(self.contents("bold:"))

    def save(self, path: str | PathLike[str]) -> Path:
        """Return the path of a file it wrote, in the format that its suffix names.

        ``.txt`` is what is printed; ``.md``, ``.tex``, ``.csv`` and ``.json`` what the methods of
        these names return; ``.html`` a page of what a notebook shows.

        Raises:
            OutputError: If the suffix is unknown or the file cannot be written.
        """
        target = check_summary_output(path)
        content = FORMATS[target.suffix.lower()](self)
        with atomic(target) as partial, partial.open("wb") as stream:
            # In bytes: line ends stay what they are, and csv reads its own on every system.
            stream.write(content.encode("utf-8", errors="backslashreplace"))
        return target

    def plot(self, x: str = "parameters", y: str | None = None) -> Canvas:
        """Return a chart of one point a column, with intervals as bars and baselines as lines.

        The chart shows itself in a notebook; ``savefig`` writes it. Parameters and operations
        have a logarithmic axis. A column without a value of either figure is left out.

        Args:
            x: The key of the figure along the horizontal axis.
            y: The key of the figure along the vertical one; if not given the first of the group
                "localisation", else of "focus", else the first that has a better side.

        Raises:
            CellError: If there is no such figure.
            ArgumentError: If no column has values of both.
            OutputError: If matplotlib is not installed.
        """
        across = self.measure(x)
        up = self._upright(x) if y is None else self.measure(y)
        return chart(self.columns, across, up)

    def _upright(self, x: str) -> Measure:
        """Return the measure that a chart shows if none was asked for."""
        others = [measure for measure in self.measures if measure.figure.key != x]
        for group in ("localisation", "focus"):
            for measure in others:
                if measure.figure.group == group:
                    return measure
        for measure in others:
            if measure.figure.better:
                return measure
        raise CellError(f"there is no figure to plot against {x!r}")

    def contents(self, mark: str) -> Contents:
        """Return what every rendering says.

        Args:
            mark: What the legend calls the mark of the best values.
        """
        return Contents(
            findings.opening(self.images, self.used),
            tables(self.columns, self.facts, self.measures),
            findings.legend(self.measures, mark),
            self.notes,
        )


def _position(key: int | str, names: Sequence[str]) -> int:
    if isinstance(key, str):
        if key not in names:
            raise CellError(f"no column is called {key!r}.{did_you_mean(key, names)}")
        return names.index(key)
    try:
        position = operator.index(key)
    except TypeError as error:
        raise ArgumentError(f"column must be a position or a label, not {key!r}") from error
    if not -len(names) <= position < len(names):
        raise CellError(f"column {position} is out of range: there are {len(names)}")
    return position % len(names)


def check_summary_output(path: str | PathLike[str]) -> Path:
    """Return the path, after making sure that a summary can be saved there.

    Raises:
        OutputError: If the suffix names no format, or the folder does not exist.
    """
    return check_path(path, FORMATS)


FORMATS: dict[str, Callable[[Summary], str]] = {
    ".txt": lambda summary: f"{summary}\n",
    ".md": Summary.to_markdown,
    ".tex": Summary.to_latex,
    ".csv": Summary.to_csv,
    ".json": lambda summary: summary.to_json() + "\n",
    ".html": lambda summary: markup.to_page(summary.contents("bold:")),
}
"""What each suffix holds."""
