"""Comparisons in offline runs of Weights & Biases, read back from their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam.errors import OutputError
from tests.integrations import logged

pytestmark = pytest.mark.integrations


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    with wandb.init(mode="offline", dir=tmp_path, project="test", settings=settings) as run:
        yield run


def test_history_has_pictures_table_pages_and_curves(run: Any, tmp_path: Path) -> None:
    comparison, labels = logged.comparison(), ("demo_resnet", "b0___7_7__")
    for step in range(3):
        comparison.log(run, step=step)
    run.finish()
    rows = logged.wandb_history(tmp_path)
    assert [row["effcam/step"] for row in rows] == [0, 1, 2] == [row["_step"] for row in rows]
    for row in rows:
        for key, column, value in logged.figures():
            assert row[f"effcam/{key}/{labels[column]}"] == value
    row = rows[1]
    grid = logged.wandb_file(tmp_path, row["effcam/grid"]["path"])
    assert np.array_equal(logged.pixels(grid), logged.drawn())
    pictures = row["effcam/pictures"]
    assert pictures["captions"] == [image.name for image in comparison.images]
    for path, frame in zip(pictures["filenames"], logged.frames(), strict=True):
        assert np.array_equal(logged.pixels(logged.wandb_file(tmp_path, path)), frame)
    table = json.loads(logged.wandb_file(tmp_path, row["effcam/table"]["path"]).read_text())
    assert [dict(zip(table["columns"], each, strict=True)) for each in table["data"]] == (
        comparison.table()
    )
    report = logged.wandb_file(tmp_path, row["effcam/report"]["path"]).read_text()
    assert report.startswith("<!doctype html>")
    summary = logged.wandb_file(tmp_path, row["effcam/summary"]["path"]).read_text()
    for note in comparison.summary().notes:
        assert note in row["effcam/notes"]
    assert "'b0 = 7/7 é' is 'b0___7_7__'" in row["effcam/notes"]
    assert "Names of columns that W&amp;B does not accept: &#x27;b0 = 7/7 é&#x27; is" in summary


def test_curves_are_over_the_step_given(run: Any, tmp_path: Path) -> None:
    logged.comparison().log(run, step=7, report=False, pictures=0)
    run.finish()
    metrics = [
        record.metric for record in logged.wandb_records(tmp_path) if record.HasField("metric")
    ]
    assert {(each.glob_name, each.step_metric) for each in metrics if each.glob_name} == {
        ("effcam/*", "effcam/step")
    }


def test_a_step_behind_the_history_is_not_lost(run: Any, tmp_path: Path) -> None:
    for batch in range(50):
        run.log({"loss": 1 / (batch + 1)})
    for epoch in (1, 2):
        logged.comparison().log(run, step=epoch, report=False, pictures=0)
    run.log({"loss": 0.0})
    run.finish()
    rows = logged.wandb_history(tmp_path)
    assert [row["_step"] for row in rows] == list(range(53))
    assert [row.get("effcam/step") for row in rows[50:]] == [1, 2, None]
    assert "effcam/gini/demo_resnet" in rows[51]


def test_what_belongs_to_one_step_is_one_row(run: Any, tmp_path: Path) -> None:
    for step in (5, 6):
        run.log({"loss": 0.5}, step=step)
        logged.comparison().log(run, name="val/heat", step=step, report=False, pictures=0)
        run.log({"accuracy": 0.75}, step=step)
    run.finish()
    rows = logged.wandb_history(tmp_path)
    assert [row["_step"] for row in rows] == [5, 6]
    assert {"loss", "accuracy", "val/heat/step", "val/heat/gini/demo_resnet"} <= set(rows[0])


def test_the_active_run_is_taken_from_the_module(tmp_path: Path) -> None:
    import wandb

    with pytest.raises(OutputError, match="wandb has no active run"):
        logged.comparison().log(wandb)
    settings = wandb.Settings(silent=True, console="off")
    with wandb.init(mode="offline", dir=tmp_path, project="test", settings=settings):
        logged.comparison().log(wandb, report=False, pictures=1)
    (row,) = logged.wandb_history(tmp_path)
    assert len(row["effcam/pictures"]["filenames"]) == 1
    assert "the first 1 of 3 images" in row["effcam/notes"]
    assert "effcam/step" not in row
    assert "effcam/report" not in row


def test_a_run_that_has_ended_is_refused(run: Any) -> None:
    run.finish()
    with pytest.raises(OutputError, match="it has ended"):
        logged.comparison().log(run)


def test_a_disabled_run_takes_nothing() -> None:
    import wandb

    run = wandb.init(mode="disabled")
    try:
        assert run.disabled
        logged.comparison().log(run, step=3)
    finally:
        run.finish()
