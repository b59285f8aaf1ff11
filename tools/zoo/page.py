"""Write the page of the documentation with a row for each classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

ORDER = ("SILENTLY WRONG", "not judged", "refused", "right with a note", "right")

INTRODUCTION = """\
# Classifiers of other packages

effcam finds the target layer of any network by a trace. This table shows what it does with
{count} classifiers of {packages} packages. `tools/zoo_sweep.py` makes it: it builds each with
seeded random weights and judges the result without effcam's own rules.

- **past** is the share of the scores' change that goes past the map: the cells of the target layer
  are held at what one image gave while another image runs. Where the cells are pooled, the right
  layer is the last one with 0. A class token carries evidence past every layer; there the share is
  reported.
- **in place** is the share of the change that lies in the cells over an object that is pasted into
  the image; by chance it is 0.25.
- **difference** is the largest one between effcam's map and a Grad-CAM by hand at the same layer,
  as a share of the peak.

*Not judged* are classifiers that could not be installed, built or run, or that needed more than
8 GB or 15 minutes.

Made with effcam {effcam}, torch {torch}, timm {timm}. {counts}.
"""

Row = Mapping[str, Any]


def write_page(path: Path, rows: Sequence[Row], versions: Mapping[str, str]) -> None:
    """Write the page for the findings of all classifiers."""
    counts = Counter(row["verdict"] for row in rows)
    summary = ", ".join(f"{each}: {counts[each]}" for each in reversed(ORDER) if counts[each])
    text = INTRODUCTION.format(
        count=len(rows),
        packages=len({row["package"] for row in rows}),
        counts=summary,
        **versions,
    )
    parts = [text, table(rows), _problems(rows)]
    path.write_text("\n".join(each for each in parts if each), encoding="utf-8")


def table(rows: Iterable[Row]) -> str:
    """Return the Markdown table of the findings, sorted by verdict and package."""
    header = (
        "package", "version", "classifier", "target layer", "grid", "past", "in place",
        "difference", "verdict",
    )  # fmt: skip
    ordered = sorted(rows, key=lambda row: (ORDER.index(row["verdict"]), row["package"].casefold()))
    lines = [header, ["---"] * len(header), *map(_cells, ordered)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cells(row: Row) -> list[str]:
    past = max(
        (row[each] for each in ("past", "cells_past") if row[each] is not None), default=None
    )
    return [
        row["package"],
        row["version"],
        row["name"],
        f"`{row['layer']}`" if row["layer"] else "",
        row["grid"],
        _number(past, ".2f"),
        _number(row["place"], ".2f"),
        _number(row["difference"], ".0e"),
        row["verdict"],
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _problems(rows: Iterable[Row]) -> str:
    lines = [
        f"- {row['package']} {row['name']} ({row['verdict']}): {_escaped(row['remarks'])}"
        for row in rows
        if row["verdict"] != "right" and row["remarks"]
    ]
    return "\n".join(["## What effcam says", "", *lines, ""]) if lines else ""


def _escaped(remarks: Sequence[str]) -> str:
    text = "; ".join(shorten(each, 300, placeholder=" ...") for each in remarks)
    for mark in "\\`*_<>[]{}$":
        text = text.replace(mark, "\\" + mark)
    return text
