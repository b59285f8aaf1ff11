"""The summary: single values, differences, findings, and all formats."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from effcam.drawing.reliability_plot import draw_reliability
from effcam.errors import ArgumentError, CellError, did_you_mean
from effcam.files import atomic, check_path
from effcam.metrics.calibration_result import Calibration, merge_equal, panel_of
from effcam.metrics.summary import findings, machine_readable, markup
from effcam.metrics.summary.chart import chart
from effcam.metrics.summary.confusions import Confusion
from effcam.metrics.summary.published import PublishedValue
from effcam.metrics.summary.records import Difference, Fact, Measure
from effcam.metrics.summary.text_tables import Contents, confusion_table, plain, tables
from effcam.names import find_name
from effcam.text import count, listed

if TYPE_CHECKING:
    import pandas
    import polars
    from matplotlib.figure import Figure as Canvas

    from effcam.data_frames import Kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summary:
    """The summary of a comparison: facts and measures of each column.

    It prints as plain-text tables, and displays as HTML in a notebook; `save` writes these and
    other formats. ``summary["EB0", "effective_area"]`` is a single value.

    Attributes:
        columns: The columns' labels.
        images: The number of images.
        used: The number of images that figures other than accuracy include.
        facts: Facts of each column.
        measures: Measures of each column.
        notes: Notes for the reader, in whole sentences.
        calibration: How well the probabilities of predicted classes hold, by column; empty with
            fewer than a hundred labelled images.
        confusions: The pairs of classes that each column confuses most, by column and frequency.
        published: The published figures of the columns' models, and where they are from.

    Raises:
        ArgumentError: If a fact or a measure does not have one entry per column.
    """

    columns: tuple[str, ...]
    images: int
    used: int
    facts: tuple[Fact, ...] = field(default=(), repr=False)
    measures: tuple[Measure, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    calibration: Mapping[str, Calibration] = field(default_factory=dict, repr=False)
    confusions: tuple[Confusion, ...] = field(default=(), repr=False)
    published: tuple[PublishedValue, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        entries = [(fact.title, len(fact.texts)) for fact in self.facts]
        entries += [(measure.figure.key, len(measure.values)) for measure in self.measures]
        for name, found in entries:
            if found != len(self.columns):
                raise ArgumentError(
                    f"{name!r} has {found} entries, but there are {len(self.columns)} columns"
                )

    def __repr__(self) -> str:
        used = "" if self.used == self.images else f" ({self.used:,} used)"
        figures = [measure.figure.key for measure in self.measures]
        lines = [
            f"Summary: {count(self.images, 'image')}{used} x {count(len(self.columns), 'column')}",
            f"columns  {listed(self.columns)}",
        ]
        if figures:
            lines.append(f"figures  {listed(figures)}")
            lines.append(f"next     print(summary), summary[{self.columns[0]!r}, {figures[-1]!r}]")
        return "\n".join(lines)

    def __getitem__(self, key: tuple[int | str, str]) -> float:
        """Return the value of a column, by position or label, and a figure, by its key.

        Raises:
            CellError: If there is no such column or figure.
            ArgumentError: If a key is neither.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ArgumentError(f"summary[column, figure] takes two keys, not {key!r}")
        return float(self.measure(key[1]).values[find_name("column", key[0], self.columns)])

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
        """Return every two columns that differ significantly in a figure, the largest first.

        The first of the two is the larger. Significant is at 5 % for all pairs of the figure
        together (Holm); the interval of a difference is that of this pair alone.

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
            if measure.compared(i, j) and measure.tells_apart(i, j)
        ]
        return sorted((each for each in found if each.value > 0), key=lambda each: -each.value)

    def findings(self) -> list[str]:
        """Return one sentence per figure: the best column, and those that differ significantly.

        Figures without a better direction or with fewer than two values have none.
        """
        return findings.findings(self.measures, self.columns)

    def __str__(self) -> str:
        return plain(self.contents("*"))

    def to_dict(self) -> dict[str, object]:
        """Return everything as a JSON object: unrounded values, ``None`` for NaN.

        Each measure states the unit of its values: ``"values_in": "seconds"``.
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
            "statistics": machine_readable.STATISTICS,
            "notes": list(self.notes),
            "calibration": machine_readable.calibration_dicts(self.calibration),
            "confusions": machine_readable.confusion_dicts(self.confusions),
            "published": [asdict(origin) for origin in self.published],
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """Return CSV of one row per column, then one per baseline, with unrounded values.

        Each figure has its value, the ends of its interval, and the number of images; empty if
        there is none.
        """
        return machine_readable.to_csv(self.columns, self.facts, self.measures)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows of `to_csv` as a pandas data frame, with an index from 0.

        Numbers of images are ``Int64``; what is missing is ``NA`` there and NaN elsewhere.

        Raises:
            OutputError: If pandas is not installed (``pip install 'effcam[pandas]'``).
        """
        from effcam.data_frames import to_pandas

        return to_pandas(*self._table())

    def to_polars(self) -> polars.DataFrame:
        """Return the rows of `to_csv` as a polars data frame; what is missing is null.

        Raises:
            OutputError: If polars is not installed (``pip install 'effcam[polars]'``).
        """
        from effcam.data_frames import to_polars

        return to_polars(*self._table())

    def _table(self) -> tuple[list[dict[str, object]], dict[str, Kind]]:
        """Return the rows of `to_csv`, and what their columns hold."""
        rows = machine_readable.records(self.columns, self.facts, self.measures)
        return rows, machine_readable.columns_of(self.facts, self.measures)

    def to_markdown(self) -> str:
        """Return one table per group in GitHub's Markdown; the best values in bold."""
        return markup.to_markdown(self.contents("bold:"))

    def to_latex(self) -> str:
        r"""Return one ``tabular`` per group, for ``\usepackage{booktabs}``; the best in bold."""
        return markup.to_latex(self.contents("bold:"))

    def _repr_html_(self) -> str:
        """Return one table per group and the notes, for notebooks, without scripts or downloads."""
        return markup.to_html(self.contents("bold:"))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a file in the format that its suffix names, and return its path.

        ``.txt`` is the printed text; ``.md``, ``.tex``, ``.csv`` and ``.json`` are the results of
        `to_markdown`, `to_latex`, `to_csv` and `to_json`; ``.html`` is a page.

        Raises:
            OutputError: If the suffix is unknown or the file cannot be written.
        """
        target = check_summary_output(path)
        content = FORMATS[target.suffix.lower()](self)
        with atomic(target) as partial, partial.open("wb") as stream:
            # As bytes, so that line ends are the same on every system.
            stream.write(content.encode("utf-8", errors="backslashreplace"))
        return target

    def plot(self, x: str = "parameters", y: str | None = None) -> Canvas:
        """Return a chart of one point per column, with intervals as bars and baselines as lines.

        A notebook displays the chart; ``savefig`` writes it. Parameters and operations have a
        logarithmic axis. Columns without a value of either figure are left out.

        Args:
            x: The key of the figure along the horizontal axis.
            y: The key of the figure along the vertical axis; by default the first of the group
                "localisation", else of "focus", else the first with a better direction.

        Raises:
            CellError: If there is no such figure.
            ArgumentError: If no column has values of both.
            OutputError: If matplotlib is not installed.
        """
        across = self.measure(x)
        up = self._default_measure(x) if y is None else self.measure(y)
        return chart(self.columns, across, up)

    def reliability_plot(self) -> Canvas:
        """Return a figure of how often each column is right over how sure it is.

        A point is a bin of about as many labelled images, and its bar a 95 % interval; points below
        the dashed line are predictions that were right less often than their probability. Columns
        of one model under several methods share a plot.

        Raises:
            ArgumentError: If there is no calibration: with fewer than a hundred labelled images, or
                without a column that predicts one class an image.
            OutputError: If matplotlib is not installed.
        """
        panels = [panel_of(each, label) for label, each in merge_equal(self.calibration)]
        return draw_reliability(panels)

    def _default_measure(self, x: str) -> Measure:
        """Return the default measure of the vertical axis."""
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
        """Return the contents of every format.

        Args:
            mark: The name of the mark of the best values in the legend.
        """
        listed = [measure for measure in self.measures if measure.figure.listed]
        confused = confusion_table(self.confusions, len(self.columns))
        others = ["accuracy", *(["calibration"] if self.calibration else [])]
        return Contents(
            findings.opening(self.images, self.used, others + ["confusions"] * bool(confused)),
            tables(self.columns, self.facts, listed) + ([confused] if confused else []),
            findings.legend(listed, mark),
            self.notes,
        )


def check_summary_output(path: str | PathLike[str]) -> Path:
    """Check that a summary can be saved at a path, and return it.

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
"""Each suffix with the function that writes its format."""
