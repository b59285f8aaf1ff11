"""``effcam dataset``: what it does, what it prints, and what it answers to mistakes."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effcam.cli import main
from effcam.errors import OutputError

pytest.importorskip("pyarrow")

UNTRAINED = ("-m", "test_resnet", "--weights", "none", "--size", "64")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(5):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(photos: Path, out: Path, *options: object) -> int:
    argv = ["dataset", str(photos), *UNTRAINED, "-o", str(out), *map(str, options)]
    try:
        return main(argv)
    except SystemExit as error:
        return int(str(error.code))


def test_it_makes_a_run_and_says_so(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos, out) == 0
    assert capsys.readouterr().out == f"wrote {out} (5 images x 1 column, 0 unreadable)\n"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert run(photos, out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before


def test_bad_images_are_named_and_counted(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(4):
        (photos / f"{seed}.png").write_bytes(b"no")
    assert run(photos, out) == 0
    told = capsys.readouterr()
    assert told.out.endswith("(5 images x 1 column, 4 unreadable)\n")
    assert told.err.count("effcam: skipped image ") == 3
    assert "effcam: skipped 1 more, see the column error" in told.err
    assert run(photos, out, "--max-errors", 3) == 1
    told = capsys.readouterr()
    assert told.err.startswith("effcam: error: 4 images cannot be read, more than max_errors=3")
    assert told.err.count("\n") == 1


def test_the_summary_is_printed(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(photos, out, "--summary") == 0
    assert "effective area, %" in capsys.readouterr().out
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n" + "".join(f"{seed}.png,{seed}\n" for seed in range(5)))
    assert run(photos, out, "--labels", labels) == 0
    assert "accuracy" in capsys.readouterr().out


def test_the_summary_has_localisation_and_is_written(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    boxes, saved = tmp_path / "boxes.csv", tmp_path / "summary.json"
    rows = "".join(f"{seed}.png,5,5,30,30\n" for seed in range(5))
    boxes.write_text(f"image,left,top,right,bottom\n{rows}")
    assert run(photos, out, "--boxes", boxes, "--all-images", "--save-summary", saved) == 0
    told = capsys.readouterr().out
    assert "MaxBoxAccV2, %" in told
    assert f"wrote {saved} (summary)" in told
    keys = [measure["key"] for measure in json.loads(saved.read_text())["measures"]]
    assert "pointing_game" in keys
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.full((40, 60), 255, np.uint8)).save(masks / "1.png")
    assert run(photos, out, "--masks", masks) == 0
    assert "PxAP, %" in capsys.readouterr().out


def test_json_is_what_it_reports(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "1.png").write_bytes(b"no")
    assert run(photos, out, "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["command"], found["run"], found["complete"]) == ("dataset", str(out), True)
    assert (found["images"], found["columns"], found["cells"]) == (5, ["test_resnet"], 5)
    assert [each["image"] for each in found["skipped"]] == ["1.png"]
    assert found["settings"]["size"] == 64
    assert found["models"][0]["target_layer"] == "layer4"
    assert found["summary"] is None
    assert "effcam: skipped image '1.png'" in told.err
    assert run(photos, out, "--json", "--summary", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["summary"]["images"] == 4


def test_labels_that_cannot_be_read_fail_before_anything_runs(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos, out, "--labels", out / "gone.csv") == 1
    assert "there is no such file" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("fotos", "fotos' does not exist"),
        ("photos/*.tiff", "no image file matches"),
        ("empty", "has no images"),
    ],
)
def test_misspelt_paths_are_errors_as_in_compare(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str], path: str, message: str
) -> None:
    (photos.parent / "empty").mkdir()
    given = photos.parent / path
    assert run(given, out) == 1
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert message in told.err
    assert main(["compare", str(given), *UNTRAINED, "-q"]) == 1
    assert capsys.readouterr().err == told.err
    assert not (out / "manifest.json").exists()


def test_paths_come_from_standard_input(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = f"{photos}/0.png\0{photos}/3.png\0".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    assert main(["dataset", "-", *UNTRAINED, "-o", str(out)]) == 0
    assert "2 images x 1 column" in capsys.readouterr().out


def test_quiet_prints_nothing(photos: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "1.png").write_bytes(b"no")
    assert run(photos, out, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_another_run_in_the_folder_is_refused_in_one_line(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, out, "--quiet")
    assert run(photos, out, "--method", "layercam") == 1
    told = capsys.readouterr().err
    assert re.fullmatch(r"effcam: error: .* method was gradcam, is layercam.*--overwrite\)\n", told)
    assert run(photos, out, "--method", "layercam", "--overwrite") == 0


@pytest.mark.parametrize(
    "mistaken",
    [
        ("--workers 2", 2, "workers has no meaning without backend='ray'"),
        ("--shard-size 0", 2, "shard_size must be a whole number from 1"),
        ("--backend dask", 2, "invalid choice: 'dask'"),
        ("--target consensus", 1, "a dataset has no consensus"),
        ("--max-errors few", 2, "invalid int value"),
    ],
)
def test_mistakes_give_a_message_and_an_exit_code(
    mistaken: tuple[str, int, str], photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, code, message = mistaken
    assert run(photos, out, *option.split()) == code
    assert message in capsys.readouterr().err
    assert not (out / "manifest.json").exists()


def test_options_reach_the_run(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def refuse(images: object, models: dict[str, object], place: object, **options: Any) -> None:
        asked.update(images=images, models=list(models), out=place, **options)
        raise OutputError("enough")

    monkeypatch.setattr("effcam.dataset.compare_dataset", refuse)
    run(
        photos, out, "--backend", "ray", "--workers", 3, "--num-gpus", 0.5, "--address", "auto",
        "--shard-size", 7, "--max-errors", 2, "--batch-size", 4, "--precision", "bf16",
        "--compile", "auto",
    )  # fmt: skip
    assert asked == {
        "images": [str(photos)],
        "models": ["test_resnet"],
        "out": str(out),
        "backend": "ray",
        "workers": 3,
        "num_gpus": 0.5,
        "address": "auto",
        "shard_size": 7,
        "max_errors": 2,
        "batch_size": 4,
        "precision": "bf16",
        "compile": "auto",
        "decoding": "exact",
        "placement": "pitch",
        "resolution": 56,
        "samples": None,
        "channels": None,
        "fuse": "sum",
        "aug_smooth": False,
        "eigen_smooth": False,
        "method": "gradcam",
        "target": None,
        "view": "model",
        "size": 64,
        "device": None,
        "overwrite": False,
        "progress": None,
    }


def test_without_pyarrow_it_says_what_to_install(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [each for each in sys.modules if each.startswith(("pyarrow", "effcam.dataset"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(photos, out) == 1
    told = capsys.readouterr().err
    assert told.startswith("effcam: error: Parquet files need pyarrow")
    assert told.endswith("pip install 'effcam[dataset]'\n")
    assert told.count("\n") == 1
