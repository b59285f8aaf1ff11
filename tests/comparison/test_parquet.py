"""Cells as Parquet, read by other programs and by effcam."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam import Comparison, Preprocess, compare, load_model
from effcam.comparison.parquet import FIELDS, notes_of, to_cells, to_table
from effcam.errors import OutputError
from tests.nets import ColourNet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), np.uint8)
    pixels[1] = 0  # no evidence
    plain = Preprocess(size=32, resize=32, mean=0, std=1)
    # Heat above the largest 16-bit float.
    model = load_model(ColourNet(1e7), preprocess=plain, labels=["röd", "green", "blue"])
    return compare(list(pixels), {"a": model}, method=["gradcam", "layercam"], progress=False)


@pytest.fixture
def file(comparison: Comparison, tmp_path: Path) -> Path:
    return comparison.save(tmp_path / "cells.parquet")


def test_the_columns_are_those_of_the_table_and_more(comparison: Comparison, file: Path) -> None:
    rows = pq.read_table(file).to_pylist()
    assert list(rows[0]) == list(FIELDS)
    for row, own in zip(rows, comparison.table(), strict=True):
        own.pop("grid")
        assert {key: row[key] for key in own} == pytest.approx(own)
        assert row["error"] is None


def test_cells_survive_a_round_trip(comparison: Comparison, file: Path) -> None:
    table = pq.read_table(file)
    cells = to_cells(
        table,
        [cell.image for cell in comparison],
        [cell.model_label for cell in comparison],
    )
    for found, cell in zip(cells, comparison, strict=True):
        assert found is not None
        assert found.record() == cell.record()
        assert (found.image, found.canvas) == (cell.image, cell.canvas)
        assert found.model_label == cell.model_label
        assert found.heatmap.dtype == np.float32
        # A 16-bit float has 11 binary digits.
        assert found.heatmap == pytest.approx(cell.heatmap, abs=float(cell.heatmap.max()) / 2**11)
    assert max(cell.heatmap.max() for cell in comparison) > np.finfo(np.float16).max


def test_rows_cut_out_of_a_table_have_their_own_maps(comparison: Comparison, file: Path) -> None:
    table = pq.read_table(file).slice(5, 2)
    for found, cell in zip(
        to_cells(table, [None, None], ["", ""]),  # type: ignore[list-item]
        comparison.cells[5:7],
        strict=True,
    ):
        assert found is not None
        assert found.heatmap == pytest.approx(cell.heatmap, abs=float(cell.heatmap.max()) / 2**11)


def test_focus_is_that_of_each_map_alone(comparison: Comparison, file: Path) -> None:
    rows = pq.read_table(file).to_pylist()
    alone = compare(
        [cell.open() for cell in comparison.images],
        {"a": load_model(ColourNet(1e7), preprocess=Preprocess(size=32, resize=32, mean=0, std=1))},
        progress=False,
    )
    values = [row["effective_area"] for row in rows if row["method"] == "gradcam"]
    assert values[1] is None  # it has no evidence
    known = [value for value in values if value is not None]
    assert np.mean(known) == pytest.approx(alone.summary()["a", "effective_area"], rel=1e-5)


def test_pandas_reads_it(comparison: Comparison, file: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(file)
    assert frame["predicted_label"].tolist() == [cell.predicted_label for cell in comparison]
    first = comparison.cells[0]
    shape = frame["heatmap_height"][0], frame["heatmap_width"][0]
    heat = frame["heatmap"][0].astype(np.float32).reshape(shape) * frame["heatmap_peak"][0]
    assert heat == pytest.approx(first.heatmap, abs=float(first.heatmap.max()) / 2**11)


def test_polars_reads_it(comparison: Comparison, file: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(file)
    assert frame["label"].to_list() == [cell.label for cell in comparison]
    heat = np.array(frame["heatmap"].to_list()[0]) * frame["heatmap_peak"][0]
    first = comparison.cells[0].heatmap
    assert heat == pytest.approx(first.ravel(), abs=float(first.max()) / 2**11)


def test_duckdb_reads_it(comparison: Comparison, file: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(
        f"""select "column", count(*), avg(probability), max(len(heatmap)) from '{file}'
        group by 1 order by 1"""  # noqa: S608 - the file is the test's own
    ).fetchall()
    for name, count, probability, cells in found:
        own = [cell for cell in comparison if cell.column == name]
        assert (count, cells) == (len(own), own[0].heatmap.size)
        assert probability == pytest.approx(np.mean([cell.probability for cell in own]))


def test_images_that_could_not_be_read_are_rows(tmp_path: Path) -> None:
    (tmp_path / "bad\udcff.png").write_bytes(b"no")
    good = np.zeros((32, 32, 3), np.uint8)
    found = compare(
        [tmp_path / "bad\udcff.png", good], {"a": ColourNet(1e7)}, on_error="skip", progress=False
    )
    table = pq.read_table(found.save(tmp_path / "cells.parquet"))
    (row,) = table.filter(table["error"].is_valid()).to_pylist()
    assert row["image"] == "bad\\udcff.png"
    assert "not an image" in row["error"]
    assert (row["column"], row["width"], row["target"], row["heatmap"]) == ("a", None, None, None)
    assert to_cells(table.filter(table["error"].is_valid()), [None], ["a"]) == [None]  # type: ignore[list-item]


def test_a_table_of_nothing_has_the_columns() -> None:
    table = to_table([], {"run": "x"})
    assert table.column_names == list(FIELDS)
    assert notes_of(table.schema.metadata) == {"run": "x"}


def test_the_same_cells_are_the_same_bytes(comparison: Comparison, tmp_path: Path) -> None:
    files = [comparison.save(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_without_pyarrow_the_message_says_what_to_install(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "pyarrow")
    with pytest.raises(OutputError, match=r"pip install 'effcam\[dataset\]'"):
        comparison.save(tmp_path / "cells.parquet")
    assert not list(tmp_path.iterdir())
