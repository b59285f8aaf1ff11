"""Rows as data frames of pandas and polars, with types that do not depend on the values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from effcam.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Kind: TypeAlias = Literal["text", "int", "float", "bool"]
Row: TypeAlias = Mapping[str, object]

# Nullable, so that whole numbers stay whole where some are missing.
PANDAS: Mapping[Kind, str] = {"text": "str", "int": "Int64", "float": "float64", "bool": "boolean"}


def to_pandas(rows: Sequence[Row], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Return rows as a pandas data frame with an index from 0.

    Args:
        rows: The rows; a key that one lacks is missing there.
        kinds: The columns in their order, and what they hold. Whole numbers are ``Int64`` and
            truth values ``boolean``, which have missing values; floats have NaN.

    Raises:
        OutputError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise _missing("pandas") from error
    columns = {
        name: pd.Series([_text(row.get(name)) for row in rows], dtype=_pandas_type(kind, pd))
        for name, kind in kinds.items()
    }
    return pd.DataFrame(columns, columns=list(kinds))


def to_polars(rows: Sequence[Row], kinds: Mapping[str, Kind]) -> pl.DataFrame:
    """Return rows as a polars data frame; NaN is null.

    Args:
        rows: As in `to_pandas`.
        kinds: As in `to_pandas`; whole numbers are ``Int64``, floats ``Float64``.

    Raises:
        OutputError: If polars is not installed.
    """
    try:
        import polars as pl
    except ImportError as error:
        raise _missing("polars") from error
    types: dict[Kind, Any] = {
        "text": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(
        {name: [_known(_text(row.get(name))) for row in rows] for name in kinds},
        schema={name: types[kind] for name, kind in kinds.items()},
    )


def _pandas_type(kind: Kind, pd: Any) -> Any:
    # Before pandas 3, "str" would make the text "None" of a missing value.
    return PANDAS[kind] if kind != "text" or int(pd.__version__.split(".")[0]) >= 3 else "string"


def _text(value: object) -> object:
    """Return a value; the name of a file may hold bytes that are not UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _missing(package: str) -> OutputError:
    return OutputError(
        f"a data frame of {package} needs {package}: pip install 'effcam[{package}]'"
    )
