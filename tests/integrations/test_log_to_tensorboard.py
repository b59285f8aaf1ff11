"""Comparisons in TensorBoard's logs, read back by its own reader."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from effcam.errors import OutputError
from tests.integrations import logged

pytestmark = pytest.mark.integrations


def test_a_folder_has_pictures_curves_texts_and_files(tmp_path: Path) -> None:
    comparison, folder = logged.comparison(), tmp_path / "runs" / "x"
    for step in range(3):
        comparison.log(folder, step=step)
    log = logged.tensorboard_log(folder)
    images = log.Images("effcam/grid")
    assert [event.step for event in images] == [0, 1, 2]
    assert np.array_equal(logged.pixels(images[1].encoded_image_string), logged.drawn())
    for image, frame in zip(comparison.images, logged.frames(), strict=True):
        (_, _, event) = log.Images(f"effcam/pictures/{image.name}")
        assert np.array_equal(logged.pixels(event.encoded_image_string), frame)
    for key, column, value in logged.figures():
        events = log.Scalars(f"effcam/{key}/{comparison.columns[column]}")
        assert [event.step for event in events] == [0, 1, 2]
        assert events[2].value == pytest.approx(value)
    table = logged.tensorboard_text(log, "effcam/table")
    assert table.count("\n") == 1 + len(comparison)
    assert "| scene 1 | b0 = 7/7 é | arrow |" in table
    assert "demo\\_resnet" in logged.tensorboard_text(log, "effcam/summary")
    notes = logged.tensorboard_text(log, "effcam/notes")
    assert notes.count("\n- ") + 1 == len(comparison.summary().notes) + 2
    files = folder / "effcam" / "step_000002"
    assert str(files / "report.html").replace("_", "\\_") in notes
    assert "<!doctype html>" in (files / "report.html").read_text()
    with (files / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in comparison.table()
    ]


def test_a_writer_stays_open_and_what_was_logged_is_on_the_disk(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        logged.comparison().log(writer, name="val/heat", report=False, pictures=1)
        log = logged.tensorboard_log(tmp_path)
        assert log.Tags()["images"] == ["val/heat/grid", "val/heat/pictures/scene 1"]
        assert log.Images("val/heat/grid")[0].step == 0
        assert "the first 1 of 3 images" in logged.tensorboard_text(log, "val/heat/notes")
        assert not list(tmp_path.rglob("report.html"))
        writer.add_scalar("loss", 1.0, 0)


def test_a_closed_writer_appends_and_is_closed_again(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(tmp_path)
    writer.add_scalar("loss", 1.0, 0)
    writer.close()
    logged.comparison().log(writer, step=1, pictures=0)
    assert writer.all_writers is None
    tags = logged.tensorboard_log(tmp_path).Tags()
    assert {"loss", "effcam/gini/demo_resnet"} <= set(tags["scalars"])
    assert tags["images"] == []


def test_a_writer_whose_file_is_closed_is_refused(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(tmp_path)
    writer.file_writer.close()
    with pytest.raises(OutputError, match=r"cannot write to the TensorBoard log .*closed"):
        logged.comparison().log(writer)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file, not a folder"):
        logged.comparison().log(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write to the TensorBoard log"):
        logged.comparison().log(tmp_path / "file" / "below")


def test_a_place_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot write to the TensorBoard log 'none://x'"):
        logged.comparison().log("none://x")


def test_tensorboardx_changes_names_and_a_note_says_so(tmp_path: Path) -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        logged.comparison().log(writer, step=2)
    log = logged.tensorboard_log(tmp_path)
    (image,) = log.Images("effcam/grid")
    assert image.step == 2
    assert np.array_equal(logged.pixels(image.encoded_image_string), logged.drawn())
    for key, column, value in logged.figures():
        label = ("demo_resnet", "b0___7/7_é")[column]
        assert log.Scalars(f"effcam/{key}/{label}")[0].value == pytest.approx(value)
    notes = logged.tensorboard_text(log, "effcam/notes")
    assert "'b0 = 7/7 é' is 'b0\\_\\_\\_7/7\\_é'" in notes
    assert (tmp_path / "effcam" / "step_000002" / "report.html").is_file()
