"""Real weights on real photos: the right classes, heat where the objects are, the main job.

The data of these tests may not be redistributed; without it they skip (see ``conftest.data``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from timm.models.efficientnet import _gen_mobilenet_v1
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from effcam import Comparison, ModelSpec, Preprocess, compare
from effcam.cli import main

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

MODELS = (
    "torchvision_mobilenet_v2",
    "torchvision_squeezenet1_0",
    "timm_mobilenetv2_100",
    "timm_mobilenetv1_025",
    "timm_tf_efficientnet_lite0",
)
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def spec(name: str, known: dict[str, Any], weights: Path) -> ModelSpec:
    """Return a model by its architecture's name or, without one, by its constructor."""
    preprocess = Preprocess(
        size=known["input_size"],
        mean=tuple(known["mean"]),
        std=tuple(known["std"]),
        interpolation="bicubic",
    )
    common: dict[str, Any] = {
        "checkpoint": weights / f"{name}.safetensors",
        "preprocess": preprocess,
    }
    if name == "timm_mobilenetv1_025":
        options = {"variant": "mobilenetv1_100", "pretrained": False, **known["options"]}
        return ModelSpec(name, constructor=_gen_mobilenet_v1, options=options, **common)
    architecture = f"{known['library']}:{known['architecture']}"
    return ModelSpec(architecture, options=known["options"], **common)


