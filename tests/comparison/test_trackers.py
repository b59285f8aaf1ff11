"""What is logged of a comparison, to trackers made here; real ones are in tests/integrations."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from effcam.comparison.trackers import mlflow_run
from effcam.comparison.trackers.names import accepted
from effcam.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.conftest import Sampler


class Writer:
    """A SummaryWriter as duck typing sees it."""

    def __init__(self, folder: Path | str = "") -> None:
        self.log_dir = str(folder)
        self.images: dict[str, NDArray[Any]] = {}
        self.scalars: dict[str, float] = {}
        self.texts: dict[str, str] = {}
        self.steps: set[int | None] = set()

    def add_image(self, tag: str, image: NDArray[Any], step: int | None, dataformats: str) -> None:
        assert (image.dtype, image.ndim, dataformats) == (np.uint8, 3, "HWC")
        self.images[tag] = image
        self.steps.add(step)

    def add_scalar(self, tag: str, value: float, step: int | None) -> None:
        self.scalars[tag] = value
        self.steps.add(step)

    def add_text(self, tag: str, text: str, step: int | None) -> None:
        self.texts[tag] = text
        self.steps.add(step)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_figures_without_a_value_are_left_out_and_named(sample: Sampler) -> None:
    writer, comparison = Writer(), sample(1, ("one", "a/b"))
    flat = replace(comparison.cells[0], heatmap=np.zeros((7, 7), np.float32), state="flat")
    comparison = replace(comparison, cells=(flat, comparison.cells[1]))
    comparison.log(writer, step=4, report=False, fair=False)
    summary = comparison.summary(fair=False)
    expected = {
        f"effcam/{measure.figure.key}/{column}": value
        for measure in summary.measures
        for column, value in zip(summary.columns, measure.values, strict=True)
        if np.isfinite(value)
    }
    assert writer.scalars == expected
    assert "effcam/gini/one" not in expected
    assert "effcam/gini/a/b" in expected
    assert "Figures without a value are not logged: " in writer.texts["effcam/notes"]
    assert writer.steps == {4}


def test_pictures_are_limited_and_a_note_says_so(sample: Sampler) -> None:
    writer, comparison = Writer(), sample(60, ("one", "two"))
    comparison.log(writer, report=False, width=64)
    assert list(writer.images) == [
        "effcam/grid",
        *(f"effcam/pictures/{at:03}.jpg" for at in range(16)),
    ]
    grid = comparison.take(range(16)).grid(width=64)
    assert np.array_equal(writer.images["effcam/grid"], np.asarray(grid))
    notes = writer.texts["effcam/notes"]
    assert "the first 16 of 60 images" in notes
    assert "This table has the first 100 of 120 rows." in notes
    assert writer.texts["effcam/table"].count("\n") == 1 + 100
    assert writer.texts["effcam/summary"].startswith("60 images")


def test_no_pictures_are_drawn_if_none_are_wanted(sample: Sampler) -> None:
    writer = Writer()
    sample(2).log(writer, pictures=0, report=False)
    assert writer.images == {}
    assert writer.scalars


def test_annotations_given_mark_pictures_and_are_measured(sample: Sampler) -> None:
    plain, writer, comparison = Writer(), Writer(), sample(2, ("one",))
    comparison = replace(
        comparison, images=tuple(replace(each, truth=None) for each in comparison.images)
    )
    options: dict[str, Any] = {"boxes": [(20, 20, 60, 70)] * 2, "fair": False}
    comparison.log(plain, report=False, fair=False)
    comparison.log(writer, report=False, **options)
    assert "effcam/pointing_game/one" not in plain.scalars
    summary = comparison.summary(**options)
    assert writer.scalars["effcam/pointing_game/one"] == summary["one", "pointing_game"]


def test_files_are_written_where_the_folder_is_on_the_disk(sample: Sampler, tmp_path: Path) -> None:
    comparison, near, far = sample(2), Writer(tmp_path), Writer("s3://bucket/run")
    comparison.log(near)
    comparison.log(far)
    assert {path.name for path in tmp_path.rglob("*.*")} == {"report.html", "table.csv"}
    assert (
        "not on this machine: table.csv, report.html are not written" in (far.texts["effcam/notes"])
    )


def test_an_image_name_with_stray_bytes_is_logged(sample: Sampler, tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    sample(("caf\udce9.jpg",)).log(writer)
    assert r"caf\udce9.jpg" in writer.texts["effcam/table"].replace(r"\\", "\\")
    assert r"effcam/pictures/caf\udce9.jpg" in writer.images


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a b"}, "name must consist of the letters"),
        ({"name": "/a"}, "name must consist of the letters"),
        ({"name": ""}, "name must consist of the letters"),
        ({"step": -1}, "step must be a whole number from 0, not -1"),
        ({"step": 1.5}, "step must be a whole number from 0"),
        ({"pictures": 101}, "pictures must be a whole number from 0 to 100"),
        ({"report": "yes"}, "report must be True or False"),
        ({"colormap": "no"}, "colour map"),
    ],
)
def test_impossible_options_are_refused(
    sample: Sampler, options: dict[str, Any], said: str
) -> None:
    writer = Writer()
    with pytest.raises(ArgumentError, match=said):
        sample(1).log(writer, **options)
    assert not writer.texts


@pytest.mark.parametrize("to", [None, 3, object(), ["runs"], ("client", "id"), sys])
def test_what_is_no_tracker_is_refused(sample: Sampler, to: object) -> None:
    with pytest.raises(ArgumentError, match=r"cannot log to .*: expected the folder of a Tensor"):
        sample(1).log(to)


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "cannot log to '': expected the folder of a TensorBoard log"),
        ("wandb", "give a pathlib.Path"),
        ("mlflow", "a run or the module of W&B or MLflow"),
        ("http://localhost:5000", r"\(MlflowClient\(address\), run_id\)"),
        ("sqlite:///mlflow.db", r"\(MlflowClient\(address\), run_id\)"),
    ],
)
def test_texts_meant_for_other_trackers_are_refused(sample: Sampler, to: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        sample(1).log(to)


def test_a_comparison_without_images_is_refused(sample: Sampler) -> None:
    writer = Writer()
    with pytest.raises(OutputError, match="nothing to log"):
        sample(0).log(writer)
    assert not writer.texts


def test_missing_packages_are_named(
    sample: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(OutputError, match=r"pip install 'effcam\[tensorboard\]'"):
        sample(1).log(tmp_path / "runs")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(mlflow_run, "find_spec", lambda _: None)
    with pytest.raises(OutputError, match=r"need pandas: pip install 'effcam\[mlflow\]'"):
        mlflow_run.check_run(object(), "id")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a b", "a_b"], ("a_b_2", "a_b")),
        (["a b", "a=b", "a_b_2"], ("a_b", "a_b_3", "a_b_2")),
        (["Net", "net"], ("Net", "net_2")),
        (["é", "ü"], ("_", "__2")),
        (["", "x"], ("_", "x")),
    ],
)
def test_names_stay_unique(names: list[str], expected: tuple[str, ...]) -> None:
    found = accepted(names, "[^A-Za-z0-9_]", kind="column", tracker="W&B")
    assert found.texts == expected
    assert len({text.casefold() for text in found.texts}) == len(names)
    changed = [name for name, text in zip(names, expected, strict=True) if name != text]
    assert all(repr(name) in found.notes[0] for name in changed)


@pytest.mark.parametrize("name", ["a/b", "..", ".", " a ", "a:b", "a..", "../a"])
def test_names_for_mlflow_are_no_paths(name: str) -> None:
    (text,) = accepted([name], mlflow_run.REFUSED, kind="column", tracker="MLflow").texts
    assert text != name
    assert "/" not in text
    assert not text.startswith((".", " "))
    assert not text.endswith((".", " "))
