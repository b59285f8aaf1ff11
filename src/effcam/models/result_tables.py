"""Read the tables of results that timm publishes: accuracies, and speeds.

They are files of the folder ``results`` of timm's repository: ``results-imagenet.csv``, those of
other data sets, and ``benchmark-infer-*.csv``. A model has a row for each input size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias

from effcam.errors import AnnotationError, ArgumentError
from effcam.images.annotations.csv_tables import full_row, nonempty, table_rows
from effcam.images.annotations.parsing import as_path, as_text, locating, read_bytes, shown

Results: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]] | None
"""One file of results or several; ``None`` is none."""

MOST_BYTES = 2**24
"""The largest file; timm's have a few hundred kB."""
ACCURACY, SPEED = "top1", "infer_samples_per_sec"
SIZES = {ACCURACY: "img_size", SPEED: "infer_img_size"}
"""The columns with a result, and those with the size of the input that it was measured at."""


class Result(NamedTuple):
    """A result of a model at one input size.

    ``value`` is a share in [0, 1] or images per s; ``size`` is the height and width of the input
    in px; ``parameters`` is the number of parameters in millions, and ``gmacs`` that of
    multiplications with an addition in 10^9 for one image, both NaN if they are not stated.
    """

    value: float
    size: int
    parameters: float
    gmacs: float = math.nan


@dataclass(frozen=True, slots=True)
class ResultTable:
    """The results of a file.

    Attributes:
        file: The file's name, without its folder.
        quantity: ``"top1"``, the share of images whose most probable class is right; or
            ``"infer_samples_per_sec"``, the number of images per second.
        results: The results by the model's name in the file, by input size in px.
    """

    file: str
    quantity: str
    results: Mapping[str, Mapping[int, Result]]


def read_results(files: Results) -> tuple[ResultTable, ...]:
    """Read one file of results or several.

    Raises:
        AnnotationError: If a file is missing or broken, or has other columns.
        ArgumentError: If an entry is no path, or two files have one name.
    """
    if files is None:
        return ()
    given = [files] if isinstance(files, str | PathLike) else files
    if not isinstance(given, Sequence):
        raise ArgumentError(f"results must be a file or a list of files, not {shown(files)}")
    tables = tuple(map(_read, given))
    names = [table.file for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"two files of results are called {name!r}; the name says what they are of, so "
                "each is given once"
            )
    return tables


def _read(file: str | PathLike[str]) -> ResultTable:
    path = as_path(file)
    with locating(f"results {str(path)!r}"):
        return parse_results(_content(path), path.name)


def _content(path: Path) -> str:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise AnnotationError(f"the file has {size:,} bytes; expected {MOST_BYTES:,} at most")
    return as_text(read_bytes(path))


def parse_results(text: str, file: str) -> ResultTable:
    """Return the results of a file's text.

    Args:
        text: Its content.
        file: Its name.

    Raises:
        AnnotationError: If it is no table, lacks a column, or has a row that cannot be read.
    """
    (_, header), *rows = table_rows(text)
    names = [name.casefold() for name in header]
    quantity = _quantity(names)
    results: dict[str, dict[int, Result]] = {}
    for line, cells in rows:
        with locating(f"line {line}"):
            row = dict(zip(names, full_row(cells, len(names)), strict=True))
            model = nonempty(row["model"], "the name of a model")
            if not row[quantity]:  # it was counted, and its speed could not be measured
                continue
            result = _result(row, quantity)
            own = results.setdefault(model, {})
            if own.setdefault(result.size, result).value != result.value:
                raise AnnotationError(
                    f"{model!r} is listed twice at {result.size} px, with different results"
                )
    if not results:
        raise AnnotationError("it has column names, but no rows")
    return ResultTable(file, quantity, results)


def _quantity(names: Sequence[str]) -> str:
    """Return the quantity that the columns of a file hold."""
    for quantity, size in SIZES.items():
        needed = ("model", size, quantity)
        if quantity in names and set(needed) <= set(names):
            for name in needed:
                if names.count(name) > 1:
                    raise AnnotationError(f"it has two columns {name!r}")
            return quantity
    wanted = " or ".join(f"model, {size}, {name}" for name, size in SIZES.items())
    raise AnnotationError(
        f"expected a table of timm's results, with the columns {wanted}; found {shown(names)}"
    )


def _result(row: Mapping[str, str], quantity: str) -> Result:
    value = _number(row, quantity)
    if value < 0 or (quantity == ACCURACY and value > 100):
        raise AnnotationError(f"{quantity} is {value:g}, which is not possible")
    size = _number(row, SIZES[quantity])
    if size < 1 or size != round(size):
        raise AnnotationError(f"{SIZES[quantity]} is {size:g}; expected a number of px")
    parameters, gmacs = (
        _number(row, name) if row.get(name) else math.nan for name in ("param_count", "infer_gmacs")
    )
    if quantity == ACCURACY:
        value = round(value / 100, 9)  # without the error of a division
    return Result(value, int(size), parameters, gmacs)


def _number(row: Mapping[str, str], name: str) -> float:
    # Large numbers have separators: "1,014.45".
    text = row[name].replace(",", "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{name} is {shown(row[name])}; expected a number")
    return value
