"""``effcam compare``: its options, what it writes and prints, and its JSON."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import effcam
from effcam import DEFAULT_MODELS, ModelSpec
from effcam.cam import head_cam, precision_choice
from effcam.cli import main
from effcam.comparison import export
from effcam.errors import OutputError
from tests.cli.commands import NET, UNTRAINED, Done, files, frames, python, rows

pytestmark = pytest.mark.usefixtures("photos")


def test_a_comparison_from_start_to_end(photos: Path) -> None:
    done = python(
        "-m", "effcam", "compare", "photos", *UNTRAINED, "-m", "two=test_efficientnet",
        "-o", "a.gif", "-o", "a.png", "-o", "a.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"wrote a.{suffix} (3 images x 2 columns)" for suffix in ("gif", "png", "csv")
    ]
    assert done.stderr == (
        "effcam: test_resnet, two: random weights, so the maps have no meaning\n"
    )
    assert sorted(path.name for path in photos.parent.iterdir()) == [
        "a.csv", "a.gif", "a.png", "photos",
    ]  # fmt: skip
    assert frames("a.gif") == 3
    assert frames("a.png") == 1
    assert [(row["image"], row["column"]) for row in rows("a.csv")] == [
        (f"{position}.png", column) for position in range(3) for column in ("test_resnet", "two")
    ]


def test_options_reach_compare(run: Callable[..., Done], asked: dict[str, Any]) -> None:
    done = run(
        "compare", "photos", "more.png", "-m", "alexnet", "-m", "mine=timm:resnet18.a1_in1k",
        "--target", "tabby", "--method", "layercam", "--method", "gradcam++", "--view", "whole",
        "--size", 96, "--device", "cpu", "--batch-size", 3, "--skip-bad",
        "--precision", "bf16", "--decoding", "reduced", "--placement", "even",
        "--fps", "0.5", "--resolution", 28, "--samples", 7, "--channels", 5, "--fuse", "winsor",
        "--aug-smooth", "--eigen-smooth",
    )  # fmt: skip
    assert done.code == 130
    assert asked == {
        "images": ["photos", "more.png"],
        "models": {
            "alexnet": ModelSpec("alexnet"),
            "mine": ModelSpec("timm:resnet18.a1_in1k"),
        },
        "method": ["layercam", "gradcam++"],
        "target": "tabby",
        "view": "whole",
        "size": 96,
        "batch_size": 3,
        "device": "cpu",
        "precision": "bf16",
        "decoding": "reduced",
        "placement": "even",
        "resolution": 28,
        "samples": 7,
        "channels": 5,
        "fuse": "winsor",
        "aug_smooth": True,
        "eigen_smooth": True,
        "every": None,
        "fps": 0.5,
        "on_error": "skip",
        "progress": None,
    }


def test_without_options_it_is_the_notebooks_comparison(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    run("compare", "photos")
    assert asked.pop("models") == {label: ModelSpec(name) for label, name in DEFAULT_MODELS.items()}
    assert asked == {
        "images": ["photos"],
        "method": "gradcam",
        "target": None,
        "view": "model",
        "size": None,
        "batch_size": 16,
        "device": None,
        "precision": "fp32",
        "decoding": "exact",
        "placement": "pitch",
        "resolution": 56,
        "samples": None,
        "channels": None,
        "fuse": "sum",
        "aug_smooth": False,
        "eigen_smooth": False,
        "every": None,
        "fps": None,
        "on_error": "raise",
        "progress": None,
    }


@pytest.mark.parametrize("text", ["3", "-1", "+-5", "tabby", "consensus", "", "3.5"])
def test_target_is_left_as_text_for_each_model_to_look_up(
    run: Callable[..., Done], asked: dict[str, Any], text: str
) -> None:
    run("compare", "photos", f"--target={text}")
    assert asked["target"] == text


def test_quiet_shows_no_bar(run: Callable[..., Done], asked: dict[str, Any]) -> None:
    run("compare", "photos", "-q")
    assert asked["progress"] is False


def test_quiet_prints_nothing(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert frames("compare.gif") == 3


def test_verbose_prints_a_line_for_each_cell(run: Callable[..., Done]) -> None:
    done = run("compare", "photos/0.png", "photos/1.png", *UNTRAINED, "-v", "-o", "a.csv")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[-1] == "wrote a.csv (2 images x 1 column)"
    for line, row in zip(lines[:-1], rows("a.csv"), strict=True):
        image, column, label, probability, layer, state = line.split("\t")
        assert (image, column, label) == (row["image"], row["column"], row["predicted_label"])
        assert float(probability) == pytest.approx(float(row["predicted_probability"]), abs=1e-3)
        assert (layer, state) == (row["target_layer"], row["state"])


def test_several_methods_are_several_columns(run: Callable[..., Done]) -> None:
    run("compare", "photos/0.png", *UNTRAINED, "--method", "layercam", "--method", "eigencam",
        "-o", "a.csv")  # fmt: skip
    assert [row["column"] for row in rows("a.csv")] == [
        "test_resnet layercam", "test_resnet eigencam",
    ]  # fmt: skip


@pytest.mark.parametrize(("target", "index"), [("281", "281"), ("Tabby", "281"), ("7", "7")])
def test_the_target_is_explained(run: Callable[..., Done], target: str, index: str) -> None:
    assert run("compare", "photos", *UNTRAINED, "--target", target, "-o", "a.csv").code == 0
    assert {row["target"] for row in rows("a.csv")} == {index}


def test_several_targets_are_columns(run: Callable[..., Done]) -> None:
    texts = ["tabby - 0.5 * tiger cat", "top2", "281 + tiger cat"]
    options = [word for text in texts for word in ("--target", text)]
    assert run("compare", "photos", *UNTRAINED, *options, "-o", "a.csv").code == 0
    found = rows("a.csv")[:3]
    assert [row["column"] for row in found] == [f"test_resnet {text}" for text in texts]
    assert [row["kind"] for row in found] == ["contrast", "class", "sum"]
    assert found[0]["label"] == "tabby - 0.5 * tiger cat"
    assert found[2]["label"] == "tabby + tiger cat"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["tabby - taby"], "no class called 'taby'. Did you mean 'tabby'"),
        (["a - b + c"], "has both + and -"),
        (["1", "1"], "--target '1' is given twice"),
        (["top1001"], "top1001 is out of range: timm:test_resnet has 1000 classes"),
    ],
)
def test_impossible_targets_are_refused(
    run: Callable[..., Done], targets: list[str], message: str
) -> None:
    options = [word for text in targets for word in ("--target", text)]
    done = run("compare", "photos", *UNTRAINED, *options, "-o", "a.csv")
    assert done.code == 1
    assert message in done.err
    assert not Path("a.csv").exists()


def test_the_whole_view_and_the_size(run: Callable[..., Done], photos: Path) -> None:
    argv = ["compare", photos / "0.png", "-m", "test_resnet", "--weights", "none", "--size", 96]
    run(*argv, "-o", "crop.csv")
    run(*argv, "--view", "whole", "-o", "whole.csv")
    (crop,), (whole,) = rows("crop.csv"), rows("whole.csv")
    assert whole["grid"] == crop["grid"] == "3x3"
    edges = ("left", "top", "right", "bottom")
    assert [float(whole[f"region_{edge}"]) for edge in edges] == [0, 0, 96, 64]
    assert float(crop["region_left"]) > 0


def test_precision_and_decoding_reach_the_comparison(
    run: Callable[..., Done], photos: Path
) -> None:
    argv = ["compare", photos / "0.png", *UNTRAINED, "-o", "a.json"]
    assert run(*argv, "--precision", "bf16", "--decoding", "reduced").code == 0
    settings = json.loads(Path("a.json").read_text("utf-8"))["settings"]
    assert (settings["precision"], settings["decoding"]) == ("bf16", "reduced")
    assert run(*argv, "--precision", "fp64").code == 2


def test_auto_precision_that_is_fp32_is_said(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_choice, "has_bf16", lambda _: False)
    done = run("compare", "photos", *UNTRAINED, "--precision", "auto", "-o", "a.csv")
    assert "precision='auto' computes in fp32: cpu has no instructions for" in done.err
    assert done.code == 0


@pytest.mark.parametrize("quiet", [False, True])
def test_too_little_memory_is_said_and_costs_nothing(
    run: Callable[..., Done], photos: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    original = head_cam.HeadCAM.scores

    def scores(self: head_cam.HeadCAM, images: torch.Tensor) -> Any:
        if len(images) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, images)

    monkeypatch.setattr(head_cam.HeadCAM, "scores", scores)
    message = "effcam: note: test_resnet: not enough memory for 3 images at once, now running 1"
    done = run("compare", photos, *UNTRAINED, "-o", "a.csv", *(["--quiet"] if quiet else []))
    assert (message in done.err) != quiet
    assert done.code == 0
    assert len(rows("a.csv")) == 3


def test_bad_images_are_skipped_and_named(run: Callable[..., Done], photos: Path) -> None:
    (photos / "1.png").write_bytes(b"")
    done = run("compare", "photos", *UNTRAINED, "--skip-bad", "-o", "a.gif", "-o", "a.csv")
    assert done.code == 0
    assert "effcam: skipped image '1.png': the file is empty\n" in done.err
    assert "wrote a.gif (2 images x 1 column)" in done.out
    assert [row["image"] for row in rows("a.csv")] == ["0.png", "2.png"]


@pytest.mark.parametrize("quiet", [False, True])
def test_images_that_may_be_read_otherwise_are_said(
    run: Callable[..., Done], photos: Path, quiet: bool
) -> None:
    (photos / "raw.heic").write_bytes(b"")
    done = run("compare", "photos", *UNTRAINED, "-o", "a.csv", *(["--quiet"] if quiet else []))
    assert done.code == 0
    assert ("effcam: note: left out: 1 file of a format" in done.err) != quiet


def test_warnings_of_libraries_are_shown_on_demand(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of(
        "ownwarns",
        NET
        + """
    def warn():
        import warnings

        warnings.warn("soon to change", FutureWarning)
        return make()
    """,
    )
    filters = list(warnings.filters)
    assert run("compare", "photos", "-m", "ownwarns:warn", "-q").code == 0
    assert warnings.filters == filters
    with pytest.warns(FutureWarning, match="soon to change"):
        run("compare", "photos", "-m", "ownwarns:warn", "-v")


def test_json_is_the_comparison_and_nothing_else(run: Callable[..., Done], photos: Path) -> None:
    (photos / "1.png").write_bytes(b"")
    before = files()
    done = run("compare", "photos", *UNTRAINED, "--skip-bad", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert list(found) == [
        "effcam", "command", "written", "settings", "images", "columns", "models", "skipped",
        "cells", "summary",
    ]  # fmt: skip
    assert (found["effcam"], found["command"]) == (effcam.__version__, "compare")
    assert (found["written"], found["summary"]) == ([], None)
    assert (found["images"], found["columns"]) == (["0.png", "2.png"], ["test_resnet"])
    assert found["skipped"] == [{"image": "1.png", "reason": "image '1.png': the file is empty"}]
    assert [cell["image"] for cell in found["cells"]] == found["images"]
    spec = ModelSpec("test_resnet", pretrained=False)
    expected = effcam.compare(photos / "0.png", spec, size=64, progress=False).table()[0]
    assert set(found["cells"][0]) == set(expected)
    assert found["cells"][0]["predicted_label"] == expected["predicted_label"]
    assert found["models"][0]["input_size"] == [64, 64]
    assert "effcam: skipped image '1.png'" in done.err
    assert files() == before


def test_json_has_null_for_nan(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownflat", NET + """
    def flat():
        net = make()
        net[-1].weight.data[:] = float("nan")
        return net
    """)  # fmt: skip
    found = json.loads(run("compare", "photos/0.png", "-m", "ownflat:flat", "--json").out)
    table = effcam.compare(
        "photos/0.png", importlib.import_module("ownflat").flat(), progress=False
    ).table()
    missing = {
        name for name, value in table[0].items() if isinstance(value, float) and np.isnan(value)
    }
    assert missing
    assert all(found["cells"][0][name] is None for name in missing)


def test_json_lists_what_was_written_and_the_summary(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--json", "--summary", "-o", "a.csv",
               "--save-summary", "b.txt", "--quiet")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["written"] == ["a.csv", "b.txt"]
    keys = {measure["key"] for measure in found["summary"]["measures"]}
    assert "effective_area" in keys


def test_what_models_print_goes_beside_the_document(
    run: Callable[..., Done], module_of: Callable[[str, str], None]
) -> None:
    module_of("ownprints", NET + """
    def loud():
        print("built")
        return make()
    """)  # fmt: skip
    done = run("compare", "photos/0.png", "-m", "ownprints:loud", "--json", "-v")
    assert json.loads(done.out)["columns"] == ["ownprints:loud"]
    assert "built\n" in done.err
    assert "0.png\townprints:loud" in done.err


def test_where_to_write_is_checked_before_anything_runs(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    assert run("compare", "photos", "-o", "a.png", "-o", "gone/a.gif").code == 1
    assert asked == {}


def test_one_output_that_fails_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write a.json: no space left")

    monkeypatch.setitem(export.WRITERS, "json", full)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    outputs = [str(tmp_path / name) for name in ("a.json", "a.csv")]
    code = main(
        [
            "compare", str(tmp_path / "a.png"), "-m", "test_resnet", "--weights", "none",
            "--size", "64", "-o", outputs[0], "-o", outputs[1],
        ]
    )  # fmt: skip
    assert code == 1
    printed = capsys.readouterr()
    assert "no space left" in printed.err
    assert f"wrote {outputs[1]}" in printed.out
    assert (tmp_path / "a.csv").is_file()
