"""The script that runs the comparison of 2019 again, on tiny models and random photos."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from effcam import (
    DEFAULT_MODELS,
    Comparison,
    Explanation,
    ModelSpec,
    Preprocess,
    compare,
    register_model,
)
from effcam.errors import ImageError, LayerError, WeightsError

ROOT = Path(__file__).parents[2]
SIZE = 64
CALTECH = (
    "009.bear", "024.butterfly", "038.chimp", "151.ostrich", "158.penguin", "190.snake",
    "251.airplanes-101",
)  # fmt: skip


class Crossed(nn.Module):
    """A network whose last convolution is not the last that it defines."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Conv2d(4, 6, 3, stride=4)
        self.early = nn.Conv2d(3, 4, 3, stride=2)
        self.never = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(6, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.late(self.early(images).relu()).mean((2, 3)))
        return scores


@pytest.fixture(scope="module")
def notebook() -> Iterator[ModuleType]:
    """The script as a module."""
    path = ROOT / "benchmarks" / "notebook.py"
    spec = importlib.util.spec_from_file_location("notebook_of_2019", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def small(notebook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script at 64 px, with two fast models."""
    monkeypatch.setattr(notebook, "SIZE", SIZE)
    see = Preprocess(size=SIZE)
    register_model(ModelSpec("crossed", constructor=Crossed, preprocess=see))
    # timm initialises a block's last normalisation with 0, which would stop all gradients.
    options = {"zero_init_last": False}
    net = ModelSpec("net", "timm:resnet18", preprocess=see, pretrained=False, options=options)
    register_model(net)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Random photos, two in each of Caltech-256's folders."""
    root = tmp_path / "photos"
    numbers = np.random.default_rng(0)
    for folder in (*CALTECH, "257.clutter"):
        (root / folder).mkdir(parents=True)
        for number in (1, 2):
            pixels = numbers.integers(0, 256, (48, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number:04}.png")
    return root


@pytest.fixture
def cell() -> Explanation:
    """A cell of a photo of 80 x 48 px, of which the model sees the central 40 x 40 px."""
    photo = np.random.default_rng(0).random((48, 80, 3))
    see = Preprocess(size=40, resize=48)
    comparison = compare(photo, ModelSpec("crossed", constructor=Crossed, preprocess=see))
    return replace(comparison[0, 0], heatmap=np.eye(4, dtype=np.float32), state="ok")


# regions


def test_the_last_convolution_is_the_last_that_runs(notebook: ModuleType) -> None:
    module = Crossed()
    images = torch.zeros(2, 3, SIZE, SIZE)
    assert notebook.last_conv(module, images) == ("late", (6, 8, 8))
    assert not any(each._forward_hooks for each in module.modules())


def test_hooks_are_gone_after_an_error(notebook: ModuleType) -> None:
    module = Crossed()
    with pytest.raises(RuntimeError, match="channels"):
        notebook.last_conv(module, torch.zeros(2, 1, SIZE, SIZE))
    assert not any(each._forward_hooks for each in module.modules())


def test_of_densenet_it_is_32_of_1024_channels(notebook: ModuleType) -> None:
    with torch.device("meta"):
        module = torchvision.models.densenet121(weights=None)
    found = notebook.last_conv(module.eval(), torch.zeros(1, 3, 224, 224, device="meta"))
    assert found == ("features.denseblock4.denselayer16.conv2", (32, 7, 7))


def test_without_a_convolution_there_is_nowhere_to_look(notebook: ModuleType) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    with pytest.raises(LayerError, match="Sequential runs no Conv2d"):
        notebook.last_conv(module, torch.zeros(1, 3, 4, 4))


@pytest.mark.slow
def test_the_documentation_shows_the_layers(
    notebook: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notebook.main(["--layers"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == ["model", *DEFAULT_MODELS]
    page = ROOT / "docs" / "explanation" / "notebook.md"
    assert printed in page.read_text(encoding="utf-8")


# measures


@pytest.mark.parametrize("height", [1, 12])
@pytest.mark.parametrize("level", [0.01, 1, 40])
def test_even_heat_covers_everything(notebook: ModuleType, height: int, level: float) -> None:
    heat = np.full((height, 7), level, np.float32)
    assert notebook.effective_area(heat) == pytest.approx(1)


def test_heat_in_one_pixel_covers_that_pixel(notebook: ModuleType) -> None:
    heat = np.zeros((4, 5), np.float32)
    heat[2, 3] = 0.7
    assert notebook.effective_area(heat) == pytest.approx(1 / 20)
    heat[1] = 0.7
    assert notebook.effective_area(heat) == pytest.approx(6 / 20)


def test_heat_of_two_levels_covers_what_its_entropy_says(notebook: ModuleType) -> None:
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    heat = np.array([[1, 3, 0, 0]], np.float32)
    assert notebook.effective_area(heat) == pytest.approx(math.exp(entropy) / 4)


def test_without_heat_there_is_no_area(notebook: ModuleType) -> None:
    assert math.isnan(notebook.effective_area(np.zeros((3, 3), np.float32)))


def test_correlation_is_over_the_pixels_that_both_saw(
    notebook: ModuleType, cell: Explanation
) -> None:
    assert cell.region.as_tuple() == (20, 4, 60, 44)
    assert notebook.correlation(cell, cell) == pytest.approx(1)
    # It would differ if the rest of the photo counted, where both are 0.
    against = replace(cell, heatmap=1 - cell.heatmap)
    assert notebook.correlation(cell, against) == pytest.approx(-1)
    assert math.isnan(notebook.correlation(cell, replace(cell, state="flat")))


def test_the_interval_of_a_steady_difference_is_that_difference(notebook: ModuleType) -> None:
    areas = np.array([0.25, 0.25, 0.25, np.nan, 0.5])
    others = np.array([0.75, 0.75, 0.75, 0.5, np.nan])
    assert notebook.interval(areas, others) == (0.5, 0.5)
    assert notebook.interval(others, areas) == (-0.5, -0.5)


def test_the_interval_is_the_same_each_time_and_covers_0_for_equals(notebook: ModuleType) -> None:
    areas, others = np.random.default_rng(0).random((2, 30))
    low, high = notebook.interval(areas, others)
    assert low < 0 < high
    assert notebook.interval(areas, others) == (low, high)
    assert notebook.interval(areas, others, seed=1) != (low, high)


def test_one_photo_gives_no_interval(notebook: ModuleType) -> None:
    areas = np.array([0.5, np.nan, 0.5])
    assert all(map(math.isnan, notebook.interval(areas, np.array([0.5, 0.5, np.nan]))))


# conclusions


def columns(*shares: float) -> np.ndarray:
    """The areas of models that cover the same share of each of nine photos."""
    return np.tile(shares, (9, 1))


def test_a_model_that_is_first_throughout_is_said_to_be(notebook: ModuleType) -> None:
    areas = columns(0.5, 0.25, 0.75)
    *lines, last = notebook.conclude(["a", "b", "c"], [areas, areas, areas]).splitlines()
    assert lines[0] == (
        "As in 2019: b is first with 25.0 %, a second with 50.0 %; 95 % interval of the "
        "difference 25.0 to 25.0 points: significant."
    )
    assert last == "Conclusion: b is first throughout."


def test_a_conclusion_that_depends_on_the_way_is_said_to(notebook: ModuleType) -> None:
    areas = columns(0.5, 0.25), columns(0.25, 0.25), columns(0.25, 0.5)
    text = notebook.conclude(["a", "b"], areas)
    assert text.count("points: not significant.") == 1
    assert text.endswith(
        "Conclusion: Which model is first depends on the way: b as in 2019, a like for like, "
        "a of what it saw, but not significantly before the second like for like."
    )


def test_a_model_without_heat_is_last_and_not_significant(notebook: ModuleType) -> None:
    areas = columns(np.nan, 0.5)
    text = notebook.conclude(["a", "b"], [areas, areas, areas])
    assert text.count("b is first with 50.0 %, a second with nan %") == 3
    assert text.count("points: not significant.") == 3


def test_one_model_alone_is_not_ranked(notebook: ModuleType) -> None:
    assert notebook.conclude(["a"], [columns(0.5)] * 3).startswith("One model alone")


# comparisons


def test_caltech_folders_are_known_by_their_category(notebook: ModuleType, photos: Path) -> None:
    found = notebook.find_photos(photos, 1)
    assert [ref.name for ref in found] == [
        f"{folder}/0001.png"
        for category in notebook.CATEGORIES
        for folder in CALTECH
        if category in folder
    ]
    assert len(notebook.find_photos(photos, 5)) == 14


def test_a_folder_with_the_category_s_own_name_goes_first(
    notebook: ModuleType, photos: Path
) -> None:
    (photos / "009.bear").rename(photos / "bear")
    (photos / "999.bear").mkdir()
    assert notebook.find_photos(photos, 1)[0].name == "bear/0001.png"


def test_a_category_that_is_missing_is_named(notebook: ModuleType, photos: Path) -> None:
    (photos / "190.snake").rename(photos / "190.eel")
    with pytest.raises(ImageError, match="has no category 'snake'"):
        notebook.find_photos(photos, 1)


def test_models_are_given_by_label_and_name(notebook: ModuleType) -> None:
    specs = notebook.find_specs(["EB0", "R18=timm:resnet18", "vgg11"], None)
    assert {label: spec.name for label, spec in specs.items()} == {
        "EB0": DEFAULT_MODELS["EB0"],
        "R18": "timm:resnet18",
        "vgg11": "vgg11",
    }
    assert all(spec.checkpoint is None for spec in specs.values())


def test_checkpoints_are_found_by_label_or_name(notebook: ModuleType, tmp_path: Path) -> None:
    for name in ("EB0.pth", "EB0.txt", "timm_resnet18.safetensors", "other.pth"):
        (tmp_path / name).touch()
    specs = notebook.find_specs(["EB0", "R18=timm:resnet18"], tmp_path)
    assert specs["EB0"].checkpoint == tmp_path / "EB0.pth"
    assert specs["R18"].checkpoint == tmp_path / "timm_resnet18.safetensors"
    with pytest.raises(WeightsError, match="no file called x or timm_vgg11, vgg13, which may"):
        notebook.find_specs(["EB0", "x=timm:vgg11", "vgg13"], tmp_path)
    with pytest.raises(WeightsError, match="does not exist"):
        notebook.find_specs(["EB0"], tmp_path / "none")


# the whole script


@pytest.mark.usefixtures("small")
def test_a_run_prints_both_ways_and_writes_the_animation(
    notebook: ModuleType, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.gif"
    models = ["one=crossed", "two=net"]
    given = [str(photos), "--output", str(output), "--per-category", "1", "--models", *models]
    assert notebook.main(given) == 0
    printed = capsys.readouterr().out
    assert "; 7 photos\n" in printed
    assert re.search(r"\none +late +6 x 8 x 8 +late +6 x 8 x 8 +64 x 64 px: 8 x 8\n", printed)
    assert re.search(r"\ntwo +layer4\.1\.conv2 +512 x 2 x 2 +layer4 +512 x 2 x 2 ", printed)
    ranked = r"\n(?:one|two)(?: +[\d.]+ % +[12]){3}(?: +[\d.]+ %){2} "
    assert len(re.findall(ranked, printed)) == 2
    assert printed.count("significant.\n") == len(notebook.MEASURES)
    assert "\nConclusion: " in printed
    assert printed.endswith(f"\n{output}\n")
    with Image.open(output) as animation:
        assert animation.n_frames == 7


@pytest.mark.usefixtures("small")
def test_checkpoints_are_run_both_ways(
    notebook: ModuleType,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(Crossed().state_dict(), tmp_path / "one.pth")
    ways: list[Comparison] = []
    monkeypatch.setattr(notebook, "report", lambda *both: ways.extend(both))
    output = tmp_path / "out.gif"
    given = [str(photos), "--weights", str(tmp_path), "--output", str(output)]
    assert notebook.main([*given, "--models", "one=crossed"]) == 0
    capsys.readouterr()
    then, now = ways
    assert {each.weights for each in (*then, *now)} == {"one.pth"}
    assert {each.target_layer for each in (*then, *now)} == {"late"}
    assert {each.region.as_tuple() for each in then} == {(0, 0, 80, 48)}
    assert {each.region.width for each in now} != {80}


@pytest.mark.usefixtures("small")
def test_a_layer_that_both_ways_share_gives_the_same_where_the_input_is_the_same(
    notebook: ModuleType, photos: Path
) -> None:
    specs = notebook.find_specs(["crossed"], None)
    whole = {
        label: replace(spec, preprocess=Preprocess(size=SIZE).whole())
        for label, spec in specs.items()
    }
    cells = compare(photos / "009.bear", whole)
    text = notebook.report(cells, cells)
    area = f"{100 * np.median([notebook.effective_area(each.upsampled()) for each in cells]):.1f} %"
    assert re.search(rf"\ncrossed(?: +{area} +1){{3}} +100\.0 % +100\.0 % +1\.00\n", text)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["{tmp}/none"], "folder '.*none' does not exist"),
        (["{tmp}"], "has no category 'bear'|has no class folders"),
        (["{photos}", "--output", "{tmp}/none/out.gif"], "there is no folder"),
        (["{photos}", "--per-category", "0"], "per_category must be a whole number from 1"),
        (["{photos}", "--models", "x=resnet5"], "no model is called 'resnet5'"),
        (["--layers", "--weights", "{tmp}/none"], "folder '.*none' does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    notebook: ModuleType,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    reason: str,
) -> None:
    assert notebook.main([each.format(tmp=photos.parent, photos=photos) for each in given]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("notebook.py: error: ")
    assert re.search(reason, printed.err)


def test_photos_are_needed_for_all_but_the_layers(
    notebook: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        notebook.main([])
    assert stopped.value.code == 2
    assert "give a folder of photos" in capsys.readouterr().err
