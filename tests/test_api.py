"""compare(): its arguments, its result, and no side effects."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from effcam import Box, Comparison, Explanation, Model, ModelSpec, Preprocess, compare, load_model
from effcam.cam import progress
from effcam.demo import scenes
from effcam.errors import (
    ArgumentError,
    ImageError,
    LayerError,
    ModelError,
    TargetError,
    UnknownModelError,
    WeightsError,
)
from effcam.images import decoding, refs
from effcam.images.refs import ImageRef
from tests.nets import CELL, ColourNet

SIZE = 64
PLAIN = Preprocess(size=SIZE, resize=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
"""The pixels themselves, in [0, 1], so that the results of the nets are known in closed form."""


class BesideNet(ColourNet):
    """A net with a map on which its scores do not depend."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.beside(self.features(images))
        return super().forward(images)


class NoisyNet(nn.Module):
    """All state that a pass could change: statistics, modes, gradients, random numbers."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.fail_at = fail_at
        self.real_calls: list[str] = []

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "meta":
            self.real_calls.append("call")
            self.calls += 1
            torch.rand(())
            if len(self.real_calls) == self.fail_at:
                raise RuntimeError("out of luck")
        scores: Tensor = self.head(self.drop(self.body(images).mean((2, 3))))
        return scores


def model(gain: float | tuple[float, float, float] = 10.0, **changes: Any) -> Model:
    return replace(load_model(ColourNet(gain), preprocess=PLAIN), **changes)


def noise(count: int = 1, width: int = 96, height: int = 80, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    shape = (count, height, width, 3)
    return [Image.fromarray(each) for each in rng.integers(0, 256, shape, dtype=np.uint8)]


def mixed() -> list[Image.Image]:
    """Photos of several sizes and proportions."""
    sizes = [(96, 80), (80, 96), (64, 64), (200, 70), (70, 200), (96, 80), (90, 90)]
    return [photo for seed, size in enumerate(sizes) for photo in noise(1, *size, seed=seed)]


def plain(red: int, green: int, blue: int) -> Image.Image:
    """A photo of one colour, with one brighter corner that stands out."""
    photo = Image.new("RGB", (SIZE, SIZE), (red, green, blue))
    photo.paste((255, 255, 255), (0, 0, CELL, CELL))
    return photo


def run(images: Any, models: Any, **options: Any) -> Comparison:
    return compare(images, models, **{"progress": False, **options})


def check_same(found: Iterable[Explanation], expected: Iterable[Explanation]) -> None:
    """Check that cells are equal, with maps and probabilities to 1e-5."""
    for left, right in zip(found, expected, strict=True):
        for name in ("column", "target", "predicted", "state", "region", "canvas", "size"):
            assert getattr(left, name) == getattr(right, name)
        assert left.probability == pytest.approx(right.probability, abs=1e-5)
        np.testing.assert_allclose(left.heatmap, right.heatmap, atol=1e-5)


# Models


def test_models_may_be_given_as_anything_that_is_one() -> None:
    (photo,) = noise()
    module = ColourNet()
    spec = ModelSpec("of a spec", constructor=ColourNet)
    own = load_model(ColourNet(), name="of a Model", preprocess=PLAIN)
    for source, column in (
        (spec, "of a spec"),
        (own, "of a Model"),
        (module, "ColourNet"),
        (ModelSpec("resnet18", pretrained=False), "resnet18"),
    ):
        comparison = run(photo, source, size=SIZE)
        assert comparison.columns == (column,)
        assert len(comparison) == 1
    comparison = run(photo, [spec, own, module], size=SIZE)
    assert comparison.columns == ("of a spec", "of a Model", "ColourNet")
    assert [cell.model for cell in comparison] == ["of a spec", "of a Model", "ColourNet"]
    labelled = run(photo, {"a": spec, "b": module, 3: own}, size=SIZE)
    assert labelled.columns == ("a", "b", "3")
    assert [cell.model for cell in labelled] == ["of a spec", "ColourNet", "of a Model"]


def test_models_may_be_named() -> None:
    from effcam import register_model

    register_model(ModelSpec("colours", constructor=ColourNet))
    comparison = run(noise(), "colours", size=SIZE)
    assert comparison.columns == ("colours",)
    assert comparison[0, 0].weights == "as given"


def test_models_may_come_from_a_generator_or_a_set() -> None:
    assert run(noise(), (model() for _ in range(2))).columns == ("ColourNet", "ColourNet (2)")
    assert len(run(noise(), {model(name="a"), model(name="b")}).columns) == 2


def test_a_sequential_is_one_model_and_no_list_of_layers() -> None:
    net = nn.Sequential(
        nn.AvgPool2d(8), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert run(noise(), net).columns == ("Sequential",)


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["a", "a", "a"], ("a", "a (2)", "a (3)")),
        (["a (2)", "a", "a"], ("a (2)", "a", "a (3)")),
        (["a", "a (2)", "a"], ("a", "a (2)", "a (3)")),
        (["a (ours)", "a"], ("a (ours)", "a")),
    ],
)
def test_labels_are_made_unique_and_unique_ones_kept(
    names: list[str], columns: tuple[str, ...]
) -> None:
    # Each has another gain, so that a model in the wrong column is noticed.
    models = [model(gain=1.0 + place, name=name) for place, name in enumerate(names)]
    comparison = run(plain(200, 0, 0), models)
    assert comparison.columns == columns
    probabilities = [cell.probability for cell in comparison]
    assert probabilities == sorted(probabilities)
    assert len(set(probabilities)) == len(names)


def test_a_mappings_labels_are_kept() -> None:
    models = {"net (ours)": model(1.0), "net": model(2.0), 1: model(3.0), "1": model(4.0)}
    assert run(noise(), models).columns == ("net (ours)", "net", "1", "1 (2)")


@pytest.mark.parametrize("models", [None, 5, Path("weights.pt")])
def test_models_must_be_models(models: Any) -> None:
    with pytest.raises(ArgumentError, match=f"models must be .*, not {type(models).__name__}"):
        run(noise(), models)


@pytest.mark.parametrize("models", [[5], {"a": None}, ["resnet18", nn.Module]])
def test_each_model_must_be_one(models: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a model is a name, a ModelSpec, an nn\.Module"):
        run(noise(), models)


@pytest.mark.parametrize("models", [[], {}, ()])
def test_there_must_be_a_model(models: Any) -> None:
    with pytest.raises(ArgumentError, match="there are no models to compare"):
        run(noise(), models)


def test_an_unknown_name_is_found_out_before_anything_is_built() -> None:
    def build() -> nn.Module:
        raise AssertionError("built")

    with pytest.raises(UnknownModelError, match=r"no model is called 'resnet5'.*'resnet50'"):
        run(noise(), [ModelSpec("first", constructor=build), "resnet5"])


def test_missing_weights_are_named_together_before_anything_is_built() -> None:
    def build() -> nn.Module:
        raise AssertionError("built")

    models = [ModelSpec("first", constructor=build), "timm:test_resnet", "torchvision:alexnet"]
    with pytest.raises(WeightsError) as caught:
        run(noise(), models)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("timm:test_resnet.r160_in1k", "huggingface.co/timm/test_resnet", "alexnet",
                 "download.pytorch.org", "checkpoint=", "pretrained=False"):  # fmt: skip
        assert part in message


def test_untrained_models_are_the_same_each_time_and_say_so() -> None:
    spec = ModelSpec("test_resnet", pretrained=False)
    first, second = (run(noise(), spec, size=SIZE) for _ in range(2))
    assert first[0, 0].weights == "random"
    check_same(first, second)


# One model in memory, images decoded once


@pytest.mark.parametrize("target", [None, "consensus"])
def test_each_model_is_freed_before_the_next_is_built(target: str | None) -> None:
    alive: list[weakref.ref[nn.Module]] = []

    def build() -> nn.Module:
        assert [ref for ref in alive if ref() is not None] == []
        net = ColourNet()
        alive.append(weakref.ref(net))
        return net

    gc.disable()  # what only a garbage collection frees is not freed in time
    try:
        specs = [ModelSpec(name, constructor=build) for name in "abc"]
        run(noise(3), specs, target=target, size=SIZE, batch_size=2)
    finally:
        gc.enable()
    assert len(alive) == (3 if target is None else 6)


@pytest.mark.parametrize("target", [None, "consensus"])
def test_each_image_is_read_once_for_all_models(
    target: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for position, photo in enumerate(noise(3)):
        photo.save(tmp_path / f"{position}.png")
    (tmp_path / "1.png").write_bytes(b"")
    read: list[str] = []
    original = decoding.read

    def counted(source: Any, *given: Any) -> Any:
        read.append(Path(source).name)
        return original(source, *given)

    monkeypatch.setattr(refs, "read", counted)
    run(tmp_path, [model(), model()], target=target, batch_size=2, on_error="skip")
    assert sorted(read) == ["0.png", "1.png", "2.png"]


# Methods


def test_several_methods_are_several_columns() -> None:
    methods = ["gradcam", "layercam", "eigencam"]
    comparison = run(noise(2), {"a": NoisyNet(), "b": NoisyNet()}, method=methods)
    assert comparison.columns == tuple(f"{label} {method}" for label in "ab" for method in methods)
    assert [cell.method for cell in comparison] == methods * 4
    assert [cell.column for cell in comparison] == [*comparison.columns] * 2
    assert [cell.model_label for cell in comparison] == [*"aaabbb"] * 2
    assert comparison.settings["method"] == methods
    assert not np.allclose(comparison[0, 0].heatmap, comparison[0, 1].heatmap)


def test_each_of_several_methods_is_what_it_is_alone() -> None:
    net = NoisyNet()
    together = run(noise(3), net, method=("gradcam", "scorecam", "layercam"))
    for place, method in enumerate(("gradcam", "scorecam", "layercam")):
        alone = run(noise(3), net, method=method)
        assert alone.columns == ("NoisyNet",)
        for row in range(3):
            assert alone[row, 0].method == method
            np.testing.assert_allclose(
                together[row, place].heatmap, alone[row, 0].heatmap, atol=1e-6
            )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("gradcm", "no method is called 'gradcm'. Did you mean 'gradcam'"),
        ("GradCAMPlusPlus", r"Did you mean 'gradcam\+\+'"),
        ("IG", "Did you mean 'integratedgradients'"),
        ([["gradcam"]], r"no method is called \['gradcam'\]"),
        (["gradcam", "cam"], "no method is called 'cam'.* The methods are gradcam, "),
        ([], "method must be one or several"),
        (["gradcam", "gradcam"], "two methods are called 'gradcam'"),
    ],
)
def test_impossible_methods_are_refused(method: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(noise(), model(), method=method)


# Targets


def test_without_a_target_each_model_explains_its_own_top_class() -> None:
    comparison = run(plain(200, 100, 0), {"red": model(), "green": model((1.0, 50.0, 1.0))})
    assert [cell.target for cell in comparison] == [0, 1]
    assert [cell.predicted for cell in comparison] == [0, 1]
    for cell in comparison:
        assert cell.probability == cell.predicted_probability


@pytest.mark.parametrize("target", [2, np.int64(2), np.array(2), torch.tensor(2), "class 2"])
def test_one_target_holds_for_every_image_and_model(target: Any) -> None:
    comparison = run(noise(2), [model(), model(2.0)], target=target)
    assert [cell.target for cell in comparison] == [2] * 4
    assert [cell.label for cell in comparison] == ["class 2"] * 4
    assert comparison.settings["target"] in (2, "class 2")
    assert type(comparison.settings["target"]) in (int, str)


def test_the_class_explained_is_that_of_the_target() -> None:
    # Red on the left, blue on the right: the map follows from the class, in closed form.
    photo = Image.new("RGB", (SIZE, SIZE), (255, 0, 0))
    photo.paste((0, 0, 255), (SIZE // 2, 0, SIZE, SIZE))
    cells = SIZE // CELL
    for target, columns in ((0, slice(0, cells // 2)), (2, slice(cells // 2, cells))):
        (cell,) = run(photo, model(), target=target)
        expected = np.zeros((cells, cells))
        expected[:, columns] = 10 / cells**2
        np.testing.assert_allclose(cell.heatmap, expected, atol=1e-6)
    probabilities = np.exp([5.0, 0.0, 5.0]) / np.exp([5.0, 0.0, 5.0]).sum()
    assert cell.probability == pytest.approx(probabilities[2], abs=1e-5)


@pytest.mark.parametrize(
    "targets",
    [
        [2, 0, 1],
        (2, 0, 1),
        ["class 2", "CLASS 0", 1],
        np.array([2, 0, 1]),
        np.array(["class 2", "class 0", "class 1"]),
        torch.tensor([2, 0, 1]),
        [np.int32(2), torch.tensor(0), 1],
    ],
)
def test_each_image_may_have_its_own_target(targets: Any, tmp_path: Path) -> None:
    comparison = run(noise(3), [model(), model(2.0)], target=targets, batch_size=2)
    assert [row[0].target for row in comparison.rows()] == [2, 0, 1]
    assert [row[1].target for row in comparison.rows()] == [2, 0, 1]
    assert comparison.save(tmp_path / "a.json").is_file()


def test_targets_stay_with_their_images_where_one_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    photos = noise(3)
    images = [photos[0], tmp_path / "bad.png", photos[1], photos[2]]
    comparison = run(images, model(), target=[2, 1, 0, 1], on_error="skip", batch_size=2)
    assert [cell.target for cell in comparison] == [2, 0, 1]


@pytest.mark.parametrize("label", ["tabby", "Tabby Cat", " TABBY ", "tabby, tabby cat"])
def test_a_target_may_be_any_name_of_an_imagenet_class(label: str) -> None:
    spec = ModelSpec("test_resnet", pretrained=False)
    if "," in label:
        with pytest.raises(TargetError, match=r"timm:test_resnet has no class called 'tabby, tabb"):
            run(noise(), spec, target=label, size=SIZE)
        return
    (cell,) = run(noise(), spec, target=label, size=SIZE)
    assert cell.target == 281
    assert cell.label == "tabby"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "class 3 is out of range: ColourNet has the 3 classes 0 to 2"),
        (-1, "class -1 is out of range"),
        ([0, 9], "class 9 is out of range"),
        ("clas 1", r"ColourNet has no class called 'clas 1'\. Did you mean 'class 1'"),
        ([0, 1, 2], "there are 3 targets for 2 images: give one for each"),
        ([], "there are 0 targets for 2 images"),
        (1.0, r"a target is a class index, a label.* not 1\.0"),
        (True, "a target is a class index.* not True"),
        ([0, None], "a target is a class index.* not None"),
        ([[0], [1]], r"a target is a class index.* not \[0\]"),
        (np.array([0.0, 1.0]), r"a target is a class index.* not 0\.0"),
        ({0, 1}, r"a target is a class index.* not \{0, 1\}"),
        (["consensus", 0], "has no class called 'consensus'"),
    ],
)
def test_impossible_targets_are_refused(target: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        run(noise(2), model(), target=target)


# Consensus


def biased(*probabilities: float) -> Model:
    """A model with these probabilities for every image."""
    net = ColourNet(0.0)
    net.head.bias = nn.Parameter(torch.tensor(probabilities).log())
    return load_model(net, preprocess=PLAIN)


def test_consensus_is_the_class_of_the_highest_mean_probability() -> None:
    # Two of three models prefer class 0, but the one between them is surer of class 1.
    models = [biased(0.5, 0.4, 0.1), biased(0.01, 0.98, 0.01), biased(0.5, 0.4, 0.1)]
    comparison = run(noise(3), models, target="consensus", batch_size=2)
    assert {cell.target for cell in comparison} == {1}
    assert [cell.predicted for cell in comparison.cells[:3]] == [0, 1, 0]
    assert [cell.probability for cell in comparison.cells[:3]] == pytest.approx([0.4, 0.98, 0.4])
    assert comparison.settings["target"] == "consensus"
    # The highest mean is neither the highest value nor the majority's choice.
    models = [biased(0.1, 0.1, 0.8), biased(0.55, 0.44, 0.01), biased(0.4, 0.59, 0.01)]
    assert run(noise(), models, target="consensus")[0, 0].target == 1


def test_consensus_is_found_image_by_image() -> None:
    photos = [plain(200, 0, 0), plain(0, 200, 0), plain(0, 0, 200), plain(0, 200, 0)]
    comparison = run(photos, [model(), model(20.0)], target="consensus", batch_size=3)
    assert [row[0].target for row in comparison.rows()] == [0, 1, 2, 1]
    assert [row[1].target for row in comparison.rows()] == [0, 1, 2, 1]


def test_consensus_of_one_model_is_its_own_top_class() -> None:
    check_same(run(noise(3), model(), target="consensus"), run(noise(3), model()))


def test_consensus_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    images = [plain(0, 200, 0), tmp_path / "bad.png", plain(0, 0, 200)]
    comparison = run(images, model(), target="consensus", on_error="skip")
    assert [cell.target for cell in comparison] == [1, 2]
    assert [skipped.image for skipped in comparison.skipped] == ["bad.png"]


def test_consensus_needs_the_same_classes() -> None:
    five = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(TargetError, match=r"the same classes: a has 3, b has 5$"):
        run(noise(), {"a": model(), "b": five}, target="consensus")
    renamed = load_model(ColourNet(), preprocess=PLAIN, labels=["class 0", "green", "class 2"])
    with pytest.raises(TargetError, match=r"class 1 is 'class 1' in a, 'green' in c$"):
        run(noise(), {"a": model(), "b": model(), "c": renamed}, target="consensus")


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "all"}, "view must be 'model' or 'whole', not 'all'"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip', not 'ignore'"),
        ({"size": 0}, "size must be a whole number from 1, not 0"),
        ({"size": 64.0}, r"size must be a whole number from 1, not 64\.0"),
        ({"size": "64"}, "size must be a whole number from 1, not '64'"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1, not 0"),
        ({"batch_size": None}, "batch_size must be a whole number from 1, not None"),
        ({"batch_size": True}, "batch_size must be a whole number from 1, not True"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(noise(), model(), **options)


def test_numpy_integers_are_whole_numbers() -> None:
    comparison = run(noise(2), model(), size=np.int64(32), batch_size=np.int32(1))
    assert comparison[0, 0].heatmap.shape == (4, 4)
    assert type(comparison.settings["size"]) is int


def test_a_device_that_is_not_there_is_refused() -> None:
    spec = ModelSpec("net", constructor=ColourNet)
    with pytest.raises(ArgumentError, match="device 'nonsense' cannot be used"):
        run(noise(), spec, device="nonsense")
    with pytest.raises(ArgumentError, match="ColourNet is on cpu, not on meta"):
        run(noise(), ColourNet(), device="meta")
    assert len(run(noise(), spec, device=torch.device("cpu"), size=SIZE)) == 1


@pytest.mark.parametrize("images", [[], (), iter([]), np.zeros((0, 8, 8, 3))])
def test_there_must_be_an_image(images: Any) -> None:
    with pytest.raises(ImageError, match="there are no images to compare"):
        run(images, model())


def test_a_model_that_fails_is_named() -> None:
    with pytest.raises(ModelError, match=r"^NoisyNet: .*out of luck"):
        run(noise(), NoisyNet(fail_at=1))
    with pytest.raises(ModelError, match=r"^NoisyNet: .*8, 8.*out of luck"):
        run(noise(), NoisyNet(fail_at=1), size=8)
    # The consensus needs a separate pass.
    with pytest.raises(ModelError, match=r"^NoisyNet: .*out of luck"):
        run(noise(), NoisyNet(fail_at=1), target="consensus")
    beside = load_model(BesideNet(), preprocess=PLAIN, target_layer="beside")
    with pytest.raises(LayerError, match=r"^BesideNet: the class scores do not depend on layer"):
        run(noise(), beside)


# What the model sees


def test_size_sets_the_input_size() -> None:
    for size in (32, 64, 128):
        (cell,) = run(noise(), model(), size=size)
        assert cell.heatmap.shape == (size // CELL, size // CELL)


def test_the_whole_view_shows_all_of_the_image() -> None:
    (photo,) = noise(1, 120, 60)
    cropping = model(preprocess=replace(PLAIN, resize=72))
    (crop,) = run(photo, cropping)
    (whole,) = run(photo, cropping, view="whole")
    assert whole.region.as_tuple() == (0, 0, 120, 60)
    # 64 px of 72 remain of the height; the same number of the width, which is twice as long.
    assert crop.region.as_tuple() == pytest.approx((60 - 80 / 3, 10 / 3, 60 + 80 / 3, 60 - 10 / 3))
    assert crop.size == whole.size == (120, 60)
    small = run(photo, cropping, view="whole", size=32)
    assert small[0, 0].region == whole.region
    assert small.settings["view"] == "whole"


def test_models_of_different_inputs_stand_side_by_side() -> None:
    large = model(preprocess=replace(PLAIN, size=(128, 96), resize=(128, 96), mode="squash"))
    comparison = run(noise(2), {"small": model(), "large": large})
    assert comparison[0, "small"].heatmap.shape == (8, 8)
    assert comparison[1, "large"].heatmap.shape == (16, 12)


# Images


def test_images_may_be_given_in_many_ways(tmp_path: Path) -> None:
    photo = noise()[0]
    photo.save(tmp_path / "a.png")
    array = np.asarray(photo)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    expected = run(photo, model())
    for given in (
        tmp_path,
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        f"{tmp_path}/*.png",
        array,
        array / np.float32(255),
        array[np.newaxis],
        tensor,
        tensor[None].float() / 255,
        [photo],
        (each for each in [photo]),
    ):
        check_same(run(given, model()), expected)


def test_images_may_be_mixed_and_repeated(tmp_path: Path) -> None:
    photo = noise()[0]
    photo.save(tmp_path / "a.png")
    ref = ImageRef("mine", photo)
    comparison = run([photo, tmp_path / "a.png", np.asarray(photo), ref, ref], model())
    assert [image.name for image in comparison.images] == [
        "image", "a.png", "image (2)", "mine", "mine (2)",
    ]  # fmt: skip
    check_same(comparison, [comparison.cells[0]] * 5)


def test_a_bad_image_raises_and_names_itself(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"image 'bad\.png': the file is not an image"):
        run([*noise(2), tmp_path / "bad.png"], model(), batch_size=1)


@pytest.mark.parametrize("bad", [[0], [3], [0, 1], [2], [1, 3]])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_skipping_a_bad_image_leaves_the_rest_as_it_is(
    bad: list[int], batch_size: int, tmp_path: Path
) -> None:
    photos = noise(4 - len(bad))
    images: list[Any] = list(photos)
    for position in bad:
        path = tmp_path / f"bad {position}.png"
        path.write_bytes(b"")
        images.insert(position, path)
    models = {"a": NoisyNet(), "b": model()}
    comparison = run(images, models, on_error="skip", batch_size=batch_size)
    assert [(skipped.image, skipped.reason) for skipped in comparison.skipped] == [
        (f"bad {position}.png", f"image 'bad {position}.png': the file is empty")
        for position in bad
    ]
    alone = run(photos, models, batch_size=batch_size)
    assert [image.name for image in comparison.images] == [image.name for image in alone.images]
    check_same(comparison, alone)


def test_skipping_every_image_raises(tmp_path: Path) -> None:
    paths = [tmp_path / f"{position}.png" for position in range(3)]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"no image can be read: image '0\.png'.*, and 2 more$"):
        run(paths, [model(), model()], on_error="skip")
    with pytest.raises(ImageError, match=r"^no image can be read: image '0\.png'.* is empty$"):
        run(paths[0], model(), on_error="skip")


def test_nothing_is_skipped_where_nothing_is_bad() -> None:
    assert run(noise(), model(), on_error="skip").skipped == ()


# Batches and order


@pytest.mark.parametrize("source", [NoisyNet, lambda: ModelSpec("test_resnet", pretrained=False)])
def test_the_batch_size_does_not_matter(source: Callable[[], Any]) -> None:
    made = source()
    whole = run(mixed(), made, size=SIZE, batch_size=7)
    for batch_size in (1, 3):
        check_same(run(mixed(), made, size=SIZE, batch_size=batch_size), whole)


def test_the_order_of_images_does_not_matter() -> None:
    photos, net = mixed(), NoisyNet()
    forwards = run(photos, net, batch_size=2)
    check_same(run(photos[::-1], net, batch_size=2), forwards.cells[::-1])


def test_each_cell_has_its_own_images_size_and_region() -> None:
    for photo, cell in zip(mixed(), run(mixed(), model(), size=SIZE, batch_size=7), strict=True):
        left, top = ((side - min(photo.size)) / 2 for side in photo.size)
        assert cell.size == photo.size
        right, bottom = photo.width - left, photo.height - top
        assert cell.region.as_tuple() == pytest.approx((left, top, right, bottom), abs=2)


def test_cells_stand_in_rows_of_images_whatever_order_they_were_made_in() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    comparison = run([plain(*colour) for colour in colours], [model(), model(2.0)], batch_size=2)
    assert [cell.predicted for cell in comparison] == [0, 0, 1, 1, 2, 2]
    assert [cell.image.name for cell in comparison][::2] == ["image", "image (2)", "image (3)"]


# Geometry


def test_a_flipped_photo_gives_a_flipped_map() -> None:
    (photo,) = noise(1, 96, 80)
    for method in ("gradcam", "layercam", "gradcam++"):
        for direction, axis in (
            (Image.Transpose.FLIP_LEFT_RIGHT, 1),
            (Image.Transpose.FLIP_TOP_BOTTOM, 0),
        ):
            (cell,) = run(photo, model(), target=0, method=method)
            (flipped,) = run(photo.transpose(direction), model(), target=0, method=method)
            assert cell.state == "ok"
            np.testing.assert_allclose(flipped.heatmap, np.flip(cell.heatmap, axis), atol=1e-5)
            np.testing.assert_allclose(
                flipped.upsampled(), np.flip(cell.upsampled(), axis), atol=1e-4
            )


PLACES = [(0.5, 0.5), (0.4, 0.6), (0.6, 0.42)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(320, 200), (200, 320), (600, 200), (200, 600), (240, 240)])
@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_every_view_finds_an_object_where_it_is_in_the_photo(
    size: tuple[int, int], place: tuple[float, float], method: str
) -> None:
    """A red square on black: the heat's centre of mass is the square's, in every view."""
    width, height = size
    # Off the centre by shares of the shorter side, so that every crop contains it.
    short = min(size)
    x = round(width / 2 + (place[0] - 0.5) * short)
    y = round(height / 2 + (place[1] - 0.5) * short)
    half = short // 6
    photo = Image.new("RGB", size)
    photo.paste((255, 0, 0), (x - half, y - half, x + half, y + half))
    fine = replace(PLAIN, size=128, resize=128)  # type: ignore[arg-type]  # one number is a square
    views = {
        "crop": replace(fine, resize=160),  # type: ignore[arg-type]
        "tight crop": replace(fine, resize=192, interpolation="bicubic"),  # type: ignore[arg-type]
        "squash": fine.whole(),
        "border": replace(fine, mode="border"),
        "tall input": replace(fine, size=(192, 128), resize=(224, 160)),
    }
    net = ColourNet()
    models = {name: load_model(net, preprocess=each) for name, each in views.items()}
    comparison = run(photo, models, target=0, method=method)
    for cell, preprocess in zip(comparison, views.values(), strict=True):
        heat = cell.upsampled()
        assert heat.shape == (height, width)
        total = heat.sum()
        across = heat.sum(0) @ (np.arange(width) + 0.5) / total
        down = heat.sum(1) @ (np.arange(height) + 0.5) / total
        # Blocks that the square's edges cut move its centre by at most an eighth of a block.
        canvas = preprocess.frame(width, height)
        block = canvas.scale(CELL / preprocess.size[1], CELL / preprocess.size[0])
        assert abs(across - x) <= block.width / 8 + 0.5, cell
        assert abs(down - y) <= block.height / 8 + 0.5, cell
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert abs(column - x) <= half
        assert abs(row - y) <= half


@pytest.mark.parametrize("size", [(320, 160), (160, 320)])
def test_the_map_lies_on_the_photo_in_closed_form(size: tuple[int, int]) -> None:
    """Red brightens along one axis: the heat of every pixel follows from its place."""
    width, height = size
    across = np.linspace(0, 1, width)[None, :] * np.ones((height, 1))
    down = np.ones((1, width)) * np.linspace(0, 1, height)[:, None]
    for ramp in (across, down):
        photo = np.zeros((height, width, 3), np.float32)
        photo[..., 0] = ramp
        for view in (replace(PLAIN, resize=80), PLAIN.whole()):
            (cell,) = run(photo, load_model(ColourNet(), preprocess=view), target=0)
            heat, region = cell.upsampled(), cell.region
            rows = slice(int(np.ceil(region.top)), int(region.bottom))
            columns = slice(int(np.ceil(region.left)), int(region.right))
            seen = ramp[rows, columns]
            # Linear in the middle; the outer half block is clamped, as in OpenCV.
            scaled = heat[rows, columns]
            margin = [round(0.5 * CELL * side / SIZE) + 1 for side in (region.height, region.width)]
            middle = (slice(margin[0], -margin[0]), slice(margin[1], -margin[1]))
            inner, expected = scaled[middle], seen[middle]
            expected = (expected - expected.min()) / np.ptp(expected)
            found = (inner - inner.min()) / np.ptp(inner)
            np.testing.assert_allclose(found, expected, atol=0.01)


# No trace


def snapshot(net: nn.Module) -> dict[str, Any]:
    return {
        "modes": [each.training for each in net.modules()],
        "wanted": [each.requires_grad for each in net.parameters()],
        "gradients": [
            None if each.grad is None else each.grad.clone() for each in net.parameters()
        ],
        "values": {name: each.clone() for name, each in net.state_dict().items()},
        "identities": [id(each) for each in (*net.parameters(), *net.buffers())],
        "hooks": [
            (len(each._forward_hooks), len(each._forward_pre_hooks), len(each._backward_hooks))
            for each in net.modules()
        ],
        "attributes": sorted(vars(net)),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def lived_in(fail_at: int | None = None) -> NoisyNet:
    """A net in the middle of its training: mixed modes, a frozen part, gradients, a hook."""
    net = NoisyNet(fail_at)
    net.train()
    net.body[1].eval()
    net.body[0].weight.requires_grad_(False)
    net.head.weight.grad = torch.ones_like(net.head.weight)
    net.head.register_forward_hook(lambda *_: None)
    return net


def random_states() -> list[Any]:
    return [torch.get_rng_state(), str(random.getstate()), str(np.random.get_state()[1])]  # noqa: NPY002


@pytest.mark.parametrize("target", [None, "consensus", 1])
@pytest.mark.parametrize("method", ["gradcam", "scorecam", "ablationcam"])
def test_a_callers_module_is_left_unchanged(target: Any, method: str) -> None:
    net = lived_in()
    before, states = snapshot(net), random_states()
    comparison = run(noise(3), [net, ModelSpec("test_resnet", pretrained=False)], target=None,
                     size=SIZE, method=method, batch_size=2)  # fmt: skip
    run(noise(3), net, target=target, size=SIZE, method=method, batch_size=2)
    assert len(comparison) == 6
    assert net.real_calls
    assert same(snapshot(net), before)
    assert same(random_states(), states)


@pytest.mark.parametrize("target", [None, "consensus"])
@pytest.mark.parametrize("fail_at", [1, 3, 8, 9])  # the first passes are those of loading it
def test_a_callers_module_is_left_unchanged_after_an_exception(
    target: str | None, fail_at: int
) -> None:
    net = lived_in(fail_at)
    before, states = snapshot(net), random_states()
    with pytest.raises(ModelError, match="out of luck"):
        run(noise(3), net, size=SIZE, batch_size=1, target=target)
    assert len(net.real_calls) == fail_at
    assert same(snapshot(net), before)
    assert same(random_states(), states)


def test_a_callers_module_is_left_unchanged_after_a_bad_image(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    net = lived_in()
    before = snapshot(net)
    load_model(net)
    loading = len(net.real_calls)
    net.real_calls.clear()
    with pytest.raises(ImageError):
        run([*noise(2), tmp_path / "bad.png"], net, batch_size=1)
    assert len(net.real_calls) == loading + 2
    assert same(snapshot(net), before)


def test_a_caller_without_gradients_gets_the_same_maps() -> None:
    net = NoisyNet()
    expected = run(noise(2), net)
    with torch.no_grad():
        check_same(run(noise(2), net), expected)
    with torch.inference_mode():
        check_same(run(noise(2), net), expected)
    assert torch.is_grad_enabled()


# Progress


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bar show every change, however fast."""
    eager = partial(progress._tqdm(), mininterval=0, miniters=1)
    monkeypatch.setattr(progress, "_tqdm", lambda: eager)


