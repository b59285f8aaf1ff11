"""Tables as data frames of pandas and polars: the same types whatever the values are."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from effcam import Comparison
from effcam.data_frames import to_polars
from effcam.errors import OutputError


def without_classes(comparison: Comparison) -> Comparison:
    """Return a comparison whose first row explains values of models without classes."""
    cells = tuple(
        replace(cell, target=None, predicted=None, probability=math.nan, kind="value")
        if at < 3
        else cell
        for at, cell in enumerate(comparison)
    )
    return replace(comparison, cells=cells)


@pytest.fixture(scope="module")
def comparison(sample: Any) -> Comparison:
    return without_classes(sample(3))


def test_polars_has_all_fields_with_their_types(comparison: Comparison) -> None:
    frame = comparison.to_polars()
    rows = comparison.table()
    assert frame.columns == list(rows[0])
    assert frame.schema["target"] == frame.schema["width"] == pl.Int64
    assert frame.schema["multi_label"] == pl.Boolean
    assert frame["target"].to_list()[:4] == [None, None, None, 1]
    assert frame["probability"].null_count() == 3
    assert frame.drop("value").drop_nulls().rows(named=True) == [
        {name: value for name, value in row.items() if name != "value"} for row in rows[3:]
    ]


def test_types_do_not_depend_on_the_values(sample: Any, comparison: Comparison) -> None:
    empty = replace(comparison, images=(), cells=())
    assert sample(1).to_polars().schema == comparison.to_polars().schema == empty.to_polars().schema


def test_the_summary_has_the_rows_of_its_csv(sample: Any) -> None:
    summary = sample(6).summary()
    frame = summary.to_polars()
    read = pl.read_csv(summary.to_csv().encode())
    assert frame.columns == read.columns
    assert frame["column"].to_list() == read["column"].to_list()
    assert frame["effective_area"].to_list() == pytest.approx(read["effective_area"].to_list())
    assert frame.schema["effective_area_n"] == pl.Int64
    assert frame.schema["effective_area_low"] == pl.Float64  # all are missing


def test_a_name_that_is_not_utf8_is_escaped() -> None:
    frame = to_polars([{"image": "a\udcff.png"}], {"image": "text"})
    assert frame["image"].to_list() == ["a\\udcff.png"]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named(
    comparison: Comparison, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for content in (comparison, comparison.summary(fair=False)):
        with pytest.raises(OutputError, match=rf"pip install 'effcam\[{package}\]'"):
            getattr(content, f"to_{package}")()


@pytest.mark.integrations
def test_pandas_has_all_fields_with_their_types(comparison: Comparison) -> None:
    import pandas as pd

    frame = comparison.to_pandas()
    assert list(frame.columns) == list(comparison.table()[0])
    assert frame.index.equals(pd.RangeIndex(9))
    assert frame.dtypes[["target", "width"]].map(str).tolist() == ["Int64", "Int64"]
    assert frame["target"].isna().tolist() == [True] * 3 + [False] * 6
    assert frame["target"][3] == 1
    assert frame["probability"].isna().sum() == 3
    assert frame["image"].tolist() == [cell.image.name for cell in comparison]
    empty = replace(comparison, images=(), cells=()).to_pandas()
    assert (empty.dtypes == frame.dtypes).all()


@pytest.mark.integrations
def test_pandas_has_the_summary(sample: Any) -> None:
    summary = sample(6).summary()
    frame = summary.to_pandas().set_index("column")
    assert frame.loc["one", "effective_area"] == summary["one", "effective_area"]
    assert str(frame.dtypes["effective_area_n"]) == "Int64"
    assert frame.loc["uniform", "kind"] == "baseline"
    assert frame["effective_area_n"].isna()["uniform"]
