"""Tables and mappings that are given where images are expected: which of their columns is meant?

They are recognised by the names of their types, so that none of their packages is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from effcam.errors import ArgumentError
from effcam.text import listed

PACKAGES = ("pandas", "polars", "pyarrow")
TABLES = ("DataFrame", "LazyFrame", "Table", "RecordBatch")
COLUMNS = ("Array", "ChunkedArray")
LIKELY = ("img", "path", "file", "filename", "file_name", "filepath")
"""The names under which images are usually found."""


def refuse_table(value: Any, what: str = "images") -> None:
    """Refuse a table, of which it is unknown which column is meant.

    Args:
        value: What was given.
        what: The argument that it was given for.

    Raises:
        ArgumentError: If it is one.
    """
    name = _name_of(value, TABLES)
    if name == "LazyFrame":
        _refuse(name, value.collect_schema().names(), what, ".collect()")
    elif name:
        _refuse(name, list(getattr(value, "column_names", None) or value.columns), what)


def refuse_mapping(value: object) -> None:
    """Refuse a mapping, such as a row of a table: iterated, it gives names, not images.

    Raises:
        ArgumentError: If it is one.
    """
    if isinstance(value, Mapping):
        _refuse(type(value).__name__, list(value), "images")


def is_arrow_column(value: object) -> bool:
    """Return whether a value is a column of pyarrow, which iterates over scalars of its own."""
    return bool(_name_of(value, COLUMNS)) and hasattr(value, "to_pylist")


def _refuse(name: str, keys: Sequence[object], what: str, read: str = "") -> NoReturn:
    if not keys:
        raise ArgumentError(f"{what} is an empty {name}: give {what}")
    likely = next((key for key in (what, what.rstrip("s"), *LIKELY) if key in keys), keys[0])
    raise ArgumentError(
        f"{what} is a {name} with {listed([repr(key) for key in keys])}: give the {what} "
        f"themselves, as {what}{read}[{likely!r}]"
    )


def _name_of(value: object, names: Sequence[str]) -> str:
    """Return the name of a type of pandas, polars or pyarrow among some, empty if it is none."""
    return next(
        (
            base.__name__
            for base in type(value).__mro__
            if base.__name__ in names and base.__module__.partition(".")[0] in PACKAGES
        ),
        "",
    )