@pytest.mark.usefixtures("eager")
def test_the_bar_names_what_is_loading_and_counts_images(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run(noise(3), {"first": model(), "second": model()}, progress=True, batch_size=2)
    shown = capfd.readouterr()
    assert shown.out == ""
    for part in ("loading first", "first:", "2/6", "loading second", "second:", "6/6"):
        assert part in shown.err


@pytest.mark.usefixtures("eager")
def test_the_bar_counts_both_passes_of_a_consensus(capfd: pytest.CaptureFixture[str]) -> None:
    run(noise(3), {"first": model()}, progress=True, target="consensus")
    shown = capfd.readouterr().err
    assert "first: consensus" in shown
    assert "6/6" in shown


@pytest.mark.usefixtures("eager")
def test_there_is_a_bar_on_a_terminal_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal, asked, shows in (
        (False, None, False), (True, None, True), (True, False, False), (False, True, True),
    ):  # fmt: skip
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        run(noise(), model(), progress=asked)
        assert ("1/1" in capfd.readouterr().err) is shows


def test_nothing_is_printed_or_left_behind(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(noise(2), [model(), ModelSpec("test_resnet", pretrained=False)], size=SIZE)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


# The result


def test_cells_are_laid_by_pitch_unless_asked_otherwise() -> None:
    (scene,) = scenes(1, size=128)
    # Six cells of 16 px in an input of 128 px.
    by = {
        how: compare(scene, "demo_alexnet", view="whole", placement=how, progress=False)
        for how in ("pitch", "even", "measured")
    }
    usual = compare(scene, "demo_alexnet", view="whole", progress=False)
    assert usual[0, 0].canvas == by["pitch"][0, 0].canvas == Box(16, 16, 112, 112)
    assert by["even"][0, 0].canvas == Box(0, 0, 128, 128)
    down, across = load_model("demo_alexnet").placement.offset
    moved = Box(16 + across, 16 + down, 112 + across, 112 + down)
    assert by["measured"][0, 0].canvas.as_tuple() == pytest.approx(moved.as_tuple())
    assert by["measured"].facts[0].offset == (down, across)
    for comparison in by.values():
        np.testing.assert_array_equal(comparison[0, 0].heatmap, usual[0, 0].heatmap)
        assert comparison[0, 0].frame == Box(0, 0, 128, 128)


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(ArgumentError, match="placement must be 'even' or"):
        compare(scenes(1), "demo_alexnet", placement="near")  # type: ignore[arg-type]


def test_settings_say_how_it_was_made() -> None:
    comparison = run(noise(2), model(), method="layercam", target=[0, "class 1"], size=32)
    assert comparison.settings == {
        "method": ["layercam"],
        "target": [0, "class 1"],
        "view": "model",
        "size": 32,
        "precision": "fp32",
        "decoding": "exact",
        "placement": "pitch",
        "resolution": 56,
        "samples": None,
        "channels": None,
        "fuse": "sum",
        "aug_smooth": False,
        "eigen_smooth": False,
    }
    assert comparison.settings.target == (0, "class 1")
    assert str(comparison.settings) == str(dict(comparison.settings))
    with pytest.raises(KeyError):
        comparison.settings["shard_size"]


def test_cells_hold_what_the_model_says() -> None:
    photo = plain(200, 100, 0)
    (cell,) = run(photo, model(1.0), target=1)
    means = np.asarray(photo).reshape(-1, 3).mean(0) / 255
    expected = np.exp(means) / np.exp(means).sum()
    assert cell.probability == pytest.approx(expected[1], abs=1e-5)
    assert cell.predicted_probability == pytest.approx(expected[0], abs=1e-5)
    assert (cell.predicted, cell.predicted_label) == (0, "class 0")
    assert (cell.model, cell.weights, cell.method) == ("ColourNet", "as given", "gradcam")
    assert cell.target_layer == "features"
    assert cell.heatmap.dtype == np.float32
    blocks = np.asarray(photo)[..., 1].reshape(8, CELL, 8, CELL).mean((1, 3)) / 255
    np.testing.assert_allclose(cell.heatmap, blocks / 64, atol=1e-6)


def test_no_positive_evidence_is_flat_and_broken_numbers_are_nan() -> None:
    models = {
        "ok": model(),
        "negative": model((-1.0, 1.0, 1.0)),
        "nan": model((float("nan"), 1.0, 1.0)),
    }
    comparison = run(plain(200, 100, 0), models, target=0)
    assert [cell.state for cell in comparison] == ["ok", "flat", "nan"]
    for label in ("negative", "nan"):
        assert (comparison[0, label].heatmap == 0).all()
        assert (comparison[0, label].upsampled() == 0).all()


def test_even_evidence_is_flat() -> None:
    (cell,) = run(Image.new("RGB", (SIZE, SIZE), (200, 100, 0)), model(), target=0)
    assert cell.state == "flat"
    np.testing.assert_allclose(cell.heatmap, 200 / 255 * 10 / 64, rtol=1e-5)


def _generator(photos: list[Image.Image]) -> Iterator[Image.Image]:
    yield from photos


def test_generators_are_used_once() -> None:
    photos = noise(3)
    models = (each for each in [model(), model(2.0)])
    comparison = run(_generator(photos), models, target="consensus", batch_size=2)
    check_same(comparison, run(photos, [model(), model(2.0)], target="consensus"))


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_file_is_skipped_like_any_bad_image(tmp_path: Path, place: int) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    images = [tmp_path / "a.png"]
    images.insert(place, tmp_path / "missing.png")
    comparison = compare(images, ColourNet(), size=32, on_error="skip", progress=False)
    assert [image.name for image in comparison.images] == ["a.png"]
    assert [skipped.image for skipped in comparison.skipped] == ["missing.png"]
    assert "does not exist" in comparison.skipped[0].reason
    with pytest.raises(ImageError, match=r"missing\.png' does not exist"):
        compare(images, ColourNet(), size=32, progress=False)