@pytest.fixture(scope="module")
def expected(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(data / "expected.json")
    return found


@pytest.fixture(scope="module")
def comparison(data: Path, expected: dict[str, Any]) -> Comparison:
    """Run all five models on all images, decoded once: by far the longest step."""
    assert set(expected) == set(MODELS)
    images = list(expected[MODELS[0]]["expected_top1"])
    specs = {name: spec(name, expected[name], data / "weights") for name in MODELS}
    return compare([data / "images" / image for image in images], specs, view="whole")


@pytest.fixture(scope="module")
def boxes(data: Path) -> dict[str, NDArray[np.bool_]]:
    """Return, for each image, which pixels lie in a box of one of its objects."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for image, known in read(data / "images" / "boxes.json").items():
        width, height = known["size"]
        down, across = np.mgrid[:height, :width] + 0.5
        masks[image] = np.any(
            [
                (left <= across) & (across <= right) & (top <= down) & (down <= bottom)
                for left, top, right, bottom in known["boxes"]
            ],
            axis=0,
        )
    return masks


@pytest.mark.parametrize("model", MODELS)
def test_every_image_gets_the_expected_class(
    comparison: Comparison, expected: dict[str, Any], model: str
) -> None:
    top = expected[model]["expected_top1"]
    assert len(top) == len(comparison.images) == 356
    wrong = []
    for row, (image, (index, probability)) in enumerate(top.items()):
        cell = comparison[row, model]
        assert cell.weights == f"{model}.safetensors"
        assert cell.region.as_tuple() == (0, 0, *cell.size)
        if cell.predicted == index:
            # They were written down with three decimals; what is measured is 0.0005, and 0.010
            # with Pillow 10.2, which decodes JPEGs a little differently.
            assert cell.predicted_probability == pytest.approx(probability, abs=0.02), image
        elif abs(cell.predicted_probability - probability) > 0.02:
            wrong.append((image, index, probability, cell.predicted, cell.predicted_probability))
    assert wrong == []


@pytest.mark.parametrize("model", MODELS)
def test_heat_gathers_in_the_boxes(
    comparison: Comparison,
    expected: dict[str, Any],
    boxes: dict[str, NDArray[np.bool_]],
    model: str,
) -> None:
    """The share of the heat in an image's boxes, mean over 300 images, beats two baselines.

    Measured (standard error of a difference to a baseline: 0.004 to 0.009)::

                                   in the boxes   area of the boxes   heat of the other images
        torchvision_mobilenet_v2          0.677               0.515                      0.626
        torchvision_squeezenet1_0         0.717               0.515                      0.608
        timm_mobilenetv2_100              0.702               0.515                      0.641
        timm_mobilenetv1_025              0.631               0.515                      0.583
        timm_tf_efficientnet_lite0        0.724               0.515                      0.650

    The area is what heat without any knowledge would reach. Objects lie in the middle, and so
    does most heat, so the second baseline is harder: all images' mean heat in this image's boxes.
    The margins asked for are about two thirds of the smallest that were measured.
    """
    rows = [row for row, image in enumerate(expected[model]["expected_top1"]) if image in boxes]
    masks = np.stack([boxes[image] for image in expected[model]["expected_top1"] if image in boxes])
    assert len(masks) == 300
    heat = np.stack([comparison[row, model].upsampled() for row in rows])
    assert heat.shape == masks.shape
    assert {comparison[row, model].state for row in rows} == {"ok"}
    heat /= heat.sum((1, 2), keepdims=True)
    inside = (heat * masks).sum((1, 2))
    others = (heat.mean(0) * masks).sum((1, 2))
    assert inside.mean() > masks.mean() + 0.08
    assert inside.mean() > others.mean() + 0.03


def test_cifar_thumbnails_get_their_class(data: Path) -> None:
    """Run a custom network: He et al.'s ResNet-20 for 32 px images, from torchvision's parts."""
    photos = sorted((data / "images" / "photos").glob("cifar_*.jpg"))
    assert len(photos) == 6
    model = ModelSpec(
        "resnet20",
        constructor=CifarResNet,
        checkpoint=data / "weights" / "cifar10_resnet20.safetensors",
        preprocess=Preprocess(size=32, resize=32),  # type: ignore[arg-type]  # a number is a square
        labels=CIFAR_CLASSES,
    )
    labels = [photo.name.split("_")[1] for photo in photos]
    comparison = compare(photos, model, target=labels)
    # The network is right on 91.8 % of the test images; the dark horse before a bright wall is a
    # truck to it (0.71), and a horse only then (0.25).
    wrong = [cell.label for cell in comparison if cell.predicted != cell.target]
    assert wrong == ["horse"]
    assert comparison[labels.index("horse"), 0].probability > 0.2
    for cell in comparison:
        assert cell.heatmap.shape == (8, 8)
        assert cell.target_layer == "layer3"
        assert cell.state == "ok"


class CifarResNet(ResNet):
    """Three stages of 16, 32 and 64 channels, the first at full resolution."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [3, 3, 3, 1], num_classes=10)
        self.inplanes = 16
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(BasicBlock, 16, 3)
        self.layer2 = self._make_layer(BasicBlock, 32, 3, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 64, 3, stride=2)
        self.layer4 = nn.Identity()
        self.fc = nn.Linear(64, 10)


def test_the_notebooks_comparison_from_the_command_line(
    data: Path, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The main job: seven categories through five models, to a GIF, a grid and a table."""
    names = {
        "mobilenet_v2": ("torchvision:mobilenet_v2", "torchvision_mobilenet_v2"),
        "squeezenet1_0": ("torchvision:squeezenet1_0", "torchvision_squeezenet1_0"),
        "mobilenetv2_100": ("mobilenetv2_100", "timm_mobilenetv2_100"),
        "mobilenetv1_025": ("timm.models.efficientnet:_gen_mobilenet_v1", "timm_mobilenetv1_025"),
        "lite0": ("tf_efficientnet_lite0", "timm_tf_efficientnet_lite0"),
    }
    argv = ["compare", str(data / "images" / "seven"), "--view", "whole", "-q"]
    for label, (name, weights) in names.items():
        known = expected[weights]
        argv += ["-m", f"{label}={name}"]
        argv += ["--checkpoint", f"{label}={data / 'weights' / weights}.safetensors"]
        options = dict(known["options"])
        if "constructor" in known:
            options |= {"variant": "mobilenetv1_100", "pretrained": False}
        for key, value in options.items():
            argv += ["--option", f"{label}:{key}={json.dumps(value)}"]
        for key, value in (("size", known["input_size"]), ("mean", known["mean"]),
                           ("std", known["std"]), ("interpolation", "bicubic")):  # fmt: skip
            argv += ["--preprocess", f"{label}:{key}={json.dumps(value)}"]
    outputs = [tmp_path / f"seven{suffix}" for suffix in (".gif", ".png", ".json")]
    argv += [part for output in outputs for part in ("-o", str(output))]
    assert main(argv) == 0
    assert capsys.readouterr() == ("", "")

    gif, png, table = outputs
    with Image.open(gif) as animation:
        assert getattr(animation, "n_frames", 1) == 28
        assert animation.info["duration"] == 1000
        assert animation.info["loop"] == 0
        width, height = animation.size
        assert width > 6 * 224 > height
    with Image.open(png) as grid:
        grid.load()
        assert grid.width == width
        assert grid.height > 28 * 100
    content = read(table)
    assert content["columns"] == list(names)
    assert len(content["images"]) == 28
    for cell in content["cells"]:
        top = expected[names[cell["column"]][1]]["expected_top1"]
        index, probability = top[f"seven/{cell['image']}"]
        assert cell["state"] == "ok"
        assert cell["predicted"] == index or (
            abs(cell["predicted_probability"] - probability) <= 0.02
        )
